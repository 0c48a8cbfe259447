"""Checkpoints and policy files: tensors and plain containers, loaded without running pickled code.

A file is what `torch.save` writes (so that others can read it), replaced atomically, and carries
the SHA-256 of its content, so that damage is found rather than trained on.
"""

import hashlib
import io
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gym_grasp import __version__
from gym_grasp.differences import NOT_BEHAVIOUR, differences
from gym_grasp.errors import CheckpointError, UsageError
from gym_grasp.files import writing
from gym_grasp.learning.env import Environment
from gym_grasp.learning.networks import Policy
from gym_grasp.learning.published import SUFFIX, load_published

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
                f"{path} was made in another environment: {'; '.join(lines)}. Choose the fitting "
                "one, or train anew."
            )


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
    payload["sha256"] = _digest(payload)
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
        payload = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no error of its own for damage
        raise _damaged(path) from error
    if not isinstance(payload, dict) or "format" not in payload:
        raise CheckpointError(f"{path} is no file of gym-grasp; name a run folder or its files.")
    if payload["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has format {payload['format']}, gym-grasp {__version__} reads {FORMAT}; use "
            f"gym-grasp {payload.get('package_version', '(unknown)')}, or train anew."
        )
    if payload.get("sha256") != _digest(payload):
        raise _damaged(path)
    if payload["kind"] != kind:
        raise CheckpointError(f"{path} is a {payload['kind']} file, a {kind} file is needed.")
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
    identity = Identity(**content["identity"])
    sizes = len(identity.observations), len(identity.actions)
    policy = LoadedPolicy(*sizes, tuple(content["hidden_sizes"]))
    policy.load_state_dict(content["state"])
    policy.identity, policy.path = identity, path
    try:
        return policy.to(device).eval().requires_grad_(False)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"The policy cannot go to the device '{device}': {error}") from error


def _digest(payload: dict[str, Any]) -> str:
    """Return the SHA-256 over every value, apart from the digest itself."""
    digest = hashlib.sha256()

    def take(value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                digest.update(repr(key).encode())
                take(item)
        elif isinstance(value, list | tuple):
            for item in value:
                take(item)
            digest.update(str(len(value)).encode())
        elif isinstance(value, Tensor):
            digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        else:
            digest.update(repr(value).encode())

    take({key: value for key, value in payload.items() if key != "sha256"})
    return digest.hexdigest()


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is damaged and cannot be read; restore a copy, or train anew.")
