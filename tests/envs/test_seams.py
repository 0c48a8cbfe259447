"""What a task may ask of the environment: memory, model fields, groups of features."""

import numpy as np
import torch

from gym_grasp.envs.build import compile_drawing
from gym_grasp.envs.render import Camera
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.physics.base import Physics
from gym_grasp.tasks import register_task
from gym_grasp.tasks.features import Feature
from gym_grasp.tasks.open_drawer import OpenDrawer
from gym_grasp.tasks.random import uniform
from gym_grasp.tasks.scene import SCENES

TOUCHED, WANTED = 0.05, 0.02


class OpenAndClose(OpenDrawer):
    """Two stages: open the drawer, then close it again; having been open is latched."""

    name = "open-and-close"
    memory_size = 1

    @classmethod
    def scene(cls):
        return SCENES / "open_drawer.xml"

    def remember(self, physics: Physics) -> torch.Tensor:
        return torch.maximum(self.memory, (self.opening(physics)[:, None] > TOUCHED).float())

    def success(self, physics: Physics) -> torch.Tensor:
        return (self.memory[:, 0] > 0) & (self.opening(physics) < WANTED)

    @classmethod
    def scene_features(cls, options):
        return {
            **super().scene_features(options),
            "friction": Feature("of the drawer", "1", ("value",), groups=("critic",)),
            "was_open": Feature("latched", "1", ("value",), groups=("policy", "critic")),
        }

    def observe_scene(self, physics):
        return {
            **super().observe_scene(physics),
            "friction": torch.ones(physics.num_envs, 1),
            "was_open": self.memory,
        }


class HeavyDrawer(OpenDrawer):
    """The drawer's damping differs from episode to episode."""

    name = "heavy-drawer"

    @classmethod
    def scene(cls):
        return SCENES / "open_drawer.xml"

    def randomise(self, seeds: torch.Tensor) -> dict[str, torch.Tensor]:
        """Damping of the slide, and the length of the handle's bar."""
        damping = torch.tensor(self.model.dof_damping, dtype=torch.float32).repeat(len(seeds), 1)
        low, high = torch.tensor([1.0]), torch.tensor([50.0])
        damping[:, self.model.joint("drawer").dofadr[0]] = uniform(seeds, low, high, stream=9)[:, 0]
        size = torch.tensor(self.model.geom_size, dtype=torch.float32).repeat(len(seeds), 1, 1)
        bar = self.model.geom("handle_bar_collision").id
        size[:, bar, 1] = uniform(seeds, 0 * low + 0.02, 0 * low + 0.18, stream=10)[:, 0]
        return {"dof_damping": damping, "geom_size": size}


register_task("open-and-close", f"{__name__}:OpenAndClose", version=OpenDrawer.version)
register_task("heavy-drawer", f"{__name__}:HeavyDrawer", version=OpenDrawer.version)
STILL = torch.zeros(2, 11)


def put_drawer(env: GraspVectorEnv, openings: list[float], speed: float = 0.0) -> None:
    state = env.get_state()
    for row, opening in enumerate(openings):
        state["physics"][row, 1] = 1.5  # the hand aside
        state["physics"][row, 1 + env.task.slide] = opening
        state["physics"][row, 1 + env.physics.model.nq + env.task.slide] = speed
    env.set_state(state)


def test_a_goal_in_two_stages_is_latched():
    env = GraspVectorEnv("open-and-close", 2, num_threads=1)
    env.reset(seed=0)
    put_drawer(env, [0.10, 0.0])
    *_, info = env.step(STILL)
    assert not info["success"].any()  # open now; the other never was
    assert env.task.memory[:, 0].tolist() == [1.0, 0.0]
    saved = env.get_state()
    put_drawer(env, [0.0, 0.0])
    _, _, terminated, _, info = env.step(STILL)
    assert terminated.tolist() == [True, False]
    assert env.packer.unpack(info["final_obs"])["was_open"][:, 0].tolist() == [1.0, 0.0]
    assert env.task.memory[:, 0].tolist() == [0.0, 0.0]  # the next episode has begun
    env.set_state(saved)
    assert env.task.memory[:, 0].tolist() == [1.0, 0.0]


