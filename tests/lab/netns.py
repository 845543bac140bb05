"""Network namespaces with names no one else has, removed even on failure; and two of them joined by a veth pair."""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import signal
import socket
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = itertools.count(1)
_CLONE_NEWNET = 0x40000000
_OURS = re.compile(r"ovl([0-9]+)x[0-9]+[a-z0-9-]*")


def new_tag() -> str:
    """The beginning of names that only this process gives, and gives once."""
    return f"ovl{os.getpid()}x{next(_numbers)}"


def ip(*arguments: str) -> None:
    """Run the `ip` command; an error is shown, and ends the test."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)


class Namespace:
    """One network namespace; `command` puts a command inside it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def create(self) -> None:
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")

    def remove(self) -> None:
        """Remove it with its links; one that is gone already is fine."""
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True, timeout=20)

    def command(self, *arguments: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *arguments]

    def run(
        self, *arguments: str, input: str | None = None, check: bool = True, timeout: float = 20
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it to its end; an error is shown with what it said, and ends the test."""
        done = subprocess.run(
            self.command(*arguments),
            input=input,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {' '.join(arguments)}: {done.stderr.strip()}\n{input or ''}")
        return done

    def ip(self, *lines: str) -> None:
        """Run these `ip` commands in it, at once."""
        self.run("ip", "-batch", "-", input="\n".join(lines))

    def nft(self, script: str) -> None:
        """Apply a script of nftables in it, all or nothing."""
        self.run("nft", "-f", "-", input=script)

    def sysctl(self, **values: int | str) -> None:
        """Set `net.ipv4.*`; two underscores stand for a dot."""
        self.run(
            "sysctl",
            "-q",
            "-w",
            *(f"net.ipv4.{name.replace('__', '.')}={value}" for name, value in values.items()),
        )

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is in it meanwhile: sockets that it makes and threads and processes that it starts stay there."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            with Path(f"/run/netns/{self.name}").open("rb") as namespace:
                _enter(namespace.fileno())
            try:
                yield
            finally:
                _enter(before)
        finally:
            os.close(before)

    def socket(self, kind: socket.SocketKind = socket.SOCK_DGRAM, *, version: int = 4) -> socket.socket:
        """An IPv4 or IPv6 socket in it, with a timeout of 5 s."""
        with self.entered():
            sock = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, kind)
        sock.settimeout(5)
        return sock


def _enter(descriptor: int) -> None:
    """`os.setns` came with Python 3.12."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, f"a network namespace cannot be entered: {os.strerror(error)}")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl+C waits until what was made is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def remove_leftovers() -> None:
    """Remove the namespaces of test runs that were killed with no chance to clean up."""
    for path in Path("/run/netns").glob("ovl*"):
        found = _OURS.fullmatch(path.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            Namespace(path.name).remove()


@contextmanager
def two_hosts() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces, 10.123.0.1 and 10.123.0.2 (fd12:3::1 and ::2), joined by one veth pair."""
    tag = new_tag()
    hosts = (Namespace(f"{tag}a"), Namespace(f"{tag}b"))
    try:
        for host in hosts:
            host.create()
        hosts[0].ip(f"link add eth0 type veth peer name eth0 netns {hosts[1].name}")
        for number, host in enumerate(hosts, start=1):
            host.ip(
                f"addr add 10.123.0.{number}/24 dev eth0",
                f"addr add fd12:3::{number}/64 dev eth0 nodad",
                "link set eth0 up",
            )
        yield hosts
    finally:
        with uninterrupted():
            for host in hosts:
                host.remove()
