"""Where both sides are: on this machine's loopback, or, as root, in two network namespaces joined by a veth pair."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.places import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

MTU = "1500"
CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Hosts:
    """The addresses of alice's side, with the target, and of bob's, with the clients; bob's side is where we are."""

    alice: str = "127.0.0.1"
    bob: str = "127.0.0.1"
    namespace: str = ""
    """The network namespace of alice's side, if it is not ours."""
    name: str = "loopback"


@contextlib.contextmanager
def two_hosts() -> Iterator[Hosts]:
    """Two namespaces with names no one else has; this process is in bob's meanwhile, with all that it starts."""
    if os.geteuid():
        raise Unavailable("--namespaces needs root")
    if shutil.which("ip") is None:
        raise Unavailable("--namespaces needs the command `ip`, of the package iproute2")
    hosts = Hosts(
        "10.123.0.1", "10.123.0.2", f"ovb{os.getpid()}a", f"two namespaces, veth with an MTU of {MTU}"
    )
    here, there = f"ovb{os.getpid()}b", hosts.namespace
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        for name in (here, there):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        end = "name", "eth0", "mtu", MTU
        ip("-n", here, "link", "add", *end, "type", "veth", "peer", *end, "netns", there)
        for name, address in ((here, hosts.bob), (there, hosts.alice)):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        with open(f"/run/netns/{here}") as namespace:
            enter(namespace.fileno())
        yield hosts
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what was made is removed
        for name in (here, there):
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=20)
        enter(before)
        os.close(before)


def enter(namespace: int) -> None:
    """This thread, and what it starts, is in the namespace from now on; `os.setns` came with Python 3.12."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET):
        raise Unavailable(f"a network namespace cannot be entered: {os.strerror(ctypes.get_errno())}")


def ip(*arguments: str) -> None:
    """Run the command `ip`."""
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True, timeout=20)
    if done.returncode:
        raise Unavailable(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
