"""What plays: an episode that was recorded, or one that happens now."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gym_grasp.demos.listing import Listing
from gym_grasp.demos.operators.operator import SyntheticOperator
from gym_grasp.envs.scene import model_digest
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.state import FIELD
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DatasetError, UsageError
from gym_grasp.view.grip import Grip, pull
from gym_grasp.view.look import Looker
from gym_grasp.view.track import Track

Act = Callable[[Tensor], Tensor]
"""Observations (1, O) in, actions (1, A) out."""
LONGEST = 600.0
"""A live episode of which nobody says when it is over ends after so long, in [s]."""


class Side(ABC):
    """One environment, and the episode of it that is looked at."""

    kind: str
    """`episode`, or who acts: `policy`, `operator`, `nobody`."""
    notice = ""
    """What is to be known about all its episodes."""

    def __init__(self, name: str, spec: EnvSpec) -> None:
        self.name = name
        self.env = GraspVectorEnv(spec, 1, num_threads=1, autoreset=False)
        self.looker = Looker(self.env)
        self.track = Track(0, self.looker.scene.manifest)

    @property
    def rewinds(self) -> bool:
        """Whether another future can begin in any moment of its track."""
        return False

    @abstractmethod
    def advance(self, grip: Grip | None) -> None:
        """Let one more moment happen, if the track has not ended."""

    def close(self) -> None:
        """Free the simulation."""
        self.env.close()


class Recorded(Side):
    """Episodes of a dataset, shown from the states that were recorded.

    Args:
        listing: the dataset.
    """

    kind = "episode"

    def __init__(self, listing: Listing) -> None:
        if not listing.meta.physics_state:
            raise DatasetError(
                f"{listing.path} was recorded on a GPU, whose states MuJoCo cannot read; record on "
                "the CPU what is to be looked at."
            )
        super().__init__(str(listing.path), listing.env_spec())
        self.listing = listing
        if listing.meta.model_digest != model_digest(self.env.task.model):
            self.notice = "The scene has changed since this was recorded."

    def load(self, index: int) -> Track:
        """Read an episode, and look at every moment of it; it does not become `track`.

        Raises:
            DatasetError: it is damaged, or of another scene.
        """
        episode, env = self.listing.episode(index), self.env
        fields = {
            FIELD + name: torch.from_numpy(value[None].copy())
            for name, value in episode.fields.items()
        }
        track = Track(episode.seed, {}, episode=index)
        none = np.full(self.env.action_size, np.nan)
        for moment in range(len(episode) + 1):
            rows = {
                name: torch.from_numpy(value[moment : moment + 1].copy())
                for name, value in episode.states.items()
            }
            try:
                env.set_state({**rows, **fields})
            except UsageError as error:
                raise DatasetError(
                    f"{self.listing.path}: demo_{index} is of another scene than this gym-grasp's: "
                    f"{error}"
                ) from error
            if moment == 0:
                self.looker.follow()
                track.scene = self.looker.scene.manifest
            step = moment - 1
            action, rewards = none, (np.nan, np.nan)
            if moment:
                action = episode.actions[step]
                rewards = float(episode.rewards[step]), float(episode.dense_rewards[step])
            progress = float(env.task.progress(env.physics)[0])
            if episode.success and moment == len(episode):
                progress = max(progress, 1.0)  # as `judge` says
            track.add(self.looker, action, rewards, progress)
        track.outcome = "success" if episode.success else "failure"
        return track

    def advance(self, grip: Grip | None) -> None:
        """All of it has happened."""

    def close(self) -> None:
        super().close()
        self.listing.close()


class Live(Side):
    """An episode that happens now.

    Args:
        name: whose.
        kind: who acts, see `Side.kind`.
        spec: the environment.
        begin: returns who acts in an environment that was just reset; None: nobody does.
    """

    def __init__(
        self, name: str, kind: str, spec: EnvSpec, begin: Callable[[GraspVectorEnv], Act] | None
    ) -> None:
        super().__init__(name, spec)
        self.kind = kind
        self._begin = begin
        self._act: Act = lambda _: torch.zeros(1, self.env.action_size)
        self._most = round(LONGEST * self.env.control_rate)

    @property
    def rewinds(self) -> bool:
        return self.kind != "operator"  # it remembers

    def begin(self, seed: int) -> None:
        """Begin the episode of a seed."""
        self.env.reset_to(torch.tensor([seed], dtype=torch.int64))
        self.looker.follow()
        if self._begin is not None:
            self._act = self._begin(self.env)
        self.track = Track(seed, self.looker.scene.manifest)
        progress = float(self.env.task.progress(self.env.physics)[0])
        none = np.full(self.env.action_size, np.nan)
        self.track.add(self.looker, none, (np.nan, np.nan), progress, self.env.get_state())

    def advance(self, grip: Grip | None) -> None:
        if self.track.outcome:
            return
        env, action = self.env, self._act(self.env.observation())
        if grip is None:
            _, _, terminated, truncated, info = env.step(action)
        else:
            self.track.touched = True
            env.begin_step(action)
            for _ in range(env.controller.config.interval):
                pull(env, self.looker, grip)
                env.advance()
            pull(env, self.looker, None)
            _, _, terminated, truncated, info = env.end_step()
        if info["diverged"][0]:
            self.track.outcome = "diverged"
            return
        rewards = float(terminated[0]) - 1.0, float(info["dense_reward"][0])
        progress = float(info["progress"][0])
        self.track.add(self.looker, action[0].numpy(), rewards, progress, env.get_state())
        if self._begin is not None and terminated[0]:
            self.track.outcome = "success"
        elif (self._begin is not None and truncated[0]) or len(self.track) > self._most:
            self.track.outcome = "out of time"

    def rewind(self, index: int) -> None:
        """Let another future begin in a moment of the track; see `rewinds`."""
        state = self.track.moments[index].state
        assert state is not None
        self.env.set_state(state)
        self.track.cut(index)


def operator_of(env: GraspVectorEnv) -> Act:
    """Return the synthetic operator, who begins to act; raises UsageError where there is none."""
    operator = SyntheticOperator(env)
    return lambda _: operator.act()[0]


def describe(side: Side) -> dict[str, Any]:
    """Return what a page has to know of a side, in plain values."""
    env = side.env
    return {
        "name": side.name,
        "kind": side.kind,
        "task": env.task_name,
        "summary": env.task.summary,
        "robot": env.env_spec.robot,
        "notice": side.notice,
    }
