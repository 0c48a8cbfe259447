"""Checkpoints and policy files: tensors and plain containers, loaded without running pickled code.

A file is what `torch.save` writes (so that others can read it), replaced atomically, and carries
the SHA-256 of its content, so that damage is found rather than trained on.
"""

import hashlib
import io
import itertools
import logging
import math
import os
import warnings
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gym_grasp import __version__
from gym_grasp.differences import NOT_BEHAVIOUR, differences
from gym_grasp.errors import CheckpointError, UsageError, reason
from gym_grasp.files import writing
from gym_grasp.learning.env import Environment
from gym_grasp.learning.networks import Policy
from gym_grasp.learning.published import SUFFIX, load_published
from gym_grasp.typed import CRAFTED, construct

FORMAT = 3
"""Version of the file format; files of another are refused."""

CHECKPOINT = Path("checkpoints/last.pt")
PREVIOUS = Path("checkpoints/previous.pt")
POLICY = Path("checkpoints/policy.pt")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """What a policy belongs to: `Environment.description`."""

    spec: dict[str, Any]
    """The environment that it was trained in; `EnvSpec.from_dict` makes it again."""
    observations: list[str]
    """Names of the values that it reads, in their order."""
    actions: list[str]
    """Names of the values that it returns, in their order."""
    scene: str
    """Digest of the compiled scene: a file that an option names may change."""

    def check(self, env: Environment, path: Path, ignore: Iterable[str] = NOT_BEHAVIOUR) -> None:
        """Raise `CheckpointError`, with a line for each difference, unless it is this environment.

        Args:
            env: the environment.
            path: the file that this was read from.
            ignore: entries of the spec that may differ.
        """
        found, wanted = vars(self), env.description
        names = ("file", "environment")
        lines = differences(found["spec"], wanted["spec"], names, ignore)
        lines += [
            f"{key}: file {', '.join(found[key])}, environment {', '.join(wanted[key])}"
            for key in ("observations", "actions")
            if found[key] != wanted[key]
        ]
        if not lines and found["scene"] != wanted["scene"]:
            lines = ["the same specification, but the files of its scene have changed since"]
        if lines:
            raise CheckpointError(
                f"{path} was made in another environment: {reason('; '.join(lines), 2000)}. Choose "
                "the fitting one, or train anew."
            )


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    epoch: int
    """Epochs done."""
    steps: int
    """Control steps of all environments of all processes."""
    seconds: float
    """Training time over all sessions."""
    history: list[dict[str, float]]
    """Metrics of every epoch."""


class LoadedPolicy(Policy):
    """A policy read from a file, with what it belongs to."""

    identity: Identity
    path: Path

    def check(self, env: Environment) -> None:
        """Raise `CheckpointError` unless the environment is the one it was trained in."""
        self.identity.check(env, self.path)


def to_bytes(kind: str, content: dict[str, Any]) -> bytes:
    """Return a file of a kind ("training" or "policy"), for `load`."""
    payload = {"format": FORMAT, "kind": kind, "package_version": __version__, **content}
    payload["sha256"] = _digest(payload, math.inf)
    buffer = io.BytesIO()
    torch.save(payload, buffer)
    return buffer.getvalue()


