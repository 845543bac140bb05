"""What doctor knows before it judges: values only. What could not be looked at is None, which is neither good nor bad."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Config
    from gateway.control.netcheck import NetcheckReport
    from gateway.control.status import StatusReport
    from gateway.system_dns.report import SystemDnsReport

Channel: TypeAlias = Literal[
    "proxy", "socks5h", "http-connect", "dns-udp", "dns-tcp", "loopback", "pac", "doh", "front-door", "https"
]
"""A way by which programs on this machine reach names under .overlay."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of trying one channel right now."""

    ok: bool
    detail: str = ""
    """What was seen; if it did not work: why."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file or directory of the home; it exists."""

    path: str
    mode: int
    """Permission bits."""
    is_ours: bool
    """Whether it belongs to the user who asks."""


@dataclass(frozen=True, slots=True)
class HomeFacts:
    """The home directory."""

    path: str
    exists: bool
    files: tuple[FileFacts, ...] = ()
    """The private ones that are there: the home itself, the key, the socket, the state and the log."""
    config: FileFacts | None = None
    """gateway.toml."""
    free_bytes: int | None = None
    free_files: int | None = None
    """Inodes; None where the file system does not count them."""
    stale_socket: str = ""
    """The control socket that a gateway left behind which is gone."""


@dataclass(frozen=True, slots=True)
class Listening:
    """One socket that waits for others on this machine."""

    protocol: Literal["tcp", "udp"]
    ip: str
    port: int
    pid: int | None = None
    """None where the system does not tell: it belongs to another user."""
    program: str = ""


@dataclass(frozen=True, slots=True)
class OtherGateway:
    """Another gateway on this machine."""

    pid: int
    command: str


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What the system is like."""

    receive_buffer: int | None = None
    """Bytes: net.core.rmem_max."""
    send_buffer: int | None = None
    wanted_buffer: int = 0
    """What tunnels ask for."""
    listening: tuple[Listening, ...] = ()
    interfaces: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    programs: frozenset[str] = frozenset()
    """Those that run and could matter: other resolvers, other VPNs."""
    proxies: Mapping[str, str] = field(default_factory=dict)
    """Variables of the environment that name proxies; of those that may hold a password only `set`."""
    lowest_port: int | None = None
    """The first port that anybody may bind: net.ipv4.ip_unprivileged_port_start."""
    open_files: tuple[int, int] | None = None
    """Descriptors of the gateway: those it has, and those it may have."""
    others: tuple[OtherGateway, ...] = ()


@dataclass(frozen=True, slots=True)
class BeaconFacts:
    """One beacon, asked from here without the gateway."""

    url: str
    error: str = ""
    """Why it cannot be used; empty if it answers and is who its URL says."""
    skew: float | None = None
    """Seconds by which our clock is ahead of its own."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything."""

    version: str
    """Of this command."""
    now: float
    """Unix seconds, by this machine."""
    home: HomeFacts
    machine: MachineFacts
    config: Config | None = None
    """None if it cannot be read."""
    config_error: str = ""
    status: StatusReport | None = None
    """None while no gateway runs."""
    control_error: str = ""
    """Why a gateway that runs does not answer."""
    proofs: Mapping[Channel, Proof] = field(default_factory=dict)
    """Of the channels that were tried."""
    system_dns: SystemDnsReport | None = None
    """Whether programs that ask the system find names under .overlay; None where nobody could answer them."""
    netcheck: NetcheckReport | None = None
    netcheck_error: str = ""
    beacons: tuple[BeaconFacts, ...] = ()
    test_name: str = ""
    """The name that was asked for: this endpoint's own."""
