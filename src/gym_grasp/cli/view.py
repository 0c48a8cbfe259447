"""`gym-grasp view TASK | RUN | POLICY | DATASET`."""

import asyncio
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gym_grasp.cli import HELP
from gym_grasp.cli.environment import EnvironmentOptions, call
from gym_grasp.cli.serving import check_reach, check_token, network, require_aiohttp, serve
from gym_grasp.errors import UsageError
from gym_grasp.tasks import TASKS

if TYPE_CHECKING:
    from gym_grasp.view.sides import Recorded
    from gym_grasp.view.sources import Source


def main(args: Sequence[str]) -> None:
    """Run the subcommand."""
    require_aiohttp("The viewer", args)
    first = next((word for word in args if word in TASKS or Path(word).exists()), None)
    base = _find(first).spec if first is not None and not HELP & set(args) else None
    call(view, args, "gym-grasp view", base)


@functools.cache
def _find(name: str) -> "Source":
    """Return what a name means; opening a dataset twice would take twice as long."""
    from gym_grasp.view.sources import find

    return find(name)


def view(
    what: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="TASK|RUN|POLICY|DATASET ...")
    ],
    /,
    *,
    environment: EnvironmentOptions,
    acts: Annotated[
        Literal["operator", "nobody"] | None, tyro.conf.arg(metavar="{operator,nobody}")
    ] = None,
    seed: int | None = None,
    episode: int | None = None,
    lan: bool = False,
    port: int = 8080,
    browse: bool = False,
    seconds: float | None = None,
    token: str | None = None,
) -> None:
    """Look at a task, a policy or demonstrations in the browser; two things side by side.

    A policy plays live: pause it, step, change speed and seed, drag things and push the hand. An
    episode of a dataset is scrubbed frame by frame, with actions, rewards, progress and forces.

    Args:
        what: name of a task, folder of a run, file of a policy, or dataset; two of one task, such
            as a dataset and a policy, are shown side by side and in step.
        environment: of what plays live; by default that of the recording or training.
        acts: who acts where a task is named; by default its synthetic operator.
        seed: of the first live episode, as datasets store it; by default 0.
        episode: which recorded episode to show first; by default 0.
        lan: be reached from other machines, over https with a self-signed certificate.
        port: where to listen; 0 takes any that is free.
        browse: open the page in this machine's browser.
        seconds: stop after so long.
        token: what the page's address has to hold; by default a new random one. With --lan it
            takes 16 characters or more, 8 of them different.
    """
    import torch

    from gym_grasp.view.server import ViewServer
    from gym_grasp.view.sides import Recorded
    from gym_grasp.view.sources import sides_of

    check_reach(port, seconds)
    check_token(token, lan)
    torch.set_num_threads(1)  # one simulation is too small to share out
    if not what:
        raise UsageError("Name a task, a run's folder, a policy or a dataset.")
    sources = [_find(name) for name in what]
    sides = sides_of(sources, environment.spec(sources[0].spec.task), acts)
    try:
        recorded = next((one for one in sides if isinstance(one, Recorded)), None)
        _check(recorded, seed, episode)
        addresses, tls = network(lan)
        server = ViewServer(sides, seed=seed or 0, episode=episode or 0, token=token, tls=tls)
        asyncio.run(
            serve(
                server,
                addresses,
                invitation=f"Look at {' and '.join(what)} in a browser:",
                lan=lan,
                port=port,
                browse=browse,
                seconds=seconds,
            )
        )
    finally:
        for side in sides:
            side.close()


def _check(recorded: "Recorded | None", seed: int | None, episode: int | None) -> None:
    """Raise `UsageError` for a seed or an episode that is not there."""
    if recorded is None:
        if episode is not None:
            raise UsageError("--episode is one of a dataset, and none is named; leave it out.")
        if seed is not None and not 0 <= seed < 2**63:
            raise UsageError(f"--seed is {seed}; it must be from 0 to 2**63 - 1.")
        return
    if seed is not None:
        raise UsageError("The episodes of the dataset say the seeds; leave --seed out.")
    count = len(recorded.listing.episodes)
    if episode is not None and not 0 <= episode < count:
        raise UsageError(
            f"--episode is {episode}; {recorded.name} has {count} episodes, 0 to {count - 1}."
        )
