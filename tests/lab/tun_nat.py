"""A NAT for UDP in the namespace of a router, for what the kernel's cannot be: `tests.lab.translation` between real machines.

    python -m tests.lab.tun_nat DEVICE NETWORK RULES DELAY LOSS

Run as a process of its own. Whatever the kernel routes into the TUN device DEVICE is from inside, if its source is in NETWORK
(a /24, written as its first three numbers), or else has come from outside to the address of `eth0`; it comes out of the
device again, translated. RULES is the text of `Rules`; DELAY is in seconds, one way; LOSS is a share of 1.

A line on standard input, `counters` or `forget`, is answered by a line of JSON; at its end the process ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import select
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import asdict
from typing import NamedTuple

from tests.lab.translation import Rules, Translation

# linux/if_tun.h, linux/sockios.h
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
SIOCGIFADDR = 0x8915
IFREQ = "16sH22x"

PACKET_BYTES = 65536
READS = 64
"""In one turn, which must also write and answer."""
UDP_HEADER_BYTES = 8
TIMER_SECONDS = 0.0005


class Place(NamedTuple):
    """An ip, packed, and a port."""

    ip: bytes
    port: int


class Packet:
    """An IPv4 packet with UDP in it."""

    def __init__(self, data: bytes) -> None:
        """ValueError: it is something else, or a fragment."""
        if len(data) < 28 or data[0] >> 4 != 4 or data[9] != socket.IPPROTO_UDP:
            raise ValueError("not UDP over IPv4")
        if int.from_bytes(data[6:8], "big") & 0x3FFF:
            raise ValueError("a fragment has no ports that could be translated")
        self._data = bytearray(data)
        self._udp = (data[0] & 15) * 4
        source, to = struct.unpack_from("!HH", data, self._udp)
        self.source, self.to = Place(data[12:16], source), Place(data[16:20], to)

    def translated(self, source: Place, to: Place) -> bytes:
        """The same datagram from there to there, one hop younger: the kernel counts our router twice, on its way into
        the device and out of it."""
        data, udp = self._data, self._udp
        ips = _sum(source.ip + to.ip) - _sum(data[12:20])
        ports = source.port + to.port - self.source.port - self.to.port
        data[12:20] = source.ip + to.ip
        struct.pack_into("!HH", data, udp, source.port, to.port)
        younger = data[8] < 255
        data[8] += younger
        _change(data, 10, ips + (younger << 8))
        if data[udp + 6 : udp + 8] != b"\0\0":  # it has a checksum
            _change(data, udp + 6, ips + ports)
        return bytes(data)


def _sum(data: bytes | bytearray) -> int:
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def _change(data: bytearray, at: int, by: int) -> None:
    """Correct a checksum for words that sum up to `by` more than before (RFC 1624)."""
    (before,) = struct.unpack_from("!H", data, at)
    struct.pack_into("!H", data, at, 0xFFFF - (0xFFFF - before + by) % 0xFFFF)


class Nat:
    """Translates packets; an ip is four bytes."""

    def __init__(self, rules: Rules, inside: bytes) -> None:
        """`inside`: how the ips of machines inside begin."""
        self.translation, self._inside = Translation(rules), inside

    def pass_on(self, data: bytes, outside: bytes, now: float) -> bytes | None:
        """What becomes of a packet; `outside` is our ip there. None: it is dropped."""
        try:
            packet = Packet(data)
        except ValueError:
            return None
        if not packet.source.ip.startswith(self._inside):
            inside = self.translation.inbound(packet.source, packet.to.port, now)
            return None if inside is None else packet.translated(packet.source, inside)
        port = self.translation.outbound(packet.source, packet.to, now)
        if port is None:
            return None
        source = Place(outside, port)
        if packet.to.ip != outside:
            return packet.translated(source, packet.to)
        if not self.translation.rules.hairpins:
            return None
        inside = self.translation.inbound(source, packet.to.port, now)
        return None if inside is None else packet.translated(source, inside)

    def answer(self, asked: str) -> str:
        """One line for one line."""
        if asked == "forget":
            self.translation.forget()
        return json.dumps(asdict(self.translation.counters))


def open_device(name: str) -> int:
    """A TUN device that gives and takes single datagrams: it claims none of the offloads that would merge them."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack(IFREQ, name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def outside_ip(sock: socket.socket) -> bytes:
    """The address of `eth0`, which may change at any time."""
    return fcntl.ioctl(sock.fileno(), SIOCGIFADDR, struct.pack(IFREQ, b"eth0", socket.AF_INET))[20:24]


def serve(nat: Nat, device: int, delay: float, loss: float) -> None:
    """Until standard input ends."""
    chance = random.Random(1).random
    waiting: deque[tuple[float, bytes]] = deque()
    asked = b""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        while True:
            timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
            readable, _, _ = select.select([device, 0], [], [], timeout)
            now = time.monotonic()
            if device in readable:
                outside = outside_ip(sock)
                for data in _packets(device):
                    if loss and chance() < loss:
                        continue
                    passed = nat.pass_on(data, outside, now)
                    if passed is not None:
                        waiting.append((now + delay, passed))
            if 0 in readable:
                data = os.read(0, 1000)
                if not data:
                    return
                *lines, asked = (asked + data).split(b"\n")
                for line in lines:
                    os.write(1, f"{nat.answer(line.decode())}\n".encode())
            soon = now + TIMER_SECONDS
            while waiting and waiting[0][0] <= soon:
                try:
                    os.write(device, waiting.popleft()[1])
                except OSError:  # a packet that the kernel does not take is lost, as anywhere
                    continue


def _packets(device: int) -> list[bytes]:
    """Those that are there, and no more than we take in one turn."""
    packets: list[bytes] = []
    try:
        while len(packets) < READS:
            packets.append(os.read(device, PACKET_BYTES))
    except BlockingIOError:
        pass
    return packets


def main(device: str, network: str, rules: str, delay: str, loss: str) -> None:
    nat = Nat(Rules.of_text(rules), bytes(int(number) for number in network.split(".")))
    descriptor = open_device(device)
    os.write(1, b"ready\n")
    serve(nat, descriptor, float(delay), float(loss))


if __name__ == "__main__":
    main(*sys.argv[1:])
