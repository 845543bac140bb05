"""Every way that is measured, and whatever else is, each started when it is first asked for."""

from __future__ import annotations

import subprocess
from functools import cache
from typing import TYPE_CHECKING

from bench.places import LINKS, Pair, Ssh, Unavailable, Way
from bench.relays import Beacon, Coturn

if TYPE_CHECKING:
    from pathlib import Path

    from bench.hosts import Hosts
    from bench.places import Processes


class World:
    """Every way there is, each started when it is first asked for."""

    def __init__(self, processes: Processes, hosts: Hosts) -> None:
        self.processes, self.hosts = processes, hosts
        target = processes.python("servers", "target", hosts.alice, namespace=hosts.namespace)
        self.port = int(processes.first_line(target, "servers"))
        self.ways: dict[str, Way | Unavailable] = {}

    def way(self, name: str) -> Way:
        """direct, proxy, ssh, listener, socks, aioquic or beacon; Unavailable, each time again, for what cannot be had."""
        if name not in self.ways:
            try:
                self.ways[name] = self._start(name)
            except Unavailable as reason:
                self.ways[name] = reason
        found = self.ways[name]
        if isinstance(found, Unavailable):
            raise found
        return found

    def _start(self, name: str) -> Way:
        target = f"{self.hosts.alice}:{self.port}"
        if name == "direct":
            return Way(target, udp=target)
        if name == "proxy":
            process = self.processes.python("servers", "proxy", target)
            place = f"127.0.0.1:{self.processes.first_line(process, 'servers')}"
            return Way(place, (process.pid,), udp=place)
        if name == "ssh":
            return self.ssh().forward()[1]
        if name == "beacon":
            return self.pair("qh3", "relayed").way(socks=False)
        return self.pair("aioquic" if name == "aioquic" else "qh3").way(socks=name == "socks")

    @cache  # noqa: B019 - one world per run
    def ssh(self) -> Ssh:
        return Ssh(self.processes, self.hosts, self._directory("ssh"), self.port)

    @cache  # noqa: B019 - likewise
    def pair(self, engine: str, purpose: str = "load") -> Pair:
        """Gateways of their own for each purpose."""
        home = self._directory(f"{engine}-{purpose}")
        url = self.beacon("load").url if purpose == "relayed" else ""
        return Pair(self.processes, self.hosts, home, engine, self.port, LINKS.get(purpose), url)

    @cache  # noqa: B019 - likewise
    def beacon(self, purpose: str) -> Beacon:
        """One of its own for each purpose."""
        if self.hosts.namespace:
            raise Unavailable("the beacon is measured on loopback only")
        return Beacon(self.processes, self._directory(f"beacon-{purpose}"))

    @cache  # noqa: B019 - likewise
    def coturn(self) -> Coturn:
        return Coturn(self.processes, self._directory("coturn"))

    def peers(self, purpose: str, count: int) -> subprocess.Popen[str]:
        """So many endpoints that are about to connect to alice, started with a pipe as their input."""
        alice = self.pair("qh3", purpose).alice
        place = alice.status["endpoint_id"], alice.listens("tunnels")
        return self.processes.python("peers", *place, self.hosts.bob, str(count), stdin=subprocess.PIPE)

    def _directory(self, name: str) -> Path:
        path = self.processes.directory / name
        path.mkdir(exist_ok=True)
        return path
