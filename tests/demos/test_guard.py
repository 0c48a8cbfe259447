"""Files made to do harm to who opens them: refused in one line, in little time and memory."""

import base64
import hashlib
import json
import os
import resource
import signal
import time
import zlib
from contextlib import suppress

import h5py
import numpy as np
import pytest

from gym_grasp.demos import guard, hdf5, tree
from gym_grasp.demos.parts import parts_folder, recover
from gym_grasp.demos.reader import check, open_dataset
from gym_grasp.demos.writer import DatasetWriter
from gym_grasp.errors import DatasetError

HANGING = """
eNrt2EGLG2UYB/BnJtlsDJGdXStUERERPBRrrKDixcouNVAhda8Ky8DGZbHZlWS61OrNk9CDB0Hx4s2LeOpNPBV68eBF/AJ+
BL/AmndmQtfSCt5Efj+YzOR5Z55nJswl/y/GO1ceHzw9yPv9WDltffZ6Xn8ftfU/3v7lwmS8s5vHzaKIuFM05dvt8iCPLCKt
3N1sKq+0K8M3IjqxHueiG/Hh8XxWVvFUlkVqkLasPqsfadz55Xanva6uD+KMwwvfbb2zPXm3XinOnNVemRx8MnvpYF4uPn5u
fzo7PlpU87I6XO7zdn2v0+w/fb6sqgAAAAD+iybb46spZfjtYv73lGGUUoaNGN5PGfZOpvPF8r9/FP2ULySX65RhlRkMX0vX
rDXJxGxalY/MJVJqsMolmrlf38s+PxOH/HmvWXy1PamJQ57cSp1PHzB8M419rBk7PTrZK+cHi0eO/iDuj66zi97qp/jm2c2v
0s/x8Cm9jdSnu19W5VttIvP9+o1bV3bH12K9fozC2wQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
AAAAAAAAAAAAAAAAAAAAAAAAAAAA/0Oz473RD1vNcW8zIove/nRZvPTTrawuDl+M6EQvhtGNqI6r8noU/Yh+vXg58uXnC22v
u9X67cl4ZzePm3nd8vQBg3zZP3pFGrNWzcvDo+7LeTO6qZ2U1w/3nxk1tRj9+8f58dfz3062x1cfPr+3kaZ0Z+Xio2sXmyHv
/f7+l/U9Z5Fl5yLyLMva8bHad/qRPZFufHm8tnyEzqC/bN/JivZGh6vpP3ufAIB/9hfbn54H
"""
"""A file in which one bit flipped: the HDF5 library loops over its first attribute."""


ACTIONS = "data/demo_0/actions"


def refused(path, match):
    began = time.perf_counter()
    with pytest.raises(DatasetError, match=match) as caught:
        check(open_dataset(path))
    assert time.perf_counter() - began < 10  # 1 s on a machine with nothing else to do
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).isprintable()


