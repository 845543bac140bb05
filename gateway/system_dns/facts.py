"""What is known of this machine and its resolvers before anything is planned; read only, and nothing is asked of anybody."""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

from gateway.system_dns.limits import SYSTEM_FILE_BYTES, SYSTEM_PROCESSES, SYSTEM_SOCKETS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.system_dns.machine import Machine

RESOLV_CONF: Final = "/etc/resolv.conf"
_DNS: Final = 53
_MULTICAST_DNS: Final = 5353
_ANY: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
STUBS: Final = ("127.0.0.53", "127.0.0.54")
"""Where systemd-resolved takes queries."""
_WAITING: Final = {"tcp": "0A", "udp": "07"}
"""States in which a socket waits for whoever comes."""
_TOOLS: Final = (
    "systemctl",
    "service",
    "rc-service",
    "resolvectl",
    "nmcli",
    "dnsmasq",
    "unbound-checkconf",
)


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket of this machine that waits for whoever comes."""

    protocol: Literal["udp", "tcp"]
    ip: str
    port: int
    pid: int | None = None
    """None when the system does not tell us whose it is."""


@dataclass(frozen=True, slots=True)
class Process:
    """One that runs in our network."""

    pid: int
    name: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """All that detection goes by."""

    platform: str = "linux"
    nameservers: tuple[str, ...] = ()
    """As resolv.conf has them, in its order."""
    resolv_conf_leads_to: str = ""
    """Where the link leads, if it is one."""
    name_sources: tuple[str, ...] = ("files", "dns")
    """The `hosts` line of nsswitch.conf."""
    processes: tuple[Process, ...] = ()
    listeners: tuple[Listener, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    """Programs that we may call, and where they are."""
    has_systemd: bool = False
    """Whether systemd runs the services here."""
    is_root: bool = False

    def running(self, name: str) -> tuple[Process, ...]:
        """The processes of this name; the kernel keeps 15 characters of it."""
        return tuple(process for process in self.processes if process.name == name[:15])

    def answers(self, process: Process) -> bool | None:
        """Whether it takes the queries of programs here, those to a name server of resolv.conf; None when that cannot be told."""
        asked = [
            each
            for each in self.dns_listeners
            if each.port == _DNS and (each.ip in _ANY or each.ip in self.nameservers)
        ]
        if any(each.pid == process.pid for each in asked):
            return True
        if any(each.pid is None for each in asked):
            return None  # the system does not tell whose it is
        return False

    @property
    def dns_listeners(self) -> tuple[Listener, ...]:
        """Those on the ports of DNS and of multicast DNS."""
        return tuple(each for each in self.listeners if each.port in (_DNS, _MULTICAST_DNS))

    def program_of(self, listener: Listener) -> str:
        """Its name, if that is known."""
        return next((process.name for process in self.processes if process.pid == listener.pid), "")

    def serving(self, name: str) -> tuple[Process, ...]:
        """The processes of this name that may be whom programs ask, those first of which it is certain; else all of the name."""
        processes = self.running(name)
        return tuple(each for each in processes if self.answers(each)) or tuple(
            each for each in processes if self.answers(each) is None
        )

    @property
    def asks_loopback(self) -> bool:
        """Whether programs here ask a resolver of this machine."""
        return any(is_loopback(each) for each in self.nameservers)

    def restart(self, service: str) -> tuple[str, ...] | None:
        """The command that restarts a service; None when nothing here could."""
        if self.has_systemd and "systemctl" in self.tools:
            return (self.tools["systemctl"], "restart", f"{service}.service")
        for tool in ("service", "rc-service"):
            if tool in self.tools and not self.has_systemd:
                return (self.tools[tool], service, "restart")
        return None


def is_loopback(text: str) -> bool:
    """Whether a name server is on this machine."""
    try:
        return ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


def gather(machine: Machine, *, platform: str = sys.platform) -> SystemFacts:
    """Look at the machine. What we may not see is left out."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"
    common = SystemFacts(
        platform=platform,
        nameservers=nameservers_in(_text(machine, RESOLV_CONF)),
        tools={tool: found for tool in _TOOLS if (found := shutil.which(tool, path=path))},
        is_root=hasattr(os, "geteuid") and os.geteuid() == 0,
    )
    if platform != "linux":
        return common
    owners: dict[int, int] = {}
    processes = tuple(_processes(machine, owners))
    return replace(
        common,
        resolv_conf_leads_to=os.path.realpath(RESOLV_CONF) if os.path.islink(RESOLV_CONF) else "",
        name_sources=name_sources_in(_text(machine, "/etc/nsswitch.conf")),
        processes=processes,
        listeners=tuple(_listeners(owners)),
        has_systemd=machine.is_directory("/run/systemd/system"),
    )


