"""Entry point: finds the subcommand, runs it, and turns errors into one line and an exit code."""

import io
import logging
import os
import sys
import threading
from collections.abc import Sequence
from importlib import import_module

from gym_grasp import __version__
from gym_grasp.cli import HELP
from gym_grasp.envs.opengl import check_choice
from gym_grasp.errors import GymGraspError, unknown

SUBCOMMANDS = {
    "demo": "record demonstrations, train on them, evaluate and film: everything at once",
    "demos": "record, describe, check and replay demonstrations",
    "learn": "from one demonstration, or a few, to a policy and a film of it",
    "train": "train a policy with BC, PPO or DAPG",
    "resume": "go on with a training run that was cut off",
    "export": "write a trained policy as ONNX",
    "evaluate": "measure the success of trained policies, and film them",
    "view": "look at tasks, policies and demonstrations in the browser",
    "sweep": "train and evaluate many policies, one after the other or at once",
    "reproduce": "make the paper's tables and figures anew",
    "teleop": "let a person's hand drive the robot's, and record it",
    "study": "run a user study, and analyse it",
    "audit": "measure speeds, forces, depths and couplings against what the robot can do",
    "benchmark": "measure control steps per second",
    "render": "draw a picture of a task's scene",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        Exit code: 0 done, 1 failed, 2 asked for something that does not exist, 128 + the signal's
        number where one ended it.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for terminals that lack a character
    try:
        try:
            return _run(argv)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has read enough
        with open(os.devnull, "w") as nowhere:  # where Python flushes to as it ends
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return 1


def _run(argv: Sequence[str] | None) -> int:
    # Waiting OpenMP threads would otherwise spin on the cores that the physics needs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(format="%(message)s")  # on standard error
    logging.getLogger("gym_grasp").setLevel(logging.INFO)
    threading.excepthook = _tell
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in HELP:
        print(_usage())
        return 0 if args else 2
    if args[0] == "--version":
        print(f"gym-grasp {__version__}")
        return 0
    name, rest = args[0], args[1:]
    try:
        if name not in SUBCOMMANDS:
            raise unknown("subcommand", name, SUBCOMMANDS)
        check_choice()
        import_module(f"gym_grasp.cli.{name}").main(rest)
    except GymGraspError as error:
        print(f"gym-grasp: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        print(f"gym-grasp: {interrupt or 'interrupted'}", file=sys.stderr)
        return getattr(interrupt, "exit_code", 130)
    return 0


def _tell(error: threading.ExceptHookArgs) -> None:
    """Say nothing where TensorBoard cannot write: it tells whoever writes next, who says it."""
    if not (isinstance(error.exc_value, OSError) and "AsyncWriter" in type(error.thread).__name__):
        threading.__excepthook__(error)


def _usage() -> str:
    from gym_grasp.tasks import TASKS

    width = max(map(len, SUBCOMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {text}" for name, text in SUBCOMMANDS.items())
    return (
        f"gym-grasp {__version__}: dexterous manipulation from demonstrations\n\n"
        f"usage: gym-grasp SUBCOMMAND ...\n\n{listed}\n\n"
        f"tasks: {', '.join(TASKS)}\n\n"
        "`gym-grasp SUBCOMMAND --help` tells more."
    )


if __name__ == "__main__":
    sys.exit(main())
