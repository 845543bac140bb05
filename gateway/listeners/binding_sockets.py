"""Binds sockets where a binding wants them, or at the best place that can be had."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Final

from gateway.limits import LISTEN_BACKLOG
from gateway.listeners.bindings import places
from resolver.names import ServiceProtocol

if TYPE_CHECKING:
    from gateway.listeners.bindings import Binding, Place

_REASONS: Final = {
    errno.EACCES: "ports below 1024 need a privilege here (Linux: sysctl net.ipv4.ip_unprivileged_port_start)",
    errno.EPERM: "binding is not permitted here",
    errno.EADDRINUSE: "another program listens there",
    errno.EADDRNOTAVAIL: "this system has no such loopback address (macOS: sudo ifconfig lo0 alias ADDRESS)",
}
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def bind(binding: Binding) -> tuple[socket.socket, Place, str]:
    """A bound socket (for TCP listening already), where it is, and why it is not where it was wanted.

    Raises OSError when no place can be had.
    """
    first: OSError | None = None
    unavailable = None
    for ip, port in places(binding):
        if ip == unavailable:
            continue
        try:
            sock = _bound(str(ip), port, binding.protocol)
        except OSError as error:
            first = first or error
            if error.errno in _EXHAUSTED:
                break
            if error.errno == errno.EADDRNOTAVAIL:
                unavailable = ip
            continue
        place = ip, int(sock.getsockname()[1])
        note = "" if first is None else f"{binding.ip}:{binding.port} cannot be had: {reason(first)}"
        return sock, place, note
    raise first or OSError(errno.EADDRNOTAVAIL, "no place")


def reason(error: OSError) -> str:
    """An error of binding, in words with the remedy."""
    if error.errno in _EXHAUSTED:
        return "too many files are open; allow more (ulimit -n)"
    return _REASONS.get(error.errno or 0, str(error))


def _bound(ip: str, port: int, protocol: ServiceProtocol) -> socket.socket:
    tcp = protocol is ServiceProtocol.TCP
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if tcp:  # a restart must not wait for the last connections' TIME_WAIT
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((ip, port))
        if tcp:
            sock.listen(LISTEN_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