def nameservers_in(text: str) -> tuple[str, ...]:
    """Whom a resolv.conf names."""
    words = (line.split() for line in text.splitlines())
    return tuple(line[1] for line in words if len(line) > 1 and line[0] == "nameserver")


def name_sources_in(text: str) -> tuple[str, ...]:
    """Where programs look names up, by nsswitch.conf, without what is done on success and failure."""
    for line in text.splitlines():
        database, colon, sources = line.partition("#")[0].partition(":")
        if colon and database.strip() == "hosts":
            return tuple(re.sub(r"\[[^]]*\]", " ", sources).split())
    return ("files", "dns")


def listeners_in(
    table: str, protocol: Literal["udp", "tcp"], owners: Mapping[int, int]
) -> Iterator[Listener]:
    """The sockets that wait for whoever comes, in a table of /proc/net (proc(5)); lines that are none are passed over."""
    for line in islice(table.splitlines(), SYSTEM_SOCKETS):
        words = line.split()
        if len(words) < 10 or words[3] != _WAITING[protocol]:
            continue
        place, _, port = words[1].partition(":")
        try:
            number, inode = int(port, 16), int(words[9])
            ip = _kernel_ip(place)
        except ValueError:
            continue
        yield Listener(protocol, ip, number, owners.get(inode))


def _kernel_ip(text: str) -> str:
    """An address as the kernel writes it: words of four bytes, each in the machine's own order."""
    data = bytes.fromhex(text)
    if sys.byteorder == "little":
        data = b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))
    return str(ip_address(data))


def _listeners(owners: Mapping[int, int]) -> Iterator[Listener]:
    protocols: tuple[Literal["udp", "tcp"], ...] = ("udp", "tcp")
    for protocol in protocols:
        for version in ("", "6"):
            yield from listeners_in(_table(f"/proc/self/net/{protocol}{version}"), protocol, owners)


def _table(path: str) -> str:
    """The beginning of a list that the kernel makes; empty where there is none."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(SYSTEM_FILE_BYTES)
    except OSError:
        return ""


def _processes(machine: Machine, owners: dict[int, int]) -> Iterator[Process]:
    """Those of our network, as far as we may see; `owners` learns which sockets are theirs."""
    ours = _link("/proc/self/ns/net")
    pids = [int(name) for name in machine.entries("/proc") if name.isdigit()]
    for pid in pids[:SYSTEM_PROCESSES]:
        if _link(f"/proc/{pid}/ns/net") not in (ours, ""):
            continue  # a container's
        name = _text(machine, f"/proc/{pid}/comm").strip()
        arguments = tuple(word for word in _text(machine, f"/proc/{pid}/cmdline").split("\0") if word)
        if not name or not arguments:
            continue  # it has just ended
        yield Process(pid, name, arguments)
        for descriptor in _descriptors(pid):
            found = re.fullmatch(r"socket:\[([0-9]+)\]", _link(f"/proc/{pid}/fd/{descriptor}"))
            if found:
                owners[int(found[1])] = pid


def _descriptors(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/fd")
    except OSError:  # somebody else's process, or it has just ended
        return []


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:  # as above
        return ""


def _text(machine: Machine, path: str) -> str:
    """What stands in a file; nothing where there is none, or none that we may read."""
    try:
        return (machine.read(path) or b"").decode(errors="replace")
    except OSError:
        return ""
