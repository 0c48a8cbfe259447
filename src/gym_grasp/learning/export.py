"""Policies as ONNX: observations in SI units in, actions out, normalisation inside."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gym_grasp import __version__
from gym_grasp.errors import CheckpointError, DependencyError
from gym_grasp.files import write_atomically
from gym_grasp.learning.checkpoint import LoadedPolicy
from gym_grasp.learning.networks import OBSERVATION_LIMIT

INPUT, OUTPUT = "observation", "action"
OPSET = 17
"""ONNX Runtime reads it from 1.12 (2022) on."""
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
    except ImportError as error:
        raise DependencyError(
            f"ONNX needs '{error.name}', which is not installed; pip install 'gym-grasp[onnx]'."
        ) from error
    model = onnx.helper.make_model(
        _graph(policy),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=10,
        producer_name="gym-grasp",
        producer_version=__version__,
    )
    onnx.checker.check_model(model, full_check=True)
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
    noise = torch.randn((256, policy.observation_size), generator=generator)
    spread = torch.logspace(-1, 2, 256)[:, None]
    observations = policy.normalizer.denormalize(spread * noise)
    found = torch.from_numpy(session.run([OUTPUT], {INPUT: observations.numpy()})[0])
    difference = float((found - policy(observations)).abs().max())
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"The ONNX file of {policy.path} would act otherwise: actions differ by "
            f"{difference:.2g}; it was not written. Try another version of torch or onnxruntime."
        )
    write_atomically(path, data)
    return difference


def _graph(policy: LoadedPolicy) -> Any:
    """Return the policy as a graph of ONNX: normalise, clip, layers with ELU between, clip.

    torch's exporter takes ten seconds and another package to find the same; what is written is
    compared with the policy in any case.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, value: Tensor) -> str:
        constants.append(numpy_helper.from_array(value.float().cpu().numpy(), name))
        return name

    def node(kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{kind.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    scaler = policy.normalizer
    value = node("Sub", INPUT, constant("mean", scaler.mean))
    inverse = torch.rsqrt(scaler.var + scaler.floor**2)
    value = node("Mul", value, constant("inverse_deviation", inverse))
    limit = torch.tensor(OBSERVATION_LIMIT)
    value = node("Clip", value, constant("-limit", -limit), constant("limit", limit))
    layers: list[nn.Module] = list(policy.actor.children())
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.Linear):
            weight = constant(f"weight_{index}", layer.weight)
            bias = constant(f"bias_{index}", layer.bias)
            value = node("Gemm", value, weight, bias, transB=1)
        elif isinstance(layer, nn.ELU):
            value = node("Elu", value, alpha=float(layer.alpha))
        else:
            raise AssertionError(f"a policy has no layer {layer}")
    one = torch.tensor(1.0)
    node("Clip", value, constant("-one", -one), constant("one", one), output=OUTPUT)
    ends = ((INPUT, policy.observation_size), (OUTPUT, policy.action_size))
    given, found = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in ends
    )
    return helper.make_graph(nodes, "policy", [given], [found], constants)
