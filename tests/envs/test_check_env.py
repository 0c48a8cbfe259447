"""Gymnasium's check_env on every registered environment, with every value of every option."""

from itertools import product
from typing import Literal, get_args, get_origin, get_type_hints

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from gym_grasp.envs.spec import EnvSpec
from gym_grasp.robots import ARMS, DEFAULT_ROBOT, HANDS
from gym_grasp.tasks import TASKS, gym_id, load_task
from gym_grasp.tasks.lift_object import OBJECTS
from gym_grasp.tasks.study_scene import GOALS

OWN = [name for name, target in TASKS.targets.items() if target.startswith("gym_grasp.")]
NAMED = {
    ("lift-object", "object"): [path.stem for path in OBJECTS.rglob("*.xml")],
    ("study-scene", "goal"): GOALS,
}
"""Values of options that no `Literal` lists."""
ROBOTS = [f"{arm}-{hand}" for arm, hand in product(ARMS, HANDS)]


def choices(task: str) -> list[dict[str, str]]:
    """Return every value of each option in turn, beside the defaults of the others."""
    options = load_task(task).Options
    return [
        {option: value}
        for option, hint in get_type_hints(options).items()
        for value in (get_args(hint) if get_origin(hint) is Literal else NAMED[task, option])
        if value != getattr(options(), option)
    ]


EVERY = [
    *((task, {}, DEFAULT_ROBOT) for task in OWN),
    *((task, chosen, DEFAULT_ROBOT) for task in OWN for chosen in choices(task)),
    *((task, {}, robot) for task in OWN for robot in ROBOTS if robot != DEFAULT_ROBOT),
]


def test_nothing_is_left_out():
    """Each of our tasks is registered with Gymnasium, beside what tests register themselves."""
    known = {name for name in gymnasium.registry if name.startswith("gym_grasp/")}
    assert known >= {gym_id(task) for task in OWN}
    for task in OWN:
        swept = {option for swept, chosen, _ in EVERY if swept == task for option in chosen}
        assert swept >= set(get_type_hints(load_task(task).Options))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*space m.* value is.*infinity")
@pytest.mark.parametrize(
    ("task", "options", "robot"),
    EVERY,
    ids=["-".join((task, *chosen.values(), robot)) for task, chosen, robot in EVERY],
)
def test_gymnasium_accepts(task, options, robot):
    spec = EnvSpec(task, options, robot=robot)
    env = gymnasium.make(gym_id(task), task=spec).unwrapped
    assert env.env_spec.options.items() >= options.items()
    assert env.env_spec.robot == robot
    check_env(env, skip_render_check=True)
    for bound in (env.action_space.low, env.action_space.high):
        observation, reward, *_ = env.step(bound)
        assert observation in env.observation_space
        assert np.isfinite(reward)
    env.close()
