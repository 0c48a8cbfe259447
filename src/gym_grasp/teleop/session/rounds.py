"""The sessions of one host, one after the other: one for every task that the operator takes up."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from gym_grasp.demos.record import describe
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import DatasetError
from gym_grasp.teleop.devices.base import Moved
from gym_grasp.teleop.hand.input import Device
from gym_grasp.teleop.session.recording import Recorder
from gym_grasp.teleop.session.session import Session, SessionConfig


@dataclass(frozen=True)
class Outcome:
    """What came of one of them."""

    task: str
    path: Path | None
    """The dataset; None: none was made."""
    kept: int
    failed: int
    dropped: int


class Rounds:
    """Makes sessions that the same device drives, and ends them.

    Args:
        env: of the first; the first of several visits to a task has the start states of the
            config's seed, the next those of the seed after it.
        device: what drives.
        moved_by: whose movements are recorded.
        config: of every session.
        spec: the environment of a task.
        path: a new dataset for a task; None: nothing is written.

    Raises:
        DatasetError: the first dataset cannot be begun.
    """

    def __init__(
        self,
        env: GraspVectorEnv,
        device: Device,
        moved_by: Moved,
        config: SessionConfig,
        spec: Callable[[str], EnvSpec],
        path: Callable[[str], Path | None],
    ) -> None:
        self.outcomes: list[Outcome] = []
        """Of the sessions that have ended."""
        self.problem: DatasetError | None = None
        """Why a dataset could not be made of a session's episodes."""
        self._device, self._moved_by, self._config = device, moved_by, config
        self._spec, self._path = spec, path
        self._visits: Counter[str] = Counter()
        self.session = self._session(env)

    def begin(self, task: str) -> Session:
        """End the present session and return one of another task.

        Raises:
            GymGraspError: there is no such environment, or its dataset cannot be begun; the
                present session goes on.
        """
        env = GraspVectorEnv(self._spec(task), 1, num_threads=1, autoreset=False)
        try:
            session = self._session(env)
        except BaseException:
            env.close()
            raise
        try:
            self.close()
        except DatasetError as error:  # the episodes are safe in its parts
            self.problem = error
            session.notice = str(error)
        self.session = session
        return session

    def close(self) -> None:
        """End the present session.

        Raises:
            DatasetError: its dataset could not be written.
        """
        session, recorder = self.session, self.session.recorder
        try:
            session.close()
        finally:
            kept, failed = recorder.counts
            path = recorder.path if kept else None
            task = session.env.task_name
            self.outcomes.append(Outcome(task, path, kept, failed, recorder.dropped))
            session.env.close()

    def _session(self, env: GraspVectorEnv) -> Session:
        task = env.task_name
        config = replace(self._config, seed=self._config.seed + self._visits[task])
        path = self._path(task)
        recorder = None
        if path is not None:
            source = describe(env, operator=self._moved_by, base_seed=config.seed)
            recorder = Recorder(DatasetWriter(path, source, resume=True))
        self._visits[task] += 1
        return Session(env, self._device, recorder, config)
