"""Other packages whose own tests of our exports run where they are installed."""

from pathlib import Path

import torch

from gym_grasp.demos.export import export
from gym_grasp.demos.reader import Dataset, open_dataset
from gym_grasp.demos.record import record


def exported(kind: str, folder: Path, episodes: int) -> tuple[Dataset, Path]:
    """Record some episodes of OpenDrawer and export them; return them and what was written."""
    record("open-drawer", folder / "drawer.hdf5", episodes=episodes, seed=1)
    dataset, path = open_dataset(folder / "drawer.hdf5"), folder / "exported"
    export(dataset, kind, path)
    return dataset, path


def use_torchvision() -> None:
    """Let a torchvision that was built for another torch be imported, without its operators."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        globals()["library"] = library  # it is gone with its last reference
    except ImportError:
        pass
