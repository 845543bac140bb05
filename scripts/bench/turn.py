"""The load of relay.py on a TURN server instead: the same datagrams, as many at once, told of in the same way.

    turn.py receive|send HOST:PORT [key=value]…

Each of the `flows` has an allocation at the server, where `user` has `password`, and sends ChannelData (RFC 8656 §12) to
a peer, a plain UDP socket of the receiving process, whose `ports` that prints first. What goes out is cut into datagrams
by the kernel (UDP_SEGMENT), what comes in is taken many at once (recvmmsg), so that the server is what limits.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from typing import Any

from relay import WORD

from tunnels.addresses import Address
from tunnels.nat.turn import TurnClient, TurnState
from tunnels.transports.batches import BatchSocket

STALLED_SECONDS = 0.02
BUFFER = 4 * 1024 * 1024
SETUP_SECONDS = 10.0
CHANNEL_HEAD = 4
_UDP_SEGMENT = 103
_GREETING = b"greeting"


def udp_socket() -> socket.socket:
    """Not blocking, with large buffers."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def receive(_: str, options: dict[str, Any]) -> None:
    """The peers, until our input ends."""
    socks = [udp_socket() for _ in range(int(options["flows"]))]
    batches = {sock.fileno(): BatchSocket(sock) for sock in socks}
    by_fd = {sock.fileno(): sock for sock in socks}
    told = dict.fromkeys(by_fd, 0)
    counts = dict.fromkeys(by_fd, 0)
    each = int(options["count"])
    print(",".join(str(sock.getsockname()[1]) for sock in socks), flush=True)
    poll = select.epoll()
    for fd in (0, *by_fd):
        poll.register(fd, select.EPOLLIN)
    while True:
        for fd, _events in poll.poll():
            if fd == 0:
                return
            found = batches[fd].receive()
            if not found:
                continue
            last, relay = found[-1]
            if last == _GREETING:
                continue
            counts[fd] += len(found)
            if counts[fd] - told[fd] >= each:
                told[fd] = counts[fd]
                by_fd[fd].sendto(last[: WORD.size] + WORD.pack(counts[fd]), relay)


class Flow:
    """One allocation, and the sending end of one transfer through it."""

    def __init__(self, place: str, port: int, options: dict[str, Any]) -> None:
        size, self.count = int(options["size"]), int(options["count"])
        self.sock = udp_socket()
        server, peer = Address.parse(place), Address.of("127.0.0.1", port)
        self.sock.connect((str(server.ip), server.port))
        client = TurnClient(server, options["user"], options["password"], os.urandom)
        channel = self._channel(client, peer)
        self.segment = CHANNEL_HEAD + size
        one = channel + size.to_bytes(2) + os.urandom(size)
        self.batch = bytearray(one * self.count)
        self.ancillary = [(socket.IPPROTO_UDP, _UDP_SEGMENT, self.segment.to_bytes(2, sys.byteorder))]
        self.payload = size
        self.window = max(1, int(options["window"]) // (size * self.count))
        self.sent = self.heard_of = self.arrived = 0
        self.heard = time.monotonic()

    def _channel(self, client: TurnClient, peer: Address) -> bytes:
        """Allocate and bind a channel to the peer; the channel's number."""
        deadline = time.monotonic() + SETUP_SECONDS
        client.allocate(time.monotonic())
        asked = False
        while (now := time.monotonic()) < deadline:
            if client.state is TurnState.FAILED:
                raise ConnectionError(str(client.failure))
            if client.state is TurnState.READY and not asked:
                asked = True
                client.send(peer, [_GREETING], now)
            for datagram in client.datagrams_to_send(now):
                self.sock.send(datagram)
                if datagram[4:] == _GREETING:
                    return datagram[:2]
            if select.select([self.sock], (), (), 0.05)[0]:
                client.receive(self.sock.recv(65536), time.monotonic())
        raise ConnectionError("the TURN server does not answer")

    def send(self) -> None:
        """As much as may be under way."""
        while self.sent - self.heard_of < self.window:
            for at in range(CHANNEL_HEAD, len(self.batch), self.segment):
                WORD.pack_into(self.batch, at, self.sent + 1)
            try:
                self.sock.sendmsg([self.batch], self.ancillary)
            except BlockingIOError:
                return
            self.sent += 1

    def hear(self, now: float) -> None:
        """What the receiver tells: the newest batch that reached it, and how many datagrams did."""
        while True:
            try:
                word = self.sock.recv(65536)
            except BlockingIOError:
                return
            if len(word) >= CHANNEL_HEAD + 2 * WORD.size and word[0] & 0xC0 == 0x40:
                self.heard_of = max(self.heard_of, WORD.unpack_from(word, CHANNEL_HEAD)[0])
                self.arrived = max(self.arrived, WORD.unpack_from(word, CHANNEL_HEAD + WORD.size)[0])
                self.heard = now

    def look(self, now: float) -> None:
        """What nothing is heard of for long is lost."""
        if now - self.heard > STALLED_SECONDS:
            self.heard_of, self.heard = self.sent, now


def send(place: str, options: dict[str, Any]) -> dict[str, float]:
    """The sending end, for so many seconds."""
    flows = [Flow(place, int(port), options) for port in options["ports"].split(",")]
    by_fd = {flow.sock.fileno(): flow for flow in flows}
    poll = select.epoll()
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    began = now = time.monotonic()
    deadline = began + float(options["seconds"])
    while now < deadline:
        for flow in flows:
            flow.look(now)
            flow.send()
        ready = poll.poll(STALLED_SECONDS)
        now = time.monotonic()
        for fd, _ in ready:
            by_fd[fd].hear(now)
    arrived = sum(flow.arrived * flow.payload for flow in flows)
    sent = sum(flow.sent * flow.count * flow.payload for flow in flows)
    return {
        "rate": arrived / (now - began),
        "bytes": arrived,
        "loss": 100 * max(0, sent - arrived) / max(1, sent),
    }


def main() -> None:
    mode, place, *pairs = sys.argv[1:]
    try:
        figures = {"receive": receive, "send": send}[mode](place, dict(pair.split("=", 1) for pair in pairs))
    except (OSError, ValueError) as error:
        figures = {"failed": str(error)}  # type: ignore[dict-item]
    if figures is not None:
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
