"""Policies as ONNX: observations in SI units in, actions out, normalisation inside."""

import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gym_grasp import __version__
from gym_grasp.errors import CheckpointError, DependencyError
from gym_grasp.files import write_atomically
from gym_grasp.learning.checkpoint import LoadedPolicy

INPUT, OUTPUT = "observation", "action"
TOLERANCE = 1e-5
"""Largest difference from the policy itself at which a file is written."""


def export_onnx(policy: LoadedPolicy, path: Path, metadata: Mapping[str, Any]) -> float:
    """Write a policy as ONNX, once it has been seen to act as the policy does.

    Input `observation` (N, O) and output `action` (N, A) in [−1, 1], float32, any N. The metadata
    holds JSON by key: `observation_names`, `action_names`, `spec`, and what is given.

    Args:
        policy: what to write.
        path: the file; replaced if it exists.
        metadata: what else the file says about itself; what JSON can hold.

    Returns:
        The largest difference between both on 256 observations, from ordinary ones to such far
        beyond the clip of the normaliser.

    Raises:
        DependencyError: the extra `gym-grasp[onnx]` is not installed.
        CheckpointError: the two act differently.
        GymGraspError: the file cannot be written.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise DependencyError(
            f"ONNX needs '{error.name}', which is not installed; pip install 'gym-grasp[onnx]'."
        ) from error
    # No batch of one: the exporter would take it for a constant.
    example = torch.zeros(2, policy.observation_size)
    for name in ("onnxscript", "torch.onnx"):  # they speak of torchvision, which is not needed
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            policy.cpu().eval(),
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={INPUT: {0: "batch"}},
            dynamo=True,
            verbose=False,
        )
    model = program.model_proto  # type: ignore[union-attr]
    content = {
        "package_version": __version__,
        "observation_names": policy.identity.observations,
        "action_names": policy.identity.actions,
        "spec": policy.identity.spec,
        **metadata,
    }
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in content.items()})
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    shape = (256, policy.observation_size)
    spread = torch.logspace(-1, 2, 256)[:, None]
    deviation = policy.normalizer.var.sqrt() * torch.randn(shape, generator=generator)
    observations = policy.normalizer.mean + spread * deviation
    found = torch.from_numpy(session.run([OUTPUT], {INPUT: observations.numpy()})[0])
    difference = float((found - policy(observations)).abs().max())
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"The ONNX file of {policy.path} would act otherwise: actions differ by "
            f"{difference:.2g}; it was not written. Try another version of torch or onnxruntime."
        )
    write_atomically(path, data)
    return difference
