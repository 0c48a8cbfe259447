"""Other packages whose own tests of our exports run where they are installed."""

import torch


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
