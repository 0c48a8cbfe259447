"""What simulations need of the host's memory, told before it is taken."""

from pathlib import Path

import mujoco

from gym_grasp.errors import UsageError

SHARE = 0.7
"""Of what MuJoCo keeps for one simulation alone, what a batch and its readings keep for each."""
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current")


def check_memory(model: mujoco.MjModel, num_envs: int) -> None:
    """Raise `UsageError` if so many simulations do not fit into the memory that is free."""
    each = SHARE * mujoco.MjData(model).nbuffer
    free = _free()
    if free is not None and each * num_envs > free:
        raise UsageError(
            f"{num_envs:,} environments need about {each * num_envs / 1e9:,.1f} GB of memory, "
            f"{each / 1e3:.0f} kB each, and {free / 1e9:.1f} GB are free; at most about "
            f"{int(free / each):,} fit."
        )


def _free() -> int | None:
    """Return how many bytes are free for this process; None where the system does not say."""
    free = None
    try:
        with open("/proc/meminfo") as lines:
            kilobytes = dict(line.split(":") for line in lines)["MemAvailable"]
        free = 1024 * int(kilobytes.split()[0])
        most, taken = (int(Path(path).read_text()) for path in LIMITS)
        return min(free, most - taken)
    except (OSError, KeyError, ValueError):  # no such limit
        return free
