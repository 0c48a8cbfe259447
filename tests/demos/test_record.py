"""Recording depends on its arguments alone, however often it is cut off."""

import signal
import subprocess
import sys
import time

import pytest

from gym_grasp.cli import main as cli
from gym_grasp.demos.parts import parts_folder, recover
from gym_grasp.demos.reader import open_dataset
from gym_grasp.demos.record import record
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.errors import DatasetError

HARD = EnvSpec("open-drawer", max_episode_steps=165)
"""In this time a third of the attempts succeed: it takes several batches."""
COMMAND = (
    f"demos record open-drawer --max-episode-steps {HARD.max_episode_steps} --episodes 5".split()
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A recording that nothing happened to: its bytes, attempts and failures."""
    path = tmp_path_factory.mktemp("whole") / "a.hdf5"
    meta = record(HARD, path, episodes=5, num_threads=1)
    return path.read_bytes(), meta.attempts, meta.failures


def test_threads_change_no_byte(tmp_path):
    first, again = tmp_path / "a.hdf5", tmp_path / "b.hdf5"
    record("lift-object", first, episodes=4, seed=3, num_threads=1)
    record("lift-object", again, episodes=4, seed=3, num_threads=2)
    assert first.read_bytes() == again.read_bytes()


def test_a_recording_cut_off_again_and_again_is_the_same(tmp_path, monkeypatch, whole):
    path, added, add, left = tmp_path / "a.hdf5", [], DatasetWriter.add, 0

    def cut(self, episode, attempt=None):
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        added.append(attempt)
        return add(self, episode, attempt)

    monkeypatch.setattr(DatasetWriter, "add", cut)
    for left in (0, 1, 3, 4):  # noqa: B007 (`cut` counts it down)
        with pytest.raises(KeyboardInterrupt):
            record(HARD, path, episodes=5, resume=True, num_threads=1)
        assert not path.exists()
    with pytest.raises(DatasetError, match=r"an unfinished recording. Go on with it \(--resume\)"):
        record(HARD, path, episodes=5)
    for other in ({"episodes": 5, "skill": 1.0}, {"episodes": 5, "seed": 1}):
        with pytest.raises(DatasetError, match="other settings"):
            record(HARD, path, resume=True, **other)
    left = 1000
    meta = record(HARD, path, episodes=5, resume=True, num_threads=1)
    assert (path.read_bytes(), meta.attempts, meta.failures) == whole
    assert whole[1] > 6, "one batch was enough"
    assert len(added) == len(set(added)), "an attempt was made twice"
    assert not parts_folder(path).exists()


@pytest.mark.slow
def test_twenty_kills(tmp_path, whole):
    path, kills = tmp_path / "a.hdf5", 0
    command = [sys.executable, "-m", "gym_grasp.cli.main", *COMMAND, "--out", str(path), "--resume"]
    while not path.exists():
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        parts = parts_folder(path)
        before = len(list(parts.glob("*"))) if parts.exists() else 0
        while kills < 20 and process.poll() is None:
            if parts.exists() and len(list(parts.glob("*"))) > before:
                time.sleep(0.01 * kills)
                process.send_signal(signal.SIGKILL)
                kills += 1
        process.wait()
    assert path.read_bytes() == whole[0]


def test_what_was_finished_can_be_recovered(tmp_path, monkeypatch):
    path, add = tmp_path / "a.hdf5", DatasetWriter.add

    def cut(self, episode, attempt=None):
        if len(self) == 1:
            raise KeyboardInterrupt
        return add(self, episode, attempt)

    monkeypatch.setattr(DatasetWriter, "add", cut)
    arguments = [*COMMAND, "--out", str(path)]
    assert cli.main(arguments) == 130
    assert cli.main(arguments) == 1
    (part,) = parts_folder(path).glob("*.hdf5")
    content = part.read_bytes()
    part.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DatasetError, match=r"its bytes have changed\. Move it away"):
        recover(path)
    part.write_bytes(content)
    assert len(open_dataset(recover(path))) == 1
