"""What relays for gateways: `overlay beacon`, and coturn, which does the same for UDP; each a process of its own."""

from __future__ import annotations

import re
import secrets
import shutil
import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.request import ProxyHandler, build_opener

from bench.places import OVERLAY, START_SECONDS, Unavailable, free_port
from tunnels.nat import stun

if TYPE_CHECKING:
    from pathlib import Path

    from bench.places import Processes

_SETTINGS = """\
[relay]
messages_per_second = 0
address_messages_per_second = 0

[stun]
enabled = false
"""
"""No limits on messages: what the beacon can do is what is measured."""
_RELAYED = "overlay_beacon_relayed_bytes_total"


class Beacon:
    """One `overlay beacon` on loopback, by plain HTTP."""

    def __init__(self, processes: Processes, home: Path) -> None:
        settings = home / "bench-beacon.toml"
        settings.write_text(_SETTINGS)
        flags = "--config", str(settings), "--bind", "127.0.0.1", "--port", "0"
        process = processes.start("beacon", OVERLAY, "--home", str(home), "beacon", *flags)
        line = processes.first_line(process, "beacon")
        found = re.search(r"http://([0-9.:]+)#\w+", line)
        if found is None:
            raise Unavailable(f"the beacon says: {line}")
        self.url, self.place, self.pids = found[0], found[1], (process.pid,)

    def relayed_bytes(self) -> int:
        """What it counts as relayed since its start."""
        # Without what the environment says of proxies: it is this machine.
        with build_opener(ProxyHandler({})).open(f"http://{self.place}/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                name, _, value = line.partition(" ")
                if name == _RELAYED:
                    return int(float(value))
        raise Unavailable("the beacon does not count what it relays")

    def load(self, **options: Any) -> list[str]:
        """How relay.py is told where to go."""
        return [self.place, *pairs(options)]


class Coturn:
    """One `turnserver` on loopback, with its usual number of threads."""

    def __init__(self, processes: Processes, directory: Path) -> None:
        program = shutil.which("turnserver")
        if program is None:
            raise Unavailable("coturn (turnserver) is not installed")
        port = free_port()
        self.place, self.password = f"127.0.0.1:{port}", secrets.token_hex(16)
        settings = directory / "turnserver.conf"
        settings.touch(0o600)
        lines = (
            "listening-ip=127.0.0.1", "relay-ip=127.0.0.1", f"listening-port={port}", "allow-loopback-peers",
            "lt-cred-mech", f"user=bench:{self.password}", "realm=bench", "no-tls", "no-dtls", "no-cli",
            f"log-file={directory}/turnserver.log", "simple-log", f"pidfile={directory}/turnserver.pid",
            f"userdb={directory}/turndb", "",
        )  # fmt: skip
        settings.write_text("\n".join(lines))
        process = processes.start("turnserver", program, "-c", str(settings))
        self.pids = (process.pid,)
        self._wait(port)

    def _wait(self, port: int) -> None:
        """From a new port each time: a source that coturn hears of while it starts is never answered."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.settimeout(0.1)
                probe.connect(("127.0.0.1", port))
                try:
                    probe.send(stun.encode(stun.Method.BINDING, stun.Class.REQUEST, bytes(12)))
                    probe.recv(2048)
                except OSError:
                    continue
                return
        raise Unavailable("coturn does not answer")

    def load(self, **options: Any) -> list[str]:
        """How turn.py is told where to go."""
        return [self.place, *pairs(options | {"user": "bench", "password": self.password})]


def pairs(options: dict[str, Any]) -> list[str]:
    """Options as arguments of a script."""
    return [f"{key}={value}" for key, value in options.items()]
