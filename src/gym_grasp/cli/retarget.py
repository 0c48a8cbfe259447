"""`gym-grasp demos retarget`."""

from pathlib import Path
from typing import Annotated

import tyro

from gym_grasp.cli.common import numbers, print_json
from gym_grasp.progress import bar


def retarget(
    file: Annotated[Path, tyro.conf.Positional],
    /,
    *,
    robot: str,
    out: Path | None = None,
    episode: str | None = None,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Carry demonstrations over to the hand of another robot, and keep what succeeds with it.

    Args:
        file: the dataset of the first robot.
        robot: ARM-HAND, for which they are made.
        out: the file to write; by default FILE-ROBOT.hdf5, beside the dataset.
        episode: which episodes, counted from 0: N, or N,M,…; by default all.
        overwrite: replace an existing file.
        json: print the report as one JSON object.
    """
    from gym_grasp.demos.reader import open_dataset
    from gym_grasp.demos.retarget import retarget as retarget_dataset

    dataset = open_dataset(file)
    chosen = list(range(len(dataset))) if episode is None else numbers(episode)
    path = out or file.parent / f"{file.stem}-{robot}.hdf5"
    with bar("retargeting", len(chosen)) as tell:
        report = retarget_dataset(
            dataset,
            path,
            robot,
            episodes=chosen,
            overwrite=overwrite,
            on_episode=lambda kept, _: tell(kept),
        )
    if json:
        print_json(report.to_dict())
        return
    print(f"{path}: {report.kept} of {report.sources} episodes succeed with {robot}")
    print(f"{report.at_once} without a correction; {report.seconds:.1f} s on average")
