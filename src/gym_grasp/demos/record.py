"""Recording what a synthetic operator does, many episodes at once."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from pathlib import Path

import numpy as np
import torch

from gym_grasp.demos.episode import Episode, Origin
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.demos.operators.operator import SyntheticOperator
from gym_grasp.demos.operators.traits import check_skill
from gym_grasp.demos.recorder import EpisodeRecorder
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.envs.checks import checked_count
from gym_grasp.envs.scene import INTEGRATION, model_digest, scene_xml, state_parts
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.state import FIELD
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import GymGraspError
from gym_grasp.tasks import gym_id
from gym_grasp.tasks.random import episode_seeds

SPARE = 0.15
"""Attempts beyond the episodes asked for, as a share of these, to make up for failures."""
MOST_BATCHES = 5
PATIENCE = 2.0
"""How long nobody acts any more before the attempts still running are given up, in s."""


def record(
    spec: EnvSpec | str,
    path: Path,
    episodes: int = 200,
    seed: int = 0,
    *,
    skill: float | None = None,
    overwrite: bool = False,
    resume: bool = False,
    num_threads: int = 0,
    on_episode: Callable[[int, int], None] = lambda kept, attempts: None,
) -> DatasetMeta:
    """Let the synthetic operator perform a task until enough attempts have succeeded.

    The file depends on the arguments alone: the same call writes the same bytes. So does a call
    with `resume` after one that was cut off; what had been finished is not simulated again.

    Args:
        spec: the environment, or the name of a task.
        path: the dataset to write.
        episodes: successful episodes to keep; failed attempts are counted and left out.
        seed: of start states and operators.
        skill: of the operators, from 0, novices, to 1, experts; None: a population of all skills.
        overwrite: replace an existing file.
        resume: go on with a recording of the same arguments that was cut off, if there is one.
        num_threads: of the physics; 0 takes every core.
        on_episode: called after each attempt with the episodes kept and the attempts made so far.

    Returns:
        What the file says about itself, with the counts.

    Raises:
        UsageError: `episodes`, `seed` or `skill` is out of range.
        DatasetError: another file or recording is in the way, or the file cannot be written.
        GymGraspError: hardly any attempt succeeds.
    """
    checked_count("episodes", episodes, 1)
    checked_count("seed", seed, 0)
    if skill is not None:
        check_skill(skill)
    size = ceil(episodes * (1 + SPARE))
    env = GraspVectorEnv(spec, size, num_threads=num_threads, autoreset=False)
    meta = describe(env, operator="synthetic", base_seed=seed)
    settings = {"episodes": episodes, "skill": skill}
    with DatasetWriter(path, meta, overwrite=overwrite, resume=resume, settings=settings) as writer:
        for batch in range(MOST_BATCHES):
            first = batch * size
            missing = [index for index in range(size) if first + index not in writer.finished]
            if missing and not _complete(writer, episodes):
                if len(missing) != env.num_envs:
                    spec = env.env_spec
                    env.close()
                    env = GraspVectorEnv(
                        spec, len(missing), num_threads=num_threads, autoreset=False
                    )
                _begin(env, seed, batch, missing)
                for index, episode in acting(env, skill):
                    writer.add(episode, first + missing[index])
                    on_episode(min(len(writer), episodes), writer.attempts)
                    if _complete(writer, episodes):
                        break
            if _complete(writer, episodes):
                break
        else:
            raise GymGraspError(
                f"Only {len(writer)} of {writer.attempts} attempts at '{meta.task}' succeeded; "
                f"{episodes} episodes were asked for. Check the operator or the scene."
            )
        writer.keep_first(episodes)
        counts = writer.attempts, writer.failures
    env.close()
    return dataclasses.replace(meta, attempts=counts[0], failures=counts[1])


def _begin(env: GraspVectorEnv, seed: int, batch: int, chosen: Sequence[int]) -> None:
    """Begin some attempts of a batch; each is the same whatever others there are.

    Args:
        env: an environment for each.
        seed: of the recording.
        batch: how many batches came before.
        chosen: numbers of the attempts in the batch.
    """
    env.reset(seed=seed)
    for _ in range(batch):
        env.reset()
    attempts = torch.tensor(chosen)
    env.reset_to(episode_seeds(seed, attempts, torch.full_like(attempts, batch)))


def _complete(writer: DatasetWriter, episodes: int) -> bool:
    """Whether it is known which attempts are the first so many that succeed."""
    if len(writer) < episodes:
        return False
    last = writer.kept[episodes - 1]
    return sum(number < last for number in writer.finished) == last


def describe(
    env: GraspVectorEnv, operator: str, base_seed: int, origin: Origin | None = None
) -> DatasetMeta:
    """Return what a dataset recorded in this environment says about itself.

    Args:
        env: where it is recorded.
        operator: who acts: `synthetic`, `human`, …
        base_seed: seed of the recording.
        origin: how its episodes come about; None: they are recorded.
    """
    states: dict[str, tuple[tuple[str, int], ...]] = {
        name: ((name, values[0].numel()),)
        for name, values in env.get_state().items()
        if not name.startswith(FIELD)
    }
    drives = len(env.robot.hand.drives)
    states["targets"] = ("wrist position", 3), ("wrist quaternion", 4), ("drives", drives)
    on_mujoco = env.device.type == "cpu"
    if on_mujoco:
        states["physics"] = state_parts(env.task.model)
    return DatasetMeta(
        spec=env.env_spec.to_dict(),
        env_name=gym_id(env.task_name),
        features=env.features,
        action_names=env.robot.action_names,
        control_rate=round(env.control_rate, 6),
        operator=operator,
        base_seed=base_seed,
        states=states,
        physics_state=INTEGRATION if on_mujoco else "",
        scene=scene_xml(env.env_spec),
        model_digest=model_digest(env.task.model),
        origin=origin or Origin(),
        description=env.task.summary,
    )


def perform(env: GraspVectorEnv, skill: float | None = None) -> list[Episode]:
    """Let synthetic operators act in every environment until its episode ends, or they give up.

    Args:
        env: just reset, without autoreset.
        skill: of the operators, see `record`.

    Returns:
        One episode per environment, failures included, in the order of the environments.
    """
    return [episode for _, episode in sorted(acting(env, skill), key=lambda one: one[0])]


def acting(env: GraspVectorEnv, skill: float | None = None) -> Iterator[tuple[int, Episode]]:
    """Do what `perform` does; yield environment and episode when it ends.

    Those whose operator gives up are failures, and end when all others have ended too.
    """
    operator, recorder = SyntheticOperator(env, skill), EpisodeRecorder(env)

    def episode(index: int) -> tuple[int, Episode]:
        human = operator.humans[index]
        return index, recorder.episode(
            index,
            {
                "mistakes": human.mistakes,
                "skill": round(human.traits.skill, 6),
                "strategy": human.strategy,
            },
        )

    patience = round(PATIENCE * env.control_rate)
    while recorder.running.any() and patience > 0:
        actions, sent = operator.act()
        *_, info = env.step(actions)
        yield from map(episode, recorder.add(actions, info, sent))
        operator.rest(torch.from_numpy(~recorder.running))
        patience -= bool((operator.done | ~recorder.running).all())
    yield from map(episode, np.flatnonzero(recorder.running).tolist())
