"""What subcommands share that serve a page: who may reach it, and where it is announced."""

import asyncio
import math
import os
import re
import signal
import ssl
import sys
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gym_grasp.cli import HELP
from gym_grasp.errors import DependencyError, UsageError

if TYPE_CHECKING:
    from gym_grasp.teleop.web.host import Host

SHORTEST_TOKEN, FEWEST_CHARACTERS = 16, 8
"""What a token has to have at least where other machines may guess it."""


def require_aiohttp(what: str, args: Sequence[str] = ()) -> None:
    """Raise `DependencyError` where the package that serves pages is missing, but not for help."""
    if HELP & set(args):
        return
    try:
        import aiohttp  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            f"{what} needs the package 'aiohttp': pip install 'gym-grasp[teleop]'."
        ) from error


def say(text: str) -> None:
    """Print on standard error, at once."""
    print(text, file=sys.stderr, flush=True)


def check_reach(port: int, seconds: float | None) -> None:
    """Raise `UsageError` for a port that does not exist, or a time that does not end."""
    if not 0 <= port < 2**16:
        raise UsageError(f"--port is {port}; it must be from 1 to 65535, or 0 for a free one.")
    if seconds is not None and not 0 < seconds < math.inf:
        raise UsageError(f"--seconds is {seconds}; it must be positive and finite, or left out.")


def check_token(token: str | None, lan: bool) -> None:
    """Raise `UsageError` for a token that no address can hold, or that could be guessed."""
    if token is None:
        return
    if not re.fullmatch(r"[\w.~-]+", token, re.ASCII):
        raise UsageError(
            f"--token is {token!r}; it stands in an address: letters, digits, '-', '_', '.', '~'."
        )
    if lan and (len(token) < SHORTEST_TOKEN or len(set(token)) < FEWEST_CHARACTERS):
        raise UsageError(
            f"--token has {len(token)} characters, {len(set(token))} of them different; with --lan "
            f"it takes {SHORTEST_TOKEN}, {FEWEST_CHARACTERS} of them different. Leave it out for a "
            "random one."
        )


def network(lan: bool) -> tuple[list[str], ssl.SSLContext | None]:
    """Return the names that a browser may use, and the settings of https."""
    if not lan:
        return ["localhost"], None
    from gym_grasp.teleop.web.certificate import lan_addresses, tls_context

    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    addresses = lan_addresses()
    return addresses or ["localhost"], tls_context(config / "gym-grasp", addresses)


async def serve(
    host: "Host",
    addresses: list[str],
    *,
    invitation: str,
    note: str | Callable[[], str] = "",
    lan: bool,
    port: int,
    browse: bool,
    seconds: float | None,
) -> None:
    """Serve until the host ends, the time is up, or someone interrupts.

    Args:
        host: what to serve.
        addresses: names that a browser may use.
        invitation: printed above the addresses.
        note: printed below them, or what returns it once the port is known; empty: nothing.
        lan: be reached from other machines.
        port: where to listen; 0 takes any that is free.
        browse: open the page in this machine's browser.
        seconds: stop after so long; None: never.
    """
    await host.start("0.0.0.0" if lan else "127.0.0.1", port)
    scheme = "https" if lan else "http"
    urls = [f"{scheme}://{name}:{host.port}/#token={host.token}" for name in addresses]
    say("\n  ".join([invitation, *urls]))
    if lan:
        say("Its certificate is our own: let the browser go on.")
    if note:
        say(note() if callable(note) else note)
    if browse:
        webbrowser.open(urls[0])
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, host.stop)
    if seconds is not None:
        loop.call_later(seconds, host.stop)
    await host.run()
