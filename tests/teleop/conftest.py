import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "hands")]
import three  # noqa: E402, F401 (makes the test hand known)
from rig import Rig  # noqa: E402


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Makes sessions that record into `session.hdf5`, one after the other."""
    made: list[Rig] = []

    def make(**arguments: object) -> Rig:
        made.append(Rig(tmp_path / "session.hdf5", **arguments))
        return made[-1]

    yield make
    for rig in made:
        rig.session.close()


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig()