def load(path: Path, kind: str) -> dict[str, Any]:
    """Read a file of what `to_bytes` returned; tensors are on the CPU.

    Raises:
        CheckpointError: If it is missing, damaged, of another kind or of another format.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}; name a run folder that holds one.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}: {error.strerror or error}.") from error
    try:
        _check_archive(data)
        with warnings.catch_warnings(action="ignore"):
            payload = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no error of its own for damage
        raise _damaged(path) from error
    if not isinstance(payload, dict) or "format" not in payload:
        raise CheckpointError(f"{path} is no file of gym-grasp; name a run folder or its files.")
    if type(payload["format"]) is not int or payload["format"] != FORMAT:
        made_by = reason(payload.get("package_version", "(unknown)"))
        raise CheckpointError(
            f"{path} has format {reason(payload['format'])}, gym-grasp {__version__} reads "
            f"{FORMAT}; use gym-grasp {made_by}, or train anew."
        )
    try:
        whole = payload.get("sha256") == _digest(payload, 4 * len(data))
    except Exception as error:  # what torch's tensors may be is without end
        raise _damaged(path) from error
    if not whole:
        raise _damaged(path)
    if payload.get("kind") != kind:
        raise CheckpointError(
            f"{path} is a {reason(payload.get('kind'))} file, a {kind} file is needed."
        )
    return payload


def keep_previous(run_dir: Path) -> None:
    """Keep the last checkpoint of a run, which is about to be replaced, as the one before."""
    last, kept = run_dir / CHECKPOINT, run_dir / PREVIOUS
    if last.is_file():
        with writing(kept):
            kept.unlink(missing_ok=True)
            os.link(last, kept)


def load_newest(run_dir: Path) -> tuple[Path, dict[str, Any]]:
    """Read a run's last checkpoint, or the one before where that is damaged, and say so.

    Returns:
        Its file and its content.

    Raises:
        CheckpointError: as `load`.
    """
    last, kept = run_dir / CHECKPOINT, run_dir / PREVIOUS
    try:
        return last, load(last, "training")
    except CheckpointError as error:
        try:
            content = load(kept, "training")
        except CheckpointError:
            raise error from None
        log.warning("%s Going on from the one before, of epoch %d.", error, content["epoch"])
        return kept, content


def policy_file(policy: Policy, identity: Identity) -> bytes:
    """Return a file of the policy alone: float32 weights, normaliser, what it belongs to."""
    return to_bytes(
        "policy",
        {
            "identity": vars(identity),
            "hidden_sizes": list(policy.hidden_sizes),
            "state": {name: tensor.cpu() for name, tensor in policy.state_dict().items()},
        },
    )


def load_policy(path: Path | str, device: torch.device | str = "cpu") -> LoadedPolicy:
    """Read a policy from a file, one that is published too, or a run folder.

    Returns:
        A module: observations (N, O) on `device` in, actions (N, A) in [−1, 1] out.

    Raises:
        CheckpointError: If the file is missing, damaged or of another format.
        UsageError: there is no such device.
    """
    path = Path(path)
    if path.is_dir():
        path = path / POLICY
    content = load_published(path) if path.suffix == SUFFIX else load(path, "policy")
    try:
        identity = construct(Identity, content["identity"])
        sizes = content["hidden_sizes"]
        check_state(content["state"], len(identity.observations), len(identity.actions), sizes)
        policy = LoadedPolicy(len(identity.observations), len(identity.actions), tuple(sizes))
        policy.load_state_dict(content["state"])
    except CRAFTED as error:
        raise CheckpointError(
            f"{path} is no policy that gym-grasp {__version__} could have written "
            f"({reason(error)}); restore a copy, or train anew."
        ) from error
    policy.identity, policy.path = identity, path
    try:
        return policy.to(device).eval().requires_grad_(False)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"The policy cannot go to the device '{device}': {error}") from error


def check_state(state: Any, observations: int, actions: int, hidden_sizes: Any) -> None:
    """Raise `ValueError` unless these are the finite weights of a policy of these sizes.

    Args:
        state: what its `state_dict` returned.
        observations, actions: how many values it reads and returns.
        hidden_sizes: of its layers.
    """
    if not isinstance(hidden_sizes, list) or not all(
        type(n) is int and n > 0 for n in hidden_sizes
    ):
        raise ValueError(f"hidden_sizes is {hidden_sizes!r}")
    if not isinstance(state, dict) or len(state) != len(hidden_sizes) * 2 + 6:
        raise ValueError("it holds another number of weights")
    sizes = [observations, *hidden_sizes, actions]
    wanted: dict[str, tuple[int, ...]] = {"normalizer.count": ()}
    wanted |= {f"normalizer.{name}": (observations,) for name in ("mean", "var", "floor")}
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        wanted |= {f"actor.{2 * layer}.weight": (outputs, inputs)}
        wanted |= {f"actor.{2 * layer}.bias": (outputs,)}
    for name, shape in wanted.items():
        dtype = torch.int64 if name == "normalizer.count" else torch.float32
        found = state.get(name)
        if not isinstance(found, Tensor) or (found.shape, found.dtype) != (shape, dtype):
            raise ValueError(f"'{name}' is not {dtype} of shape {shape}")
        if not found.isfinite().all():
            raise ValueError(f"'{name}' holds NaN or infinity")


def _check_archive(data: bytes) -> None:
    """Raise unless a file is stored as `torch.save` does it: nothing in it grows when read."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist()):
            raise ValueError("it is compressed")


def _digest(payload: dict[str, Any], most: float) -> str:
    """Return the SHA-256 over every value, apart from the digest itself.

    Raises:
        ValueError: there are more than `most` values and bytes: it holds some again and again.
    """
    digest = hashlib.sha256()

    def take(value: Any) -> None:
        nonlocal most
        most -= value.nbytes if isinstance(value, Tensor) else 1
        if most < 0:
            raise ValueError("it holds some values again and again")
        if isinstance(value, dict):
            for key, item in value.items():
                digest.update(repr(key).encode())
                take(item)
        elif isinstance(value, list | tuple):
            for item in value:
                take(item)
            digest.update(str(len(value)).encode())
        elif isinstance(value, Tensor):
            if value.is_complex():
                raise ValueError("it holds complex numbers")
            digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        else:
            digest.update(repr(value).encode())

    take({key: value for key, value in payload.items() if key != "sha256"})
    return digest.hexdigest()


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is damaged and cannot be read; restore a copy, or train anew.")
