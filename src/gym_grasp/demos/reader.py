"""Opening a dataset: everything that learning relies on is checked before anything is learned."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from gym_grasp.demos import guard, hdf5
from gym_grasp.demos.episode import Episode
from gym_grasp.demos.meta import DatasetMeta
from gym_grasp.demos.parts import parts_folder
from gym_grasp.differences import differences
from gym_grasp.envs.build import compile_scene
from gym_grasp.envs.scene import model_digest
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.errors import DatasetError, UsageError, reason
from gym_grasp.tasks.features import Feature
from gym_grasp.typed import CRAFTED

_DAMAGE = (OSError, *CRAFTED)


class Dataset:
    """An intact file of demonstrations; see :func:`open_dataset`.

    What policies learn from is held in memory; the rest is read when asked for.

    Attributes:
        path: the file.
        meta: what the file says about itself.
        train_indices, valid_indices: which episodes to learn from, and which to hold out.
        summaries: every episode, of its observations those of the group `policy`, without its
            states and operator input.
        digests: what every episode's digest was when it was recorded.
    """

    def __init__(
        self,
        path: Path,
        meta: DatasetMeta,
        summaries: Sequence[Episode],
        digests: Sequence[str],
        train_indices: Sequence[int],
        valid_indices: Sequence[int],
    ) -> None:
        self.path = path
        self.meta = meta
        self.summaries = tuple(summaries)
        self.digests = tuple(digests)
        self.train_indices = tuple(train_indices)
        self.valid_indices = tuple(valid_indices)

    def env_spec(self) -> EnvSpec:
        """Return the environment of the recording, to be made again.

        Raises:
            DatasetError: the task, its version or a setting does not exist here.
        """
        return spec_of(self.path, self.meta)

    def require(self, spec: EnvSpec) -> None:
        """Refuse the dataset unless it was recorded in an environment like this.

        Raises:
            DatasetError: with a line for every difference. The episode limit may differ.
        """
        _require(self.path, self.meta, spec)

    def require_cpu_states(self, why: str) -> None:
        """Refuse a dataset of a GPU's states, which are the engine's own.

        Args:
            why: what cannot be done, such as "no episode can begin in".

        Raises:
            DatasetError: it holds them.
        """
        if not self.meta.physics_state:
            raise DatasetError(
                f"{self.path} holds a GPU's states, which {why}; record it on a CPU, or multiply "
                "what it was made from."
            )

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.summaries)

    def chosen(self, episodes: Sequence[int] | None, done: str) -> list[int]:
        """Return which episodes are meant: those named, or all.

        Args:
            episodes: named ones, counted from 0.
            done: what is to be done with them, a participle for the message.

        Raises:
            UsageError: there is no such episode, none is named, or one twice.
        """
        chosen = list(range(len(self))) if episodes is None else list(episodes)
        if wrong := [index for index in chosen if not 0 <= index < len(self)]:
            raise UsageError(
                f"Episode {wrong[0]} is to be {done}; {self.path} has {len(self)}, 0 to "
                f"{len(self) - 1}."
            )
        if not chosen:
            raise UsageError(f"No episode is to be {done}; name at least one.")
        if len({*chosen}) < len(chosen):
            raise UsageError(f"Episodes {chosen} are to be {done}; name each of them once.")
        return chosen

    def episode(self, index: int) -> Episode:
        """Read one episode whole; raise DatasetError where it is damaged or was altered."""
        return next(self.episodes([index]))

    def episodes(self, indices: Iterable[int] | None = None) -> Iterator[Episode]:
        """Read episodes whole, one after the other, by default all; raises as `episode` does."""
        chosen = range(len(self)) if indices is None else list(indices)
        groups = [f"/data/demo_{index}" for index in chosen]
        with reading(self.path), guard.opened(self.path) as file:
            found = hdf5.read_episodes(file, groups)
            for index in chosen:
                with reading(self.path, f"data/demo_{index}"):
                    episode = next(found)
                    episode.check(self.meta.features, len(self.meta.action_names))
                if episode.digest() != self.digests[index]:
                    raise altered(self.path, index)
                yield episode

    def flat(self, indices: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return (observations (T + 1, O), actions (T, A)) float32 of the given episodes.

        Observations are those of the group `policy`, side by side, keys sorted.
        """
        chosen, packer = [self.summaries[index] for index in indices], self.meta.packer
        return [(episode.flat_observations(packer), episode.actions) for episode in chosen]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of environment, split and every recorded number.

        How they are stored does not count, nor who made them.

        Raises:
            DatasetError: an episode is not as it was recorded.
        """
        digest = hashlib.sha256()
        head = [
            self.meta.spec,
            self.meta.model_digest,
            {key: feature.to_dict() for key, feature in self.meta.features.items()},
            self.meta.action_names,
            self.train_indices,
            self.valid_indices,
        ]
        digest.update(json.dumps(head, sort_keys=True).encode())
        for episode in self.episodes():
            digest.update(episode.digest().encode())
        return digest.hexdigest()


def open_dataset(path: str | Path, spec: EnvSpec | None = None) -> Dataset:
    """Open a file of demonstrations and refuse it unless it is whole and fits.

    Args:
        path: the file that a DatasetWriter made.
        spec: the environment that it is to be used for, see `Dataset.require`; None takes any,
            even of a task that does not exist here.

    Raises:
        DatasetError: the file is missing, damaged, of another format or environment, or holds
            what an episode must not (NaN, actions outside [-1, 1], wrong shapes).
    """
    path = Path(path)
    if not path.is_file():
        raise missing(path)
    with reading(path), guard.opened(path) as file:
        meta = read_meta(path, file)
        if spec is not None:
            _require(path, meta, spec)
        policy = {key: meta.features[key] for key in meta.packer.layout}
        names = hdf5.episode_groups(file)
        summaries, digests = [], []
        found = hdf5.read_episodes(file, names, keys=policy)
        for name in names:
            with reading(path, name[1:]):
                episode = next(found)
                episode.check(policy, len(meta.action_names))
                summaries.append(episode)
                digests.append(hdf5.read_digest(file, name))
        train, valid = hdf5.read_split(file)
        if sorted(train + valid) != list(range(len(names))):
            raise ValueError("mask/train and mask/valid do not split its episodes")
        total = sum(len(episode) for episode in summaries)
        if total != hdf5.read_total(file):
            raise ValueError(f"its episodes have {total} steps, not {hdf5.read_total(file)}")
        if meta.attempts - meta.failures != len(names):
            raise ValueError(
                f"it counts {meta.attempts} attempts and {meta.failures} failures, but holds"
                f" {len(names)} episodes"
            )
        if file.structure != file.attributes("/").get("structure"):
            raise ValueError("a name, shape, type or attribute in it has changed")
    return Dataset(path, meta, summaries, digests, train, valid)


def check(dataset: Dataset, progress: Callable[[int], None] = lambda done: None) -> None:
    """Read everything in the file, states and raw input too.

    This is the structural half of validation; the other is `gym_grasp.demos.replay.replay`.

    Args:
        dataset: an opened dataset.
        progress: called after each episode with how many are done.

    Raises:
        DatasetError: an episode is damaged, a failure, a copy, or unlike the others.
    """
    states: dict[str, tuple[str, tuple[int, ...]]] | None = None
    seeds: dict[int, int] = {}
    for index, episode in enumerate(dataset.episodes()):
        found = {key: (value.dtype.str, value.shape[1:]) for key, value in episode.states.items()}
        states = found if states is None else states
        if found != states:
            raise DatasetError(f"{dataset.path}: demo_{index} holds other states than demo_0.")
        if not episode.success:
            raise DatasetError(f"{dataset.path}: demo_{index} is a failed attempt.")
        if episode.seed in seeds:
            raise DatasetError(
                f"{dataset.path}: demo_{index} and demo_{seeds[episode.seed]} have the same seed"
                f" {episode.seed}, so one of them is a copy."
            )
        seeds[episode.seed] = index
        progress(index + 1)


def spec_of(path: Path, meta: DatasetMeta) -> EnvSpec:
    """Return the environment of a recording, to be made again; raises as `Dataset.env_spec`."""
    try:
        return EnvSpec.from_dict(meta.spec)
    except UsageError as error:
        raise DatasetError(f"{path} cannot be made again: {error}") from error


def read_meta(path: Path, file: guard.Contents) -> DatasetMeta:
    """Read what a file says about itself; raises DatasetError where its format is another."""
    head = file.attributes("/")
    if head.get("format") != hdf5.FORMAT:
        raise DatasetError(f"{path} is HDF5, but not a file of gym-grasp demonstrations.")
    if head.get("format_version") != hdf5.FORMAT_VERSION:
        raise DatasetError(
            f"{path} has format version {reason(head.get('format_version'))}, but this gym-grasp"
            f" reads {hdf5.FORMAT_VERSION}."
            " Record it again, or use the version of gym-grasp that made it."
        )
    return hdf5.read_meta(file)


_NAMES = ("dataset", "environment")


def _require(path: Path, meta: DatasetMeta, spec: EnvSpec) -> None:
    found = differences(meta.spec, spec.to_dict(), _NAMES)
    if meta.task == spec.task:  # another task's observations and scene are other ones anyway
        found += _feature_differences(meta.features, spec.features)
    if not found and meta.model_digest != model_digest(compile_scene(spec)):
        found.append("the scene has changed since")
    if found:
        lines = "".join(f"\n  {line}" for line in found)
        raise DatasetError(
            f"{path} was recorded in another environment; use it with its own settings, or record"
            f" it again with `gym-grasp demos record {spec.task}`:{lines}"
        )


def _feature_differences(ours: dict[str, Feature], theirs: dict[str, Feature]) -> list[str]:
    lines = []
    for key in sorted({*ours, *theirs}):
        if key in ours and key in theirs:
            pair = ours[key].to_dict(), theirs[key].to_dict()
            found = differences(*pair, _NAMES, ignore=("description",))
            lines += [f"features.{key}.{line}" for line in found]
        else:
            mine, other = (("has", "has not")[key not in one] for one in (ours, theirs))
            lines.append(f"features.{key}: {_NAMES[0]} {mine} it, {_NAMES[1]} {other}")
    return lines


def altered(path: Path, index: int) -> DatasetError:
    """Return the error for an episode that is not what was recorded."""
    return DatasetError(
        f"{path}: demo_{index} has changed since it was recorded."
        " Restore the file from a copy or record it again."
    )


def missing(path: Path) -> DatasetError:
    """Return the error for a file that is not there."""
    remedy = "Record one with `gym-grasp demos record TASK`."
    if parts_folder(path).is_dir():
        remedy = f"An unfinished recording lies in {parts_folder(path)}: recover it."
    return DatasetError(f"There is no dataset {path}. {remedy}")


@contextmanager
def reading(path: Path, where: str = "") -> Iterator[None]:
    """Turn whatever a damaged file raises into one clear error."""
    try:
        yield
    except _DAMAGE as error:
        raise DatasetError(
            f"{path}{where and f' ({reason(where)})'} is damaged or no dataset: {reason(error)}."
            " Restore it from a copy or record it again with `gym-grasp demos record`."
        ) from error
