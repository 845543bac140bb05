"""What the system says in its own files, read: sockets of /proc/net, resolv.conf, nsswitch.conf. Text in, values out."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

from gateway.doctor.limits import DOCTOR_LISTENING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LISTEN: Final = "0A"
_UNCONNECTED: Final = "07"
_HEAD: Final = 10
"""Fields of a line of /proc/net/tcp that we need: up to the inode."""


def listening(lines: Iterable[str], protocol: Literal["tcp", "udp"]) -> Iterator[tuple[str, int, int]]:
    """Address, port and inode of each socket that waits for others, of /proc/net/tcp, tcp6, udp or udp6 (proc(5)).

    Lines that are none are passed over; there is a bound on how many are read.
    """
    wanted = _LISTEN if protocol == "tcp" else _UNCONNECTED
    for line in islice(lines, DOCTOR_LISTENING):
        fields = line.split()
        if len(fields) < _HEAD or fields[3] != wanted:
            continue
        host, _, port = fields[1].partition(":")
        try:
            yield _ip(host), int(port, 16), int(fields[9])
        except ValueError:
            continue


def _ip(text: str) -> str:
    """An address as the kernel writes it: 32-bit words in the order of the machine, which is little-endian on all we run on."""
    data = bytes.fromhex(text)
    if len(data) == 4:
        return str(IPv4Address(data[::-1]))
    if len(data) != 16:
        raise ValueError(f"{text} is no address")
    return str(IPv6Address(b"".join(data[word : word + 4][::-1] for word in range(0, 16, 4))))


def nameservers(text: str) -> tuple[str, ...]:
    """The servers of a resolv.conf(5), in their order."""
    found = [line.split() for line in text.splitlines()]
    return tuple(words[1] for words in found if len(words) > 1 and words[0] == "nameserver")


def hosts_order(text: str) -> str:
    """What nsswitch.conf(5) says of `hosts`; empty if nothing."""
    for line in text.splitlines():
        database, colon, order = line.partition("#")[0].partition(":")
        if colon and database.strip() == "hosts":
            return " ".join(order.split())
    return ""