def test_features_go_to_their_groups():
    env = GraspVectorEnv("open-and-close", 2, num_threads=1)
    env.reset(seed=0)
    assert list(env.packer.layout) == [
        "drawer_opening",
        "finger_positions",
        "was_open",
        "wrist_pose",
    ]
    assert env.observation().shape == (2, 22)
    assert env.observation("critic").tolist() == [[1.0, 0.0]] * 2
    assert set(env.observe()) == {*env.packer.layout, "friction"}


def test_model_fields_follow_from_the_episodes_seed():
    env = GraspVectorEnv("heavy-drawer", 2, num_threads=1, max_episode_steps=6)
    env.reset(seed=1)
    seeds = env.episode_seed.clone()
    joint = int(env.task.model.joint("drawer").dofadr[0])
    drawn = env.physics.get_field("dof_damping")[:, joint].float()
    torch.testing.assert_close(drawn, env.task.randomise(seeds)["dof_damping"][:, joint])
    assert (drawn[0] - drawn[1]).abs() > 1.0
    put_drawer(env, [0.1, 0.1], speed=-0.5)
    saved = env.get_state()
    first, *_ = env.step(STILL)
    opening = env.packer.unpack(first)["drawer_opening"][:, 0]
    heavier = int(drawn.argmax())
    assert opening[heavier] > opening[1 - heavier] + 1e-4  # it stops sooner
    for _ in range(8):
        env.step(STILL)  # other episodes, other damping
    assert not torch.equal(env.physics.get_field("dof_damping")[:, joint].float(), drawn)
    env.set_state(saved)
    again, *_ = env.step(STILL)
    assert torch.equal(first, again)
    env.reset_to(seeds)
    torch.testing.assert_close(env.physics.get_field("dof_damping")[:, joint].float(), drawn)


def test_only_environments_that_begin_an_episode_draw_anew():
    env = GraspVectorEnv("heavy-drawer", 2, num_threads=1)
    env.reset(seed=1)
    before = env.physics.get_field("dof_damping")
    env.reset(options={"reset_mask": torch.tensor([False, True])})
    after = env.physics.get_field("dof_damping")
    assert (before == after).all(dim=1).tolist() == [True, False]


def test_a_picture_shows_the_simulations_own_shape():
    env = GraspVectorEnv("heavy-drawer", 16, num_threads=1)
    env.reset(seed=1)
    bar = env.physics.model.geom("handle_bar_collision").id
    length = env.physics.get_field("geom_size")[:, bar, 1]
    long, short = int(length.argmax()), int(length.argmin())
    with Camera(env, "close") as lens:
        frames = {index: lens.frame(index).astype(int) for index in (long, short)}
    assert (abs(frames[long] - frames[short]).sum(axis=-1) > 60).sum() > 200


def test_constants_of_a_parent_are_not_those_of_other_fields():
    env = GraspVectorEnv("heavy-drawer", 2)
    assert OpenDrawer.constants(env.task, env.episode_seed) == {}
    assert env.task.constants(env.episode_seed) is None
    assert env.episodes.constants is None
    assert GraspVectorEnv("open-and-close", 1).episodes.constants == {}


def test_what_is_only_drawn_of_the_robot_is_not_simulated():
    env = GraspVectorEnv("open-drawer")
    model, geoms = compile_drawing(env.env_spec)
    simulated = env.physics.model
    assert len(geoms) == simulated.ngeom
    assert model.ngeom - simulated.ngeom > 70
    np.testing.assert_array_equal(model.geom_size[geoms], simulated.geom_size)
    left_out = np.delete(np.arange(model.ngeom), geoms)
    assert not model.geom_contype[left_out].any()
    assert not model.geom_conaffinity[left_out].any()
    for name in ("body_mass", "body_inertia", "body_ipos", "site_pos", "jnt_range", "dof_armature"):
        np.testing.assert_array_equal(getattr(model, name), getattr(simulated, name))
