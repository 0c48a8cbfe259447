"""Published policies: safetensors, which other tools read too; half precision where it suffices.

A file holds the actor's weights, in float32 or float16, and the normaliser, always in float32: its
variances are too small for less. Everything else is JSON in safetensors' metadata: `identity`,
`hidden_sizes`, `dtype`, and a `sha256` of all there is, for safetensors notices no flipped bit.
"""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gym_grasp import __version__
from gym_grasp.errors import CheckpointError, reason
from gym_grasp.files import write_atomically
from gym_grasp.learning.config import FIRST_SEED
from gym_grasp.learning.env import Environment
from gym_grasp.learning.evaluate import evaluate
from gym_grasp.learning.networks import Policy

SUFFIX = ".safetensors"
FORMAT = 2
"""Version of the file format; files of another are refused."""
HALVED = "actor."
"""What may be of half precision: the tensors whose names begin so."""


def save_published(
    path: Path,
    policy: Policy,
    metadata: dict[str, Any],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a policy atomically.

    Args:
        path: ends in .safetensors.
        policy: what to write.
        metadata: what JSON can hold; `identity` says what the policy belongs to.
        dtype: of the actor's weights: float32 or float16.

    Raises:
        GymGraspError: it cannot be written; the previous file is intact.
    """
    state = {
        name: tensor.to("cpu", dtype if name.startswith(HALVED) else tensor.dtype).contiguous()
        for name, tensor in policy.state_dict().items()
    }
    content = {
        "format": FORMAT,
        "package_version": __version__,
        **metadata,
        "hidden_sizes": list(policy.hidden_sizes),
        "dtype": str(dtype).removeprefix("torch."),
    }
    text = {key: json.dumps(value) for key, value in content.items()}
    write_atomically(path, save(state, {**text, "sha256": _digest(state, text)}))


def load_published(path: Path) -> dict[str, Any]:
    """Read what `save_published` wrote: its metadata, and the `state` in float32 on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, foreign or of another format.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}; name a published policy or a run folder.")
    try:
        with safe_open(path, framework="pt") as file:
            text = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}: {error.strerror or error}.") from error
    except SafetensorError as error:
        raise _damaged(path) from error
    if not {"format", "identity", "sha256"} <= text.keys():
        raise CheckpointError(f"{path} is no policy of gym-grasp; name a published one or a run.")
    if text["format"] != str(FORMAT):
        raise CheckpointError(
            f"{path} has format {reason(text['format'])}, gym-grasp {__version__} reads {FORMAT}; "
            f"use gym-grasp {reason(text.get('package_version', '(unknown)'))}, or train anew."
        )
    if text.pop("sha256") != _digest(state, text):
        raise _damaged(path)
    try:
        content = {key: json.loads(value) for key, value in text.items()}
    except (ValueError, RecursionError) as error:
        raise _damaged(path) from error
    halves = {
        name: tensor.float()
        for name, tensor in state.items()
        if name.startswith(HALVED) and tensor.dtype == torch.float16
    }
    return {**content, "state": state | halves}


def choose_precision(
    policy: Policy, env: Environment, episodes: int = 100, seed: int = FIRST_SEED
) -> tuple[torch.dtype, dict[str, Any]]:
    """Evaluate a policy in full and in half precision, in the same start states.

    Returns:
        float16 if that succeeds at least as often, float32 otherwise; and the counts, as metadata.
    """
    counts = {
        str(dtype).removeprefix("torch."): evaluate(
            _rounded(policy, dtype), env, episodes, seed
        ).successes
        for dtype in (torch.float32, torch.float16)
    }
    dtype = torch.float16 if counts["float16"] >= counts["float32"] else torch.float32
    return dtype, {"seed": seed, "episodes": episodes, "successes": counts}


def _rounded(policy: Policy, dtype: torch.dtype) -> Policy:
    """Return a policy that acts as one saved with `dtype` does."""
    rounded = copy.deepcopy(policy)
    with torch.no_grad():
        for parameter in rounded.actor.parameters():
            parameter.copy_(parameter.to(dtype).float())
    return rounded


def _digest(state: dict[str, Tensor], text: dict[str, str]) -> str:
    """Return the SHA-256 over tensors and metadata."""
    digest = hashlib.sha256(save(state))
    digest.update(json.dumps(text, sort_keys=True).encode())
    return digest.hexdigest()


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is damaged and cannot be read; restore a copy, or train anew.")
