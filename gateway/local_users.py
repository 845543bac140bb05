"""Which user of this machine is at the other end of a TCP connection: others get nothing from our loopback ports.

A Unix socket tells (SO_PEERCRED), TCP does not; Linux lists every TCP socket of a network namespace with its owner in
/proc/net/tcp and tcp6, where the other end of a loopback connection is found by its addresses and ports. A socket that
no process has open any more (closed, or waiting in TIME_WAIT) is listed as root's with inode 0, so such a line proves
nothing. Other systems have no such list that everybody may read; there all users are let in, and `note` says so.
"""

from __future__ import annotations

import os
import sys
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    import asyncio
    from ipaddress import IPv4Address

Users: TypeAlias = Literal["own", "all"]

_PROC: Final = Path("/proc/net")

_LOOKS: Final = 3
"""How often the list is read before somebody counts as not there: a list that changes while it is read may lack a line."""

_INODE: Final = 9
_UID: Final = 7
"""Columns of /proc/net/tcp (Linux, Documentation/networking/proc_net_tcp)."""


class LocalUsers:
    """Who may connect to a port on this machine: our own user and root, or everybody."""

    def __init__(self, users: Users = "own", *, proc: Path = _PROC) -> None:
        """`proc` is where the lists `tcp` and `tcp6` are."""
        self._all = users == "all"
        self._lists = (proc / "tcp", proc / "tcp6")
        self._admitted = {0, os.getuid()} if hasattr(os, "getuid") else set()

    @property
    def note(self) -> str:
        """Who else is let in, and why; empty if nobody is."""
        if self._all:
            return 'every user of this machine, and every machine that reaches the port, is let in (users = "all")'
        if not self._can_tell():
            return "this system does not tell which of its users connects, so all of them are let in"
        return ""

    def admits(self, transport: asyncio.BaseTransport | None) -> bool:
        """Whether whoever is at the other end of `transport` may come in. It takes about a millisecond for a thousand
        connections of this machine, so ask once for each connection.

        With "own" nobody is let in from another machine, wherever the port listens.
        """
        if self._all:
            return True
        if transport is None:  # it has gone
            return False
        theirs, ours = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if not isinstance(theirs, tuple) or not isinstance(ours, tuple):  # no TCP, or gone
            return False
        their_ip, our_ip = _plain(theirs[0]), _plain(ours[0])
        if not self._can_tell():
            return their_ip.is_loopback
        uid = self._owner((their_ip, theirs[1]), (our_ip, ours[1]))
        return uid is not None and uid in self._admitted

    def _can_tell(self) -> bool:
        if sys.platform != "linux":
            return False
        try:
            os.close(_open(self._lists[0]))
        except (FileNotFoundError, PermissionError):
            return False
        return True

    def _owner(self, near: _Place, far: _Place) -> int | None:
        """The user whose socket goes from `near` to `far` on this machine; None if no process here has one."""
        for _ in range(_LOOKS):
            for path, wide in zip(self._lists, (False, True), strict=True):
                if near[0].version == 6 and not wide:
                    continue
                needle = f" {_hexadecimal(near, wide=wide)} {_hexadecimal(far, wide=wide)} "
                if (uid := _find(_read(path), needle.encode())) is not None:
                    return uid
        return None


_Place: TypeAlias = "tuple[IPv4Address | IPv6Address, int]"


def _plain(text: str) -> IPv4Address | IPv6Address:
    """The address without a zone; an IPv4 address on an IPv6 socket as what it is."""
    ip = ip_address(text.partition("%")[0])
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def _hexadecimal(place: _Place, *, wide: bool) -> str:
    """As /proc/net writes it: each 32 bits in the machine's byte order, then the port."""
    ip, port = place
    packed = ip.packed if ip.version == 6 or not wide else bytes(10) + b"\xff\xff" + ip.packed
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{port:04X}"


def _open(path: Path) -> int:
    # The kernel makes these lists while they are read: there is nothing to wait for.
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def _read(path: Path) -> bytes:
    """The list as it is now; empty where there is none, as without IPv6."""
    try:
        opened = _open(path)
    except FileNotFoundError:
        return b""
    try:
        parts = []
        while part := os.read(opened, 1 << 16):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(opened)


def _find(listed: bytes, needle: bytes) -> int | None:
    """The user of the line that has both places, if a process has that socket open."""
    at = listed.find(needle)
    while at >= 0:
        start = listed.rfind(b"\n", 0, at) + 1
        columns = listed[start : listed.find(b"\n", at)].split()
        if len(columns) > _INODE and columns[_INODE] != b"0":
            return int(columns[_UID])
        at = listed.find(needle, at + 1)
    return None