@pytest.fixture
def alarm():
    """Interrupt what hangs."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_a_file_that_makes_the_library_loop(tmp_path, alarm):
    path = tmp_path / "x.hdf5"
    path.write_bytes(zlib.decompress(base64.b64decode(HANGING)))
    refused(path, "reading it takes too long")


@pytest.mark.parametrize("kind", ["loops", "holds nothing", "pipe", "changed", "no number"])
def test_parts_of_others_are_not_copied_as_they_are(tmp_path, alarm, make_meta, make_episode, kind):
    """Each has the digest in its name that fits."""
    path = tmp_path / "a.hdf5"
    with suppress(KeyboardInterrupt), DatasetWriter(path, make_meta()) as writer:
        writer.add(make_episode(0))
        raise KeyboardInterrupt
    (part,) = parts_folder(path).glob("*.hdf5")
    match kind:
        case "loops":
            part.write_bytes(zlib.decompress(base64.b64decode(HANGING)))
        case "holds nothing":
            h5py.File(part, "w").close()
        case "changed":
            with h5py.File(part, "r+") as file:
                file["episode/actions"][0] = 0.5
    if kind == "pipe":
        part.unlink()
        os.mkfifo(part)
    else:
        digest = hashlib.sha256(part.read_bytes()).hexdigest()[:16]
        number = "x" if kind == "no number" else "000000"
        part.rename(part.with_name(f"episode_{number}_{digest}.hdf5"))
    if kind != "no number":
        with pytest.raises(DatasetError, match="Move it away"):
            recover(path)
    with (
        pytest.raises(DatasetError, match="Move it away"),
        DatasetWriter(path, make_meta(), resume=True) as writer,
    ):
        writer.add(make_episode(1))
    assert not path.exists()


@pytest.mark.parametrize("scene", ["a\x00b", "\ud800"])
def test_metadata_that_hdf5_cannot_hold(make_meta, scene):
    with pytest.raises(ValueError, match=r"holds a zero|surrogates not allowed"):
        make_meta(scene=scene)


def bomb(name, shape, **arguments):
    def change(file):
        del file[name]
        file.create_dataset(name, shape, **arguments)

    return change


def compressed(file):
    del file[ACTIONS]
    shape, chunks = (1500, 1 << 20), (1, 1 << 20)
    rows = file.create_dataset(ACTIONS, shape, "u1", chunks=chunks, compression="gzip")
    zeros = zlib.compress(bytes(1 << 20))
    for row in range(1500):
        rows.id.write_direct_chunk((row, 0), zeros)


def link(name, target):
    def change(file):
        file[name] = file[target] if isinstance(target, str) else target

    return change


def attribute(name, value):
    return lambda file: file["data"].attrs.create(name, value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (bomb(ACTIONS, (10**12,), dtype="f4"), "declares more than"),
        (bomb(ACTIONS, (10**12,), dtype="f4", chunks=(10**6,)), "declares more than"),
        (bomb(ACTIONS, (8, 10**8), dtype="f4", chunks=(1, 10**8)), "declares more than"),
        (bomb("mask/train", (10**7,), dtype="S50"), "declares more than"),
        (compressed, "declares more than"),
        (bomb(ACTIONS, (10**6, 10), dtype="f4", chunks=(1, 1)), "stored in a way"),
        (bomb(ACTIONS, (8, 8), dtype="f4", chunks=(8, 8), fletcher32=True), "stored in a way"),
        (bomb(ACTIONS, (8,), dtype="f4", external=[("/etc/hostname", 0, 32)]), "stored in a way"),
        (bomb(ACTIONS, (8,), dtype=h5py.string_dtype()), "of a type that it cannot"),
        (bomb(ACTIONS, (8,), dtype="c8"), "of a type that it cannot"),
        (bomb("scene", (8,), dtype="f4"), "of a type that it cannot"),
        (link("data/demo_0/all", "data"), "link to something else"),
        (link("data/demo_10", "data/demo_0"), "link to something else"),
        (link("other", h5py.SoftLink("/data")), "link to something else"),
        (link("other", h5py.ExternalLink("x.hdf5", "/")), "link to something else"),
        (attribute("x", np.zeros(3)), "neither a number nor a text"),
        (attribute("x", h5py.Empty("f")), "neither a number nor a text"),
        (attribute("x\n\x1b[31m", "y"), "a name, shape, type or attribute in it has changed"),
        (attribute("x", b"\xff\xfe"), "codec can't decode"),
    ],
)
def test_what_no_dataset_holds(dataset, alarm, change, match):
    with h5py.File(dataset.path, "r+") as file:
        change(file)
    refused(dataset.path, match)


@pytest.mark.parametrize("kind", ["S300000000", "U100000000", "V800000000", "O", "(1000000,)f8"])
def test_a_state_of_a_type_without_bounds(dataset, alarm, kind):
    """Crafted: the digest of the structure fits."""
    with h5py.File(dataset.path, "r+") as file:
        attributes = file["data/demo_0"].attrs
        layout = json.loads(attributes["state_layout"])
        layout["counter"][0] = kind
        attributes["state_layout"] = json.dumps(layout)
        file.attrs["structure"] = hdf5.structure(file)
    refused(dataset.path, "state 'counter': cannot hold values of type")


def test_the_limits_do_not_touch_this_process(dataset, monkeypatch):
    before = resource.getrlimit(resource.RLIMIT_AS), signal.getitimer(signal.ITIMER_PROF)
    assert len(open_dataset(dataset.path)) == 10
    assert before == (
        resource.getrlimit(resource.RLIMIT_AS),
        signal.getitimer(signal.ITIMER_PROF),
    )


def test_a_reader_that_was_ended_is_started_again(dataset):
    ended, theirs = guard._reader(), guard._reader().dup()
    theirs.shutdown(2)  # as if the program had died
    theirs.close()
    assert len(open_dataset(dataset.path)) == 10
    assert guard._reader() is not ended


def test_no_process_is_left(dataset):
    """Each file's process ends with who asked, in the middle of an answer too."""

    def readers():
        found = 0
        for entry in os.scandir("/proc"):
            try:
                with open(f"/proc/{entry.name}/cmdline", "rb") as file:
                    found += tree.__file__.encode() in file.read()
            except OSError:
                continue
        return found

    open_dataset(dataset.path)
    most = readers()
    for _ in range(5):
        dataset.episode(3)
        next(dataset.episodes())
    deadline = time.monotonic() + 10
    while readers() > most and time.monotonic() < deadline:
        time.sleep(0.05)
    assert readers() <= most


def test_the_same_structure_for_writer_and_reader(dataset):
    with h5py.File(dataset.path) as file:
        written = hdf5.structure(file)
    with guard.opened(dataset.path) as contents:
        assert contents.structure == written == contents.attributes("/")["structure"]
