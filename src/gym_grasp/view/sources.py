"""From what a person names to what plays: a task, a run, a policy or a dataset."""

from dataclasses import dataclass
from pathlib import Path

from gym_grasp.demos.listing import Listing
from gym_grasp.demos.operators import OPERATORS
from gym_grasp.differences import differences
from gym_grasp.envs.spec import EnvSpec
from gym_grasp.errors import UsageError, unknown
from gym_grasp.learning.checkpoint import POLICY, LoadedPolicy, load_policy
from gym_grasp.tasks import TASKS
from gym_grasp.view.sides import Live, Recorded, Side, operator_of

MAGIC = b"\x89HDF\r\n\x1a\n"
"""How an HDF5 file begins."""


@dataclass(frozen=True, eq=False)
class Source:
    """Something that can be looked at."""

    name: str
    """As the person named it."""
    spec: EnvSpec
    """The environment: of the recording, of the training, or the task's own."""
    what: Listing | LoadedPolicy | None
    """None: a task."""


def find(name: str) -> Source:
    """Return what a name means: that of a task, or a path.

    Raises:
        UsageError: it means nothing.
        DatasetError, CheckpointError: what lies there is damaged, or of another version.
    """
    if name in TASKS:
        return Source(name, EnvSpec(name), None)
    path = Path(name)
    if (path.is_file() and _begins(path) == MAGIC) or path.suffix == ".hdf5":
        listing = Listing(path)
        return Source(name, listing.env_spec(), listing)
    if path.is_file() or (path / POLICY).is_file():
        policy = load_policy(path)
        return Source(name, EnvSpec.from_dict(policy.identity.spec), policy)
    if path.is_dir():
        raise UsageError(f"The folder {name} holds no {POLICY}; name the folder of a run.")
    if "/" in name or path.suffix:
        raise UsageError(f"There is no {name}; name a task, a run's folder, a policy or a dataset.")
    raise unknown("task, run, policy or dataset", name, TASKS)


def _begins(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC))
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error


def sides_of(sources: list[Source], spec: EnvSpec, acts: str | None) -> list[Side]:
    """Return what plays.

    Args:
        sources: one, or two to be shown side by side.
        spec: the environment of what is live, where it differs from that of the first source.
        acts: who acts where a task is named, `operator` or `nobody`; None: the operator, if one
            knows the task.

    Raises:
        UsageError: they cannot be shown together, or not in that environment.
    """
    _check(sources, spec)
    if acts is not None and all(source.what for source in sources):
        raise UsageError("--acts says who acts where a task is named, and none is; leave it out.")
    chosen = spec != sources[0].spec
    sides: list[Side] = []
    try:
        for source in sources:
            sides.append(_side(source, spec if chosen else source.spec, acts))
    except Exception:
        for side in sides:
            side.close()
        raise
    return sides


def _check(sources: list[Source], spec: EnvSpec) -> None:
    first = sources[0]
    if not 1 <= len(sources) <= 2:
        raise UsageError(f"{len(sources)} things are named; name one, or two to compare them.")
    datasets = [one for one in sources if isinstance(one.what, Listing)]
    if len(datasets) > 1:
        raise UsageError("Two datasets are named; name one, alone or with a policy or a task.")
    for one in sources[1:]:
        if one.spec.task != first.spec.task:
            raise UsageError(
                f"{first.name} is of the task '{first.spec.task}', {one.name} of "
                f"'{one.spec.task}'; side by side stands what is of one task."
            )
        if one.spec.control_rate != first.spec.control_rate:
            raise UsageError(
                f"{first.name} acts {first.spec.control_rate:g} times a second, {one.name} "
                f"{one.spec.control_rate:g} times; side by side stands what is of one rate."
            )
    lines = differences(first.spec.to_dict(), spec.to_dict(), ("recorded", "asked for"), ignore=())
    if isinstance(first.what, Listing) and len(sources) == 1 and lines:
        raise UsageError(
            f"{first.name} is shown as it was recorded; leave these options out: "
            f"{'; '.join(lines)}."
        )


def _side(source: Source, spec: EnvSpec, acts: str | None) -> Side:
    if isinstance(source.what, Listing):
        return Recorded(source.what)
    if isinstance(source.what, LoadedPolicy):
        policy = source.what
        side = Live(source.name, "policy", spec, lambda env: policy)
        if spec == source.spec:
            policy.check(side.env)
        elif (policy.observation_size, policy.action_size) != (
            side.env.observation_size,
            side.env.action_size,
        ):
            side.close()
            raise UsageError(f"{source.name} does not know the robot {spec.robot}; leave it out.")
        return side
    known = source.spec.task in OPERATORS
    if acts == "operator" and not known:
        raise UsageError(f"No synthetic operator knows '{source.spec.task}'; give --acts nobody.")
    if known and acts != "nobody":
        return Live(source.name, "operator", spec, operator_of)
    return Live(source.name, "nobody", spec, None)
