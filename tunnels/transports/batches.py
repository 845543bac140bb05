"""Many datagrams with one system call, on any UDP socket of ours: sending runs of one size, receiving what waits.

Sending uses UDP_SEGMENT (Linux 4.18, udp(7)): the kernel cuts one buffer into datagrams. Receiving many at once needs
recvmmsg(2), which Python does not offer; qh3's socket helper does, and is used once a socket turns out to be busy.
Elsewhere, or where the kernel refuses, each datagram has its own system call.
"""

from __future__ import annotations

import errno
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

from tunnels import limits

if TYPE_CHECKING:
    from collections.abc import Sequence

LINUX: Final = sys.platform == "linux"
_UDP_SEGMENT: Final = 103
_UNSUPPORTED: Final = frozenset({errno.EIO, errno.EINVAL})

Sockaddr = tuple[str, int] | tuple[str, int, int, int]
"""What the socket module calls an address; for IPv6 with flow label and interface number."""


def run_end(datagrams: Sequence[bytes], start: int, segments: int) -> int:
    """Where the run ends that one system call can send: datagrams of one size, of which the last may be shorter."""
    segment = len(datagrams[start])
    last = min(len(datagrams), start + max(1, min(segments, limits.GSO_BYTES // max(segment, 1))))
    end = start + 1
    while end < last:
        size = len(datagrams[end])
        if size > segment or not size:
            break
        end += 1
        if size < segment:
            break
    return end


def send_run(sock: socket.socket, run: Sequence[bytes], address: Sockaddr | None) -> None:
    """Send datagrams that `run_end` found to be one run, to `address` or where the socket is connected; OSError."""
    if len(run) == 1:
        if address is None:
            sock.send(run[0])
        else:
            sock.sendto(run[0], address)
        return
    ancillary = [(socket.IPPROTO_UDP, _UDP_SEGMENT, len(run[0]).to_bytes(2, sys.byteorder))]
    if address is None:
        sock.sendmsg(run, ancillary)
    else:
        sock.sendmsg(run, ancillary, 0, address)


def is_unsupported(error: OSError) -> bool:
    """Whether a run was refused that might pass one by one."""
    return error.errno in _UNSUPPORTED


class BatchSocket:
    """A bound or connected UDP socket, not blocking, whose owner reads and writes it here only."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, limits.BATCH_BUFFER)
        self._segments = limits.GSO_SEGMENTS if LINUX else 1
        self._helper: Any = None
        self._may_help = LINUX

    def receive(self) -> list[tuple[bytes, Any]]:
        """What waits, within a bound, each with its source; raises OSError as the socket does, but BlockingIOError."""
        if self._helper is not None:
            batch: list[tuple[bytes, Any]] = self._helper.recv()
            return batch
        batch = []
        try:
            while len(batch) < limits.BATCH_DATAGRAMS:
                batch.append(self._socket.recvfrom(limits.RECEIVE_BUFFER))
        except (BlockingIOError, InterruptedError):
            return batch
        except OSError:
            if not batch:
                raise
            return batch
        if self._may_help:
            self._may_help = False
            self._helper = _helper(self._socket)
        return batch

    def close(self) -> None:
        """Close the socket; qh3's helper has a descriptor of its own, which would keep the port until it is collected."""
        self._helper = None
        self._may_help = False
        self._socket.close()

    def send(self, datagrams: Sequence[bytes], address: Sockaddr | None = None) -> None:
        """Send all of them; what the kernel has no room for, or refuses, is lost, as anywhere on the way."""
        start, count = 0, len(datagrams)
        while start < count:
            end = run_end(datagrams, start, self._segments)
            try:
                send_run(self._socket, datagrams[start:end], address)
            except OSError as error:
                if end - start > 1 and is_unsupported(error):
                    self._segments = 1
                    continue
                if isinstance(error, BlockingIOError):
                    return
                if isinstance(error, ConnectionRefusedError):
                    # The answer to an earlier datagram; this run was not sent. Once more, then it is lost.
                    try:
                        send_run(self._socket, datagrams[start:end], address)
                    except OSError:
                        return
            start = end


def _helper(sock: socket.socket) -> Any:  # noqa: ANN401 - qh3 has no public name for it
    """qh3's batched receiver on the socket, or None."""
    try:
        from qh3._hazmat import UdpSocketState

        return UdpSocketState(sock.fileno())
    except (ImportError, OSError):
        return None
