"""Every example trains at smoke size, where its library is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gym_grasp

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDS = {
    "sb3_ppo": "stable_baselines3",
    "torchrl_rollout": "torchrl",
    "skrl_ppo": "skrl",
    "rsl_rl_ppo": "rsl_rl",
}


@pytest.mark.parametrize(
    "name", [*NEEDS, pytest.param("gymnasium_wrappers", marks=pytest.mark.slow)]
)
def test_example(name, tmp_path):
    pytest.importorskip(NEEDS.get(name, "gymnasium"))
    source = str(Path(gym_grasp.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), "--smoke"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": source, "OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
