import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gym_grasp.demos.record import record
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.learning.checkpoint import Identity, policy_file
from gym_grasp.learning.networks import Policy
from gym_grasp.view.sources import find, sides_of

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "teleop")]


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short episodes of open-drawer."""
    path = tmp_path_factory.mktemp("view") / "drawer.hdf5"
    record(EnvSpec("open-drawer"), path, episodes=3, seed=1, skill=1.0, num_threads=1)
    return path


def save_policy(path: Path, task: str, seed: int) -> Path:
    """Write a policy that was never trained: it moves the hand somehow, always the same way."""
    env = GraspVectorEnv(task, 1, num_threads=1)
    torch.manual_seed(seed)
    policy = Policy(env.observation_size, env.action_size, (8,))
    for layer in policy.actor[::2]:
        torch.nn.init.normal_(layer.weight, std=0.3)
    path.write_bytes(policy_file(policy, Identity(**env.description)))
    env.close()
    return path


@pytest.fixture(scope="session")
def policies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two policies of open-drawer."""
    folder = tmp_path_factory.mktemp("policies")
    return [
        save_policy(folder / f"{name}.pt", "open-drawer", name == "second")
        for name in ("first", "second")
    ]


@pytest.fixture
def open_sides() -> Iterator:
    """Makes sides of names, and closes them."""
    made = []

    def make(*names: object, acts: str | None = None) -> list:
        sources = [find(str(name)) for name in names]
        made.append(sides_of(sources, sources[0].spec, acts))
        return made[-1]

    yield make
    for sides in made:
        for side in sides:
            side.close()
