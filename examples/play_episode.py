"""Play an episode of a dataset, from its recorded states, in a viewer of your choice.

python examples/play_episode.py data/open-drawer.hdf5 --episode 3 --viewer mujoco
pip install mjviser;   python examples/play_episode.py FILE --viewer mjviser   # in a browser
pip install rerun-sdk; python examples/play_episode.py FILE --viewer rerun --to episode.rrd
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import mujoco
import numpy as np

from gym_grasp.demos.reader import Dataset, open_dataset
from gym_grasp.envs.build import compile_drawing
from gym_grasp.physics.fields import model_field


def moments(dataset: Dataset, index: int) -> tuple[mujoco.MjModel, Iterator[mujoco.MjData]]:
    """Return a model to look at, with the fields drawn for an episode, and its T + 1 moments.

    `states/physics` is MuJoCo's mjSTATE_INTEGRATION of the simulated model, whose positions are
    those of the drawn one; that has the robot's meshes besides.
    """
    episode, meta = dataset.episode(index), dataset.meta
    model, geoms = compile_drawing(dataset.env_spec())
    for name, values in episode.fields.items():
        model_field(model, name)[geoms if name.startswith("geom_") else slice(None)] = values
    at = 0
    for name, width in meta.states["physics"]:
        if name == "qpos":
            break
        at += width
    positions = episode.states["physics"][:, at : at + width]

    def play() -> Iterator[mujoco.MjData]:
        data = mujoco.MjData(model)
        for step, qpos in enumerate(positions):
            data.qpos[:], data.time = qpos, step / meta.control_rate
            mujoco.mj_forward(model, data)
            yield data

    return model, play()


def in_mujoco(dataset: Dataset, index: int) -> None:
    """Play in MuJoCo's own viewer, at the speed of the recording, until its window is closed."""
    import mujoco.viewer

    model, play = moments(dataset, index)
    data = next(play)
    with mujoco.viewer.launch_passive(model, data) as viewer:
        for _ in play:  # all of them are the same MjData
            viewer.sync()
            time.sleep(1 / dataset.meta.control_rate)
        while viewer.is_running():
            time.sleep(0.1)


def in_mjviser(dataset: Dataset, index: int) -> None:
    """Play in the browser, again and again, until Ctrl+C."""
    import mjviser
    import viser

    server = viser.ViserServer()
    while True:
        model, play = moments(dataset, index)
        scene = None
        for data in play:
            scene = scene or mjviser.ViserMujocoScene(server, model, num_envs=1)
            scene.update_from_mjdata(data)
            time.sleep(1 / dataset.meta.control_rate)


def in_rerun(dataset: Dataset, index: int, to: Path) -> None:
    """Write a recording for rerun's viewer: bodies, actions and observations over time."""
    import rerun

    model, play = moments(dataset, index)
    episode, meta = dataset.episode(index), dataset.meta
    rerun.init("gym-grasp", spawn=False)
    rerun.save(to)
    flat = episode.flat_observations(meta.packer)
    names = [model.body(body).name for body in range(model.nbody)]
    for step, data in enumerate(play):
        rerun.set_time("time", duration=step / meta.control_rate)
        rerun.log("scene/bodies", rerun.Points3D(data.xpos, radii=0.01, labels=names))
        rerun.log("observation", rerun.Scalars(flat[step]))
        if step < len(episode):
            rerun.log("action", rerun.Scalars(episode.actions[step]))
            rerun.log("reward", rerun.Scalars(np.array([episode.dense_rewards[step]])))


def main() -> None:
    """Play one episode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--episode", type=int, default=0)
    parser.add_argument("--viewer", choices=("mujoco", "mjviser", "rerun"), default="mujoco")
    parser.add_argument("--to", type=Path, default=Path("episode.rrd"), help="rerun's file")
    options = parser.parse_args()
    dataset = open_dataset(options.file)
    if options.viewer == "mujoco":
        in_mujoco(dataset, options.episode)
    elif options.viewer == "mjviser":
        in_mjviser(dataset, options.episode)
    else:
        in_rerun(dataset, options.episode, options.to)


if __name__ == "__main__":
    main()
