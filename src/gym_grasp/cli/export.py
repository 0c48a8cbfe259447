"""`gym-grasp export POLICY`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gym_grasp.cli.common import print_json
from gym_grasp.cli.environment import call

if TYPE_CHECKING:
    from gym_grasp.envs.spec import EnvSpec


def main(args: Sequence[str]) -> None:
    """Run the subcommand."""
    call(export, args, "gym-grasp export")


def export(
    policy: Annotated[Path, tyro.conf.Positional], /, *, to: Path, json: bool = False
) -> None:
    """Write a trained policy as ONNX, which runs without torch and gym-grasp.

    Args:
        policy: its run folder or file.
        to: the .onnx file to write.
        json: print the result as one JSON object.
    """
    from gym_grasp.experiments.perform import spec_of_policy
    from gym_grasp.files import check_suffix
    from gym_grasp.learning.checkpoint import load_policy
    from gym_grasp.learning.export import export_onnx

    check_suffix(to, ".onnx")
    loaded = load_policy(policy)
    difference = export_onnx(loaded, to, describe(spec_of_policy(loaded)))
    if json:
        print_json({"path": str(to), "max_difference": difference})
    else:
        print(f"{to}: actions differ from the policy's by at most {difference:.1g}")


def describe(spec: "EnvSpec") -> dict[str, Any]:
    """Return what one needs to know to run a policy of an environment elsewhere.

    Units of the observations; of each action what its full scale of 1 means and in which unit;
    how many actions a second.
    """
    from gym_grasp.envs.control import drive_speeds
    from gym_grasp.tasks import gym_id
    from gym_grasp.tasks.features import Packer

    drives = drive_speeds(spec.control, spec.robot_model.hand)
    linear, angular = spec.control.linear_speed, spec.control.angular_speed
    return {
        "env_name": gym_id(spec.task),
        "robot": spec.robot,
        "control_rate_hz": spec.control_rate,
        "observation_units": Packer(spec.features).units,
        "action_full_scale": [linear] * 3 + [angular] * 3 + [*drives],
        "action_units": ["m/s, world"] * 3 + ["rad/s, world"] * 3 + ["range/s"] * len(drives),
    }
