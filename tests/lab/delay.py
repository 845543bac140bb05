"""A long way between networks: packets that the kernel routes into a TUN device come out of it again, later, or never.

    delay.py DEVICE SECONDS LOSS

Run as a process of its own, inside the namespace that routes; it prints a line when the device is there. Bursts that the
kernel holds as one packet (TSO, USO) stay one packet, because 100 MB/s packet by packet would be too many for Python;
LOSS is the share of 1 of packets, or of such bursts, that are lost.
"""

from __future__ import annotations

import fcntl
import os
import random
import select
import struct
import sys
import time
from collections import deque

# linux/if_tun.h
TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
OFFLOADS = 0x01 | 0x02 | 0x04 | 0x20 | 0x40  # checksums, TSO4, TSO6, USO4, USO6
OFFLOADS_BEFORE_USO = 0x01 | 0x02 | 0x04  # Linux 6.1 and older
PACKET_BYTES = 65536 + 64
READS = 64  # in one turn, which must also write
TIMER_SECONDS = 0.0005


def open_device(name: str) -> int:
    """A TUN device that takes and gives bursts whole."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR)
    fcntl.ioctl(device, TUNSETIFF, request)
    try:
        fcntl.ioctl(device, TUNSETOFFLOAD, OFFLOADS)
    except OSError:
        fcntl.ioctl(device, TUNSETOFFLOAD, OFFLOADS_BEFORE_USO)
    return device


def carry(device: int, seconds: float, loss: float) -> None:
    """Give each packet back after so many seconds, in the order they came, until this process is ended."""
    chance = random.Random(1).random
    waiting: deque[tuple[float, bytes]] = deque()
    while True:
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        readable, _, _ = select.select([device], [], [], timeout)
        if readable:
            due = time.monotonic() + seconds
            try:
                for _ in range(READS):
                    packet = os.read(device, PACKET_BYTES)
                    if not loss or chance() >= loss:
                        waiting.append((due, packet))
            except BlockingIOError:
                pass
        now = time.monotonic() + TIMER_SECONDS
        while waiting and waiting[0][0] <= now:
            try:
                os.write(device, waiting.popleft()[1])
            except OSError:  # a packet that the kernel does not take is lost, as anywhere
                continue


if __name__ == "__main__":
    descriptor = open_device(sys.argv[1])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    carry(descriptor, float(sys.argv[2]), float(sys.argv[3]))
