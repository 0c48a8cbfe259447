"""Hosts of their own on one machine: network namespaces with an address each, on one switch."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

POSSIBLE = bool(os.geteuid() == 0 and shutil.which("ip"))
"""Namespaces are made by root, with iproute2."""


def ip(*words: object) -> None:
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True, text=True)


@dataclass
class Hosts:
    """Hosts that reach each other, until one is cut off."""

    name: str
    count: int

    def address(self, host: int) -> str:
        return f"10.231.7.{host + 1}"

    def within(self, host: int) -> list[str]:
        """The words before a command that has it run on a host."""
        return ["ip", "netns", "exec", f"{self.name}-{host}"]

    def cut(self, host: int) -> None:
        """Pull a host's cable at the switch: nothing arrives, and nobody is told."""
        ip("-n", f"{self.name}-switch", "link", "set", f"port{host}", "nomaster")

    def mend(self, host: int) -> None:
        ip("-n", f"{self.name}-switch", "link", "set", f"port{host}", "master", "switch")


@contextlib.contextmanager
def hosts(count: int) -> Iterator[Hosts]:
    made = Hosts(f"grasp{os.getpid()}", count)
    switch, names = f"{made.name}-switch", [f"{made.name}-{host}" for host in range(count)]
    try:
        for name in (switch, *names):
            ip("netns", "add", name)
        ip("-n", switch, "link", "add", "switch", "type", "bridge")
        ip("-n", switch, "link", "set", "switch", "up")
        for host, name in enumerate(names):
            port = f"port{host}"
            ip("-n", switch, "link", "add", port, "type", "veth", "peer", "eth0", "netns", name)
            ip("-n", switch, "link", "set", port, "master", "switch", "up")
            ip("-n", name, "address", "add", f"{made.address(host)}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield made
    finally:
        for name in (switch, *names):
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "delete", name)
