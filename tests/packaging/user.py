"""A user's program, for mypy: it sees the types of the installed package."""

from torch import Tensor

from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv

spec = EnvSpec("lift-object", {"object": "sphere"})
env = GraspVectorEnv(spec, num_envs=4)
observation, info = env.reset(seed=0)
reveal_type(observation)  # noqa: F821
names: tuple[str, ...] = spec.action_names
state: dict[str, Tensor] = env.get_state()
wrong: int = env.control_rate
