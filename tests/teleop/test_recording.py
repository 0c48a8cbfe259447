"""What is recorded while the disk is full: nothing is lost, doubled or reported too soon."""

from types import SimpleNamespace

import pytest

from gym_grasp.errors import DatasetError
from gym_grasp.teleop.session.recording import Recorder


class Disk:
    """A writer whose disk may be full."""

    def __init__(self) -> None:
        self.path = None
        self.kept: list[int] = []
        self.failures = 0
        self.full = self.closed = False

    def __len__(self) -> int:
        return len(self.kept)

    def _check(self) -> None:
        if self.full:
            raise DatasetError("No space left on device.")

    def add(self, episode: SimpleNamespace) -> None:
        self._check()
        self.kept.append(episode.seed)

    def count_failure(self) -> None:
        self._check()
        self.failures += 1

    def drop_last(self) -> None:
        self._check()
        self.kept.pop()

    def close(self) -> None:
        self._check()
        self.closed = True


def test_a_full_disk_loses_nothing() -> None:
    disk = Disk()
    recorder = Recorder(disk)
    recorder.add(SimpleNamespace(seed=0))
    recorder.flush()
    disk.full = True
    recorder.add(SimpleNamespace(seed=1))
    recorder.drop_last()  # of 1, which is not on disk yet
    recorder.add(SimpleNamespace(seed=2))
    recorder.fail()
    recorder.add(SimpleNamespace(seed=3))
    recorder.flush()
    assert recorder.counts == (1, 0)
    assert recorder.error == "5 change(s) of the recording not on disk: No space left on device."
    disk.full = False
    recorder.add(SimpleNamespace(seed=4))
    recorder.flush()
    assert (disk.kept, disk.failures, recorder.error) == ([0, 2, 3, 4], 1, None)
    recorder.close()
    assert disk.closed


def test_what_never_came_to_disk_is_an_error_at_the_end() -> None:
    disk = Disk()
    recorder = Recorder(disk)
    disk.full = True
    recorder.add(SimpleNamespace(seed=0))
    with pytest.raises(DatasetError, match=r"1 change\(s\) of the recording not on disk"):
        recorder.close()
    assert not disk.closed
