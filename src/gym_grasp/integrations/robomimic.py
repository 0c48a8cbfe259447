"""The environment as robomimic's rollouts make it.

robomimic knows environments by the number of a kind. Recorded and exported files say 2, Gym, for
which robomimic imports OpenAI's `gym`, discontinued in 2022. Importing this module, or

    python -m gym_grasp.integrations.robomimic train --config CONFIG --dataset FILE

for any of `robomimic.scripts`, lets this kind mean the class below where a name is one of ours.
"""

import json
import runpy
import sys
from copy import deepcopy
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

import gym_grasp
from gym_grasp.envs.flat import flatten, unflatten
from gym_grasp.envs.render import HEIGHT, WIDTH, Camera
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DependencyError, UsageError
from gym_grasp.tasks import TASKS, gym_id

try:
    import robomimic.utils.env_utils as env_utils
    from robomimic.envs.env_base import EnvBase, EnvType
except ImportError as error:
    raise DependencyError(
        f"The adapter needs robomimic, and '{error.name}' is not installed; pip install robomimic."
    ) from error

FIRST_SEED = 2**31
"""Seeds of rollouts begin here: those of demonstrations and training are below."""

_robomimics_own = env_utils.get_env_class


class GraspEnv(EnvBase):
    """One environment; observations are the features that policies act on, by name.

    Args:
        env_name: Gymnasium's name; a name that is not one of ours makes robomimic's own class.
        task: the specification of the environment, as a dataset holds it.
        **kwargs: `use_image_obs` has to be left False; what else robomimic passes is for drawing,
            which works at any time.
    """

    def __new__(cls, env_name: str, *args: Any, **kwargs: Any) -> Any:
        if env_name in map(gym_id, TASKS):
            return super().__new__(cls)
        return _robomimics_own(env_type=EnvType.GYM_TYPE)(env_name, *args, **kwargs)

    def __init__(
        self,
        env_name: str,
        render: bool = False,
        render_offscreen: bool = False,
        use_image_obs: bool = False,
        postprocess_visual_obs: bool = True,
        task: Any = None,
        **kwargs: Any,
    ) -> None:
        if use_image_obs:
            raise UsageError("Observations hold no images here; leave the rgb observations out.")
        self._name, self._kwargs = env_name, {"task": deepcopy(task), **kwargs}
        task = task or next(one for one in TASKS if gym_id(one) == env_name)
        self.env = GraspVectorEnv(task, 1, autoreset=False, num_threads=1, **kwargs)
        self._reward, self._done, self._success = 0.0, False, False
        self._cameras: dict[tuple[str, int, int], Camera] = {}

    def reset(self) -> dict[str, np.ndarray]:
        """Begin an episode; NumPy's global generator, which robomimic seeds, decides the first."""
        seed = None if self.env.seeded else FIRST_SEED + int(np.random.randint(2**31))  # noqa: NPY002
        self.env.reset(seed=seed)
        self._reward, self._done, self._success = 0.0, False, False
        return self.get_observation()

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, dict[str, Any]]:
        """Apply one action, shape (A,)."""
        batch = torch.as_tensor(np.asarray(action), dtype=torch.float32)[None]
        _, reward, terminated, truncated, info = self.env.step(batch)
        self._reward, self._done = float(reward[0]), bool(terminated[0] | truncated[0])
        self._success = bool(info["success"][0])
        return self.get_observation(), self._reward, self._done, {"success": self._success}

    def get_observation(self, di: Any = None) -> dict[str, np.ndarray]:
        """Return the present observation by feature, each (D,), float32."""
        return self.env.packer.unpack(self.env.observation()[0].numpy())

    def get_state(self) -> dict[str, Any]:
        """Return the state as exported files hold it: `states`, shape (S,)."""
        state = {key: value.numpy() for key, value in self.env.get_state().items()}
        return {"states": flatten(state)[0]}

    def reset_to(self, state: dict[str, Any]) -> dict[str, np.ndarray]:
        """Go on from a state that `get_state` returned or an exported file holds."""
        if not self.env.seeded:
            self.env.reset(seed=0)
        like = {key: value.numpy() for key, value in self.env.get_state().items()}
        try:
            parts = unflatten(np.asarray(state["states"], dtype=np.float64)[None], like)
        except ValueError as error:
            raise UsageError(
                f"This is no state of {self._name}: {error}; export the file with "
                "`gym-grasp demos export --format robomimic`."
            ) from error
        self.env.set_state({key: torch.from_numpy(value) for key, value in parts.items()})
        self._reward, self._done, self._success = 0.0, False, False
        return self.get_observation()

    def render(
        self,
        mode: str = "rgb_array",
        height: int | None = None,
        width: int | None = None,
        camera_name: str | None = None,
        **kwargs: Any,
    ) -> np.ndarray:
        """Draw the scene. Shape (height, width, 3), uint8."""
        if mode != "rgb_array":
            raise UsageError(f"The mode of drawing is '{mode}'; this draws 'rgb_array' alone.")
        view = camera_name or "overview", width or WIDTH, height or HEIGHT
        if view not in self._cameras:
            self._cameras[view] = Camera(self.env, *view)
        return self._cameras[view].frame()

    def get_reward(self) -> float:
        """Return the last step's reward."""
        return self._reward

    def is_done(self) -> bool:
        """Whether the last step ended the episode, by success or time limit."""
        return self._done

    def is_success(self) -> dict[str, bool]:
        """Whether the last step reached the goal."""
        return {"task": self._success}

    def get_goal(self) -> None:
        """There are no goals to choose."""
        raise NotImplementedError

    def set_goal(self, **kwargs: Any) -> None:
        """There are no goals to choose."""
        raise NotImplementedError

    @property
    def action_dimension(self) -> int:
        """Number of actions."""
        return self.env.action_size

    @property
    def name(self) -> str:
        """Gymnasium's name."""
        return self._name

    @property
    def rollout_exceptions(self) -> tuple[type[Exception], ...]:
        """Simulations that diverge end their episode; nothing is raised."""
        return ()

    @property
    def type(self) -> int:
        """robomimic's number of Gym environments."""
        return EnvType.GYM_TYPE

    @property
    def version(self) -> str:
        """Version of the package; robomimic compares it with what a file says."""
        return gym_grasp.__version__

    @property
    def base_env(self) -> GraspVectorEnv:
        """The environment itself."""
        return self.env

    def serialize(self) -> dict[str, Any]:
        """Return the description from which robomimic makes the environment again."""
        return {
            "env_name": self._name,
            "type": self.type,
            "env_version": self.version,
            "env_kwargs": deepcopy(self._kwargs),
        }

    @classmethod
    def create_for_data_processing(cls, env_name: str, *args: Any, **kwargs: Any) -> None:
        """Recorded files hold every observation already."""
        raise UsageError("Nothing has to be extracted: the file holds all observations.")

    def __repr__(self) -> str:
        return f"{self._name}\n{json.dumps(self._kwargs, sort_keys=True, indent=4)}"


def get_env_class(env_meta: Any = None, env_type: Any = None, env: Any = None) -> Any:
    """Return robomimic's class of a kind of environment, for Gym environments the one above."""
    kind = env_utils.get_env_type(env_meta=env_meta, env_type=env_type, env=env)
    return GraspEnv if kind == EnvType.GYM_TYPE else _robomimics_own(env_type=kind)


env_utils.get_env_class = get_env_class

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m gym_grasp.integrations.robomimic SCRIPT ... (such as train)")
    sys.argv = sys.argv[1:]
    script = f"robomimic.scripts.{sys.argv[0]}"
    if find_spec(script) is None:
        raise UsageError(f"There is no {script}; name one that robomimic has, such as train.")
    runpy.run_module(script, run_name="__main__", alter_sys=True)
