"""A dataset to leaf through: the list at once, an episode when it is asked for.

`open_dataset` reads everything that learning relies on before it returns. Who looks wants to see
the list first; so only names and attributes are read here, and each episode is checked on its own.
"""

from contextlib import ExitStack
from pathlib import Path

from gym_grasp.closing import Closing
from gym_grasp.demos import guard, hdf5
from gym_grasp.demos.episode import Episode
from gym_grasp.demos.reader import altered, missing, read_meta, reading, spec_of
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.errors import DatasetError


class Listing(Closing):
    """The episodes of a file, which stays open; a context manager.

    Not for several threads at once.

    Args:
        path: the file that a DatasetWriter made.

    Raises:
        DatasetError: it is missing, damaged or of another format.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise missing(path)
        self.path = path
        self._open = ExitStack()
        try:
            with reading(path):
                self._file = self._open.enter_context(guard.opened(path))
                self.meta = read_meta(path, self._file)
                groups = hdf5.episode_groups(self._file)
                self.episodes = tuple(hdf5.read_head(self._file, group) for group in groups)
        except DatasetError:
            self._open.close()
            raise

    def env_spec(self) -> EnvSpec:
        """Return the environment of the recording, to be made again.

        Raises:
            DatasetError: the task, its version or a setting does not exist here.
        """
        return spec_of(self.path, self.meta)

    def episode(self, index: int) -> Episode:
        """Read one episode whole.

        Raises:
            DatasetError: it is damaged, was altered, or breaks a rule of episodes.
        """
        group = f"/data/demo_{index}"
        with reading(self.path, group[1:]):
            episode = next(hdf5.read_episodes(self._file, [group]))
            episode.check(self.meta.features, len(self.meta.action_names))
            same = episode.digest() == hdf5.read_digest(self._file, group)
        if not same:
            raise altered(self.path, index)
        return episode

    def close(self) -> None:
        """Close the file."""
        self._open.close()
