"""The path of somebody who has nothing yet."""

import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
def test_from_a_clone_to_a_film_of_a_task_of_ones_own(tmp_path):
    """With an environment of its own; `make test` is left out, which this is part of."""
    away = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run(
        [HERE / "newcomer.sh", HERE.parent, tmp_path],
        check=True,
        env={**away, "WITHOUT_TESTS": "1"},
    )
