"""Puts load on a beacon and prints what came of it as one line of JSON; run as a process of its own.

    relay.py MODE HOST:PORT [key=value]…

`send` and `receive` are the two ends of `flows` one-way transfers: frames of `count` datagrams of `size` bytes, with at
most `window` bytes under way, of which the receiver tells now and then what came, as a gateway's QUIC does. `idle` logs
in `clients` times and holds them until our input ends. `messages` sends sealed messages in a ring of `clients`,
`window` of each under way, or `rate` in a second if that is given.

Clients log in as gateways do, with the project's own login; what follows is made and counted by hand on plain sockets,
so that the beacon is what limits.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import select
import socket
import statistics
import struct
import sys
import time
from typing import Any

from tunnels.addresses import BeaconUrl
from tunnels.identity import EndpointId, SecretKey
from tunnels.relay import frames, login
from tunnels.relay.frames import Challenge, FrameKind, Welcome

TOLD_EACH = 4  # frames between two words of the receiver
STALLED_SECONDS = 0.2
WORD = struct.Struct(">Q")
_BINARY, _TEXT, _PING = 0x82, 0x81, 0x89
_VIEW = memoryview(bytearray(1024 * 1024))


def key_of(role: str, number: int) -> SecretKey:
    """A key that the process at the other end knows too."""
    return SecretKey(hashlib.sha256(f"bench {role} {number}".encode()).digest())


def masked(payload: bytes, head: int = _BINARY, key: bytes | None = None) -> bytes:
    """A client's WebSocket frame (RFC 6455 §5.2)."""
    key = secrets.token_bytes(4) if key is None else key
    size = len(payload)
    shown = bytes([head, 0x80 | size]) if size < 126 else struct.pack(">BBH", head, 0xFE, size)
    mask = (key * (size // 4 + 1))[:size]
    return shown + key + (int.from_bytes(payload) ^ int.from_bytes(mask)).to_bytes(size)


def wire_size(payload: int) -> int:
    """Bytes of a beacon's frame with so much in it."""
    return payload + (2 if payload < 126 else 4)


class Client:
    """One gateway at the beacon."""

    def __init__(self, place: str, secret_key: SecretKey) -> None:
        url = BeaconUrl.parse(f"http://{place}")
        self.sock = socket.create_connection((url.host, url.port), timeout=30)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._early = b""
        self.sock.sendall(
            f"GET {frames.CONNECT_PATH} HTTP/1.1\r\nHost: {url.authority}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._early:
            self._more()
        head, _, self._early = self._early.partition(b"\r\n\r\n")
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise ConnectionError(head.partition(b"\r\n")[0].decode(errors="replace"))
        challenge = frames.read_from_beacon(self.next().decode())
        assert isinstance(challenge, Challenge)
        said = login.hello(secret_key, challenge, os.urandom(login.NONCE_BYTES), url, "bench")
        self.sock.sendall(masked(frames.encode_text(said).encode(), _TEXT))
        welcome = frames.read_from_beacon(self.next().decode())
        if not isinstance(welcome, Welcome):
            raise ConnectionError(f"the beacon says {welcome}")
        login.check_welcome(welcome, said, challenge)

    def next(self) -> bytes:
        """What the next frame holds; for what comes now and then."""
        while len(self._early) < 4:
            self._more()
        size, at = self._early[1], 2
        if size == 126:
            size, at = int.from_bytes(self._early[2:4]), 4
        while len(self._early) < at + size:
            self._more()
        payload, self._early = self._early[at : at + size], self._early[at + size :]
        return payload

    def ping(self) -> None:
        """A sign of life, as gateways give it, and the answer."""
        self.sock.sendall(masked(b"12345678", _PING))
        if self.next() != b"12345678":
            raise ConnectionError("the beacon does not answer a ping")

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the beacon closed the connection")
        self._early += data


class Counted:
    """Frames of one size that come one after the other."""

    def __init__(self, sock: socket.socket, payload: int) -> None:
        self.sock, self.size = sock, wire_size(payload)
        self.frames = 0
        self._part = 0
        """Bytes of a frame of which the rest has not come."""

    def take(self) -> bytes:
        """Count what is there; the last eight bytes of it."""
        got = self.sock.recv_into(_VIEW)
        if not got:
            raise ConnectionError("the beacon closed the connection")
        begins = (self.size - self._part) % self.size
        if begins < got and _VIEW[begins] != _BINARY:
            raise ConnectionError(f"the beacon sent something else: {bytes(_VIEW[begins : begins + 200])!r}")
        count, self._part = divmod(self._part + got, self.size)
        self.frames += count
        return bytes(_VIEW[max(0, got - self._part - 8) : max(0, got - self._part)])


def receive(place: str, options: dict[str, Any]) -> None:
    """The receiving end, until our input ends."""
    size = frames.HEADER_BYTES + int(options["count"]) * (2 + int(options["size"]))
    flows: dict[int, tuple[Counted, EndpointId]] = {}
    for number in range(int(options["flows"])):
        sock = Client(place, key_of("receiver", number)).sock
        flows[sock.fileno()] = Counted(sock, size), key_of("sender", number).endpoint_id
    print("ready", flush=True)
    poll = select.epoll()
    for fd in (0, *flows):
        poll.register(fd, select.EPOLLIN)
    told = dict.fromkeys(flows, 0)
    while True:
        for fd, _ in poll.poll():
            if fd == 0:
                return
            counted, sender = flows[fd]
            counted.take()
            if counted.frames - told[fd] >= TOLD_EACH:
                told[fd] = counted.frames
                body = frames.batches([WORD.pack(counted.frames)])[0]
                counted.sock.sendall(masked(frames.encode(FrameKind.DATA, sender, body)))


class Flow:
    """The sending end of one transfer."""

    def __init__(self, place: str, number: int, options: dict[str, Any]) -> None:
        size, count = int(options["size"]), int(options["count"])
        receiver = key_of("receiver", number).endpoint_id
        self.sock = Client(place, key_of("sender", number)).sock
        self.sock.setblocking(False)
        body = frames.batches([secrets.token_bytes(size) for _ in range(count)])
        if len(body) != 1:
            raise ValueError("that does not fit into one frame")
        self.frame = memoryview(masked(frames.encode(FrameKind.DATA, receiver, body[0])))
        self.payload = size * count
        self.window = max(1, int(options["window"]) // self.payload)
        self.words = Counted(self.sock, frames.HEADER_BYTES + 2 + WORD.size)
        self.sent = self.arrived = self.forgiven = self.at = 0
        self.heard = time.monotonic()

    def send(self) -> None:
        """As much as may be under way."""
        while self.sent - self.arrived - self.forgiven < self.window:
            try:
                self.at += self.sock.send(self.frame[self.at :])
            except BlockingIOError:
                return
            if self.at == len(self.frame):
                self.at, self.sent = 0, self.sent + 1

    def hear(self, now: float) -> None:
        """What the receiver tells."""
        before = self.words.frames
        word = self.words.take()
        if self.words.frames > before and len(word) == WORD.size:
            (self.arrived,) = WORD.unpack(word)
        self.heard = now

    def look(self, now: float) -> None:
        """Frames of which nothing is heard for long are lost."""
        if now - self.heard > STALLED_SECONDS and not self.at:
            self.forgiven, self.heard = self.sent - self.arrived, now


def send(place: str, options: dict[str, Any]) -> dict[str, float]:
    """The sending end, for so many seconds."""
    flows = [Flow(place, number, options) for number in range(int(options["flows"]))]
    by_fd = {flow.sock.fileno(): flow for flow in flows}
    poll = select.epoll()
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
    began = now = time.monotonic()
    deadline = began + float(options["seconds"])
    while now < deadline:
        ready = poll.poll(STALLED_SECONDS)
        now = time.monotonic()
        for fd, events in ready:
            if events & select.EPOLLIN:
                by_fd[fd].hear(now)
        for flow in flows:
            flow.look(now)
            flow.send()
    arrived = sum(flow.arrived * flow.payload for flow in flows)
    lost = sum(flow.forgiven for flow in flows) / max(1, sum(flow.sent for flow in flows))
    return {"rate": arrived / (now - began), "bytes": arrived, "loss": 100 * lost}


def idle(place: str, options: dict[str, Any]) -> None:
    """So many gateways that do nothing but give a sign of life."""
    began = time.monotonic()
    first = int(options.get("first", 0))
    clients = [Client(place, key_of("idle", first + number)) for number in range(int(options["clients"]))]
    seconds = time.monotonic() - began
    for client in clients:
        client.ping()
    print(json.dumps({"rate": len(clients) / seconds}), flush=True)
    sys.stdin.read()


def messages(place: str, options: dict[str, Any]) -> dict[str, float]:
    """A ring of gateways, each sending to the next."""
    count, first = int(options["clients"]), int(options.get("first", 0))
    window, rate, size = int(options["window"]), float(options.get("rate", 0)), int(options["size"])
    keys = [key_of("messages", first + number) for number in range(count)]
    clients = [Client(place, key) for key in keys]
    socks = [client.sock for client in clients]
    heads = [
        frames.encode(FrameKind.MESSAGE, keys[(number + 1) % count].endpoint_id, b"")
        for number in range(count)
    ]
    rest, whole = secrets.token_bytes(size - WORD.size), wire_size(frames.HEADER_BYTES + size)
    before = {sock.fileno(): number for number, sock in enumerate(socks[1:] + socks[:1])}
    parts = {sock.fileno(): b"" for sock in socks}
    by_fd = {sock.fileno(): sock for sock in socks}
    latencies: list[int] = []
    sent = 0

    def one(number: int) -> None:
        nonlocal sent
        payload = heads[number] + WORD.pack(time.monotonic_ns()) + rest
        socks[number].sendall(masked(payload, key=b"\x5a\xa5\x3c\xc3"))
        sent += 1

    began = time.monotonic()
    deadline = began + float(options["seconds"])
    for number in range(0 if rate else count):
        for _ in range(window):
            one(number)
    while (now := time.monotonic()) < deadline:
        while rate and sent < (now - began) * rate:
            one(sent % count)
        patience = max(0.0, began + (sent + 1) / rate - now) if rate else 1.0
        for fd in select.select(list(by_fd), (), (), patience)[0]:
            data = parts[fd] + by_fd[fd].recv(262144)
            arrived = time.monotonic_ns()
            at = 0
            while at + whole <= len(data):
                if data[at] != _BINARY:
                    raise ConnectionError(f"the beacon sent something else: {data[at : at + 200]!r}")
                start = at + whole - size
                latencies.append(arrived - WORD.unpack_from(data, start)[0])
                at += whole
                if not rate:
                    one(before[fd])
            parts[fd] = data[at:]
    found = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else [0.0] * 99
    return {
        "rate": len(latencies) / (now - began),
        "count": len(latencies),
        "p50": found[49] / 1e9,
        "p99": found[98] / 1e9,
        "loss": 100 * max(0, sent - len(latencies)) / max(1, sent),
    }


MODES = {"send": send, "receive": receive, "idle": idle, "messages": messages}


def main() -> None:
    mode, place, *pairs = sys.argv[1:]
    try:
        figures = MODES[mode](place, dict(pair.split("=", 1) for pair in pairs))
    except (OSError, ValueError) as error:
        figures = {"failed": str(error)}  # type: ignore[dict-item]
    if figures is not None:
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
