import copy
from collections.abc import Callable

import mujoco
import numpy as np
import pytest

from building import ROBOT
from gym_grasp.demos.episode import Episode


def depths(model: mujoco.MjModel, episode: Episode) -> np.ndarray:
    """Return how deep fingertips are in what is not the table, per contact, in m. Shape (K,).

    Negative where the pad touches and the rigid tip within it does not.
    """
    model = copy.copy(model)
    for name, values in episode.fields.items():
        getattr(model, name)[:] = values
    data = mujoco.MjData(model)
    mujoco.mj_setConst(model, data)
    tips = [model.geom(f"hand/{pad}").id for finger in ROBOT.hand.fingers for pad in finger.pads]
    table = model.geom("table_top_collision").id
    found = []
    for state in episode.states["physics"]:
        data.qpos[:] = state[1 : 1 + model.nq]
        mujoco.mj_fwdPosition(model, data)
        geoms = data.contact.geom
        touches = np.isin(geoms, tips).any(axis=1) & ~(geoms == table).any(axis=1)
        found.append(-data.contact.dist[touches])
    return np.concatenate(found)


@pytest.fixture(scope="session")
def depths_of_fingertips() -> Callable[[mujoco.MjModel, Episode], np.ndarray]:
    return depths
