"""What Gymnasium asks of every environment, whatever it does: metadata, spec, copies, rendering."""

from typing import Any, NoReturn

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

from gym_grasp.errors import UsageError

NOT_DRAWN = (
    "a batch of tensors draws nothing; `envs.render.Camera` draws one of its simulations, and a "
    "batch of arrays draws all: make_vec(…, backend='numpy', render_mode='rgb_array')."
)
"""What to do instead."""


class Uncopied:
    """Refuses to be copied or pickled, in words: the simulations are not in Python's memory."""

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise UsageError(
            f"A {type(self).__name__} cannot be copied or pickled. Make another from its env_spec, "
            "which can, and give it this one's state: other.set_state(env.get_state())."
        )


class VectorFace(Uncopied, gymnasium.vector.VectorEnv):
    """The face of a batch of tensors, which draws nothing."""

    metadata: dict[str, Any] = {  # noqa: RUF012 (Gymnasium's interface)
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }
    autoreset_mode = AutoresetMode.SAME_STEP
    """As TorchRL looks for it."""
    max_episode_steps: int
    _spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """Gymnasium's, where it was made there; its limit is the one in force."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None:
            spec.max_episode_steps = self.max_episode_steps
        self._spec = spec

    def render(self) -> NoReturn:
        """Raise `UsageError`; see `NOT_DRAWN`."""
        raise UsageError(f"render() was called, but {NOT_DRAWN}")
