"""Networks of our own: namespaces joined by veth pairs, with names no one else has, removed even on failure."""

from __future__ import annotations

import itertools
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = itertools.count(1)


def ip(*arguments: str) -> None:
    """Run the `ip` command; an error is shown, and ends the test."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)


class Namespace:
    """One network namespace; `command` puts a command inside it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def command(self, *arguments: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *arguments]


@contextmanager
def two_hosts() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces, 10.123.0.1 and 10.123.0.2 (fd12:3::1 and ::2), joined by one veth pair."""
    tag = f"ovl{os.getpid()}x{next(_numbers)}"
    hosts = (Namespace(f"{tag}a"), Namespace(f"{tag}b"))
    made = []
    try:
        for host in hosts:
            ip("netns", "add", host.name)
            made.append(host)
            ip("-n", host.name, "link", "set", "lo", "up")
        ip(
            "-n",
            hosts[0].name,
            "link",
            "add",
            "eth0",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            hosts[1].name,
        )
        for number, host in enumerate(hosts, start=1):
            ip("-n", host.name, "addr", "add", f"10.123.0.{number}/24", "dev", "eth0")
            ip("-n", host.name, "addr", "add", f"fd12:3::{number}/64", "dev", "eth0", "nodad")
            ip("-n", host.name, "link", "set", "eth0", "up")
        yield hosts
    finally:
        for host in made:
            subprocess.run(["ip", "netns", "del", host.name], check=False, capture_output=True, timeout=20)
