"""What adapters ask of the environments that they are given."""

from gym_grasp.envs.vector import GraspVectorEnv
from gym_grasp.errors import UsageError


def require_autoreset(env: GraspVectorEnv) -> None:
    """Raise `UsageError` where environments do not begin anew by themselves."""
    if not env.autoreset:
        raise UsageError("The environments have no autoreset; the adapter needs it.")
