from collections.abc import Callable

import mujoco
import numpy as np
import pytest

from gym_grasp.demos.episode import Episode
from gym_grasp.robots import ur5_sih as robot


def depths(model: mujoco.MjModel, episode: Episode) -> np.ndarray:
    """How deep each fingertip is in what is not the table, in m, else 0. Shape (T + 1, 5)."""
    data = mujoco.MjData(model)
    fingers = [tip.removesuffix("_tip") for tip in robot.FINGERTIPS]
    tips = [model.geom(f"{finger}_distal_collision").id for finger in fingers]
    table = model.geom("table_top_collision").id
    found = np.zeros((len(episode) + 1, len(tips)))
    for row, state in zip(found, episode.states["physics"], strict=True):
        data.qpos[:] = state[1 : 1 + model.nq]
        mujoco.mj_fwdPosition(model, data)
        for (first, second), distance in zip(data.contact.geom, data.contact.dist, strict=True):
            for finger, tip in enumerate(tips):
                if tip in (first, second) and table not in (first, second):
                    row[finger] = max(row[finger], -distance)
    return found


@pytest.fixture(scope="session")
def depths_of_fingertips() -> Callable[[mujoco.MjModel, Episode], np.ndarray]:
    return depths
