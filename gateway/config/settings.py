"""The settings as values: every section and key of the configuration, its type, its bounds and its default.

What each key is for, and why it has its default, is told in `configs/gateway.toml`, which a test compares with this.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, ip_address
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from gateway.config.checks import (
    check_ip,
    check_petname,
    check_place,
    check_proxy,
    check_upstream,
    check_visible,
)
from gateway.config.quantities import read_octets, read_rate
from tunnels.addresses import Address, BeaconUrl
from tunnels.identity import EndpointId

Port: TypeAlias = Annotated[int, Meta(ge=0, le=65535)]
"""A port to listen on; 0 is any free one."""

Seconds: TypeAlias = Annotated[float, Meta(ge=0.1, le=86400)]

PathPolicyName: TypeAlias = Literal["auto", "direct-only", "relay-only", "no-lan"]
"""Which paths may be used; `tunnels.paths` knows what each means."""

PublishedThing: TypeAlias = Literal["relays", "services", "addresses", "nickname"]
"""What a published record may tell; see configs/gateway.toml."""

LoginText: TypeAlias = Annotated[str, Meta(max_length=255)]
"""RFC 1929 gives user name and password one length byte each."""


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One section."""


class GatewaySettings(_Settings, frozen=True, kw_only=True):
    """[gateway]: this gateway as a whole."""

    nickname: Annotated[str, Meta(max_length=63)] = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        if self.nickname:
            check_petname(self.nickname)

    def nickname_for(self, hostname: str) -> str:
        """The nickname in force: the one that is set, else the first label of `hostname`, made a label of ours."""
        label = re.sub("[^a-z0-9-]", "-", hostname.partition(".")[0].lower())[:63].strip("-")
        try:
            check_petname(self.nickname or label)
        except ValueError:
            return "endpoint"
        return self.nickname or label


class TunnelSettings(_Settings, frozen=True, kw_only=True):
    """[tunnels]: how bytes reach other endpoints."""

    quic_engine: Literal["qh3", "aioquic"] = "qh3"
    port: Port = 0
    bind: Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)] = ("0.0.0.0", "::")  # noqa: S104 - for all
    addresses: Annotated[tuple[Address, ...], Meta(max_length=16)] = ()
    idle_timeout: Seconds = 120.0
    keepalive: Seconds = 15.0
    connect_timeout: Seconds = 10.0
    path_policy: PathPolicyName = "auto"
    port_mapping: Literal["auto", "off"] = "auto"
    pwnat: bool = False
    pwnat_targets: Annotated[tuple[str, ...], Meta(min_length=1, max_length=2)] = ("192.0.2.1", "100::1")

    def __post_init__(self) -> None:
        for ip in (*self.bind, *self.pwnat_targets):
            check_ip(ip)
        if len({ip_address(target).version for target in self.pwnat_targets}) < len(self.pwnat_targets):
            raise ValueError("pwnat_targets has two addresses of one IP version; give one for each")
        if self.keepalive >= self.idle_timeout:
            raise ValueError(
                f"keepalive ({self.keepalive:g} s) must be shorter than idle_timeout ({self.idle_timeout:g} s)"
            )


class BeaconSettings(_Settings, frozen=True, kw_only=True):
    """[beacons]: servers that help endpoints find each other, and relay for them."""

    urls: Annotated[tuple[BeaconUrl, ...], Meta(max_length=8)] = ()
    """In the order of preference."""
    proxy: Annotated[str, Meta(max_length=1000)] = ""
    publish: bool = True
    records: Annotated[tuple[BeaconUrl, ...], Meta(max_length=8)] = ()
    """Other pkarr relays."""

    def __post_init__(self) -> None:
        if self.proxy:
            check_proxy(self.proxy)


class DhtSettings(_Settings, frozen=True, kw_only=True):
    """[dht]: records in the BitTorrent Mainline DHT."""

    enabled: Literal["auto", "on", "off"] = "auto"
    publish: bool = True
    port: Port = 0
    """UDP."""
    bootstrap: Annotated[
        tuple[Annotated[str, Meta(max_length=260)], ...], Meta(min_length=1, max_length=16)
    ] = (
        "router.bittorrent.com:6881",
        "dht.libtorrent.org:25401",
        "dht.transmissionbt.com:6881",
        "relay.pkarr.org:6881",
    )
    serve: bool = False
    private: bool = False

    def __post_init__(self) -> None:
        for place in self.bootstrap:
            check_place(place)


class PublishSettings(_Settings, frozen=True, kw_only=True):
    """[publish]: what our records say of us, and to whom."""

    public: Annotated[tuple[PublishedThing, ...], Meta(max_length=4)] = ("relays", "services")
    lan: Annotated[tuple[PublishedThing, ...], Meta(max_length=4)] = ("relays", "services", "addresses")


class LanSettings(_Settings, frozen=True, kw_only=True):
    """[lan]: being found on the local network, and finding others there."""

    enabled: bool = True
    mdns: bool = True
    fallback: bool = True
    port: Annotated[int, Meta(ge=1, le=65535)] = 7398
    """UDP, the same for all on a network."""


class LendSettings(_Settings, frozen=True, kw_only=True):
    """[lend]: be a small beacon for others."""

    enabled: bool = False
    to: Literal["contacts", "all"] = "contacts"
    host: str = "0.0.0.0"  # noqa: S104 - others shall reach it; who may use it is said above
    port: Port = 7443
    public_url: Annotated[str, Meta(max_length=250)] = ""
    connections: Annotated[int, Meta(ge=1, le=10_000)] = 64
    bytes_per_second: Annotated[int, Meta(ge=0, le=10_000_000_000)] = 2_000_000
    """For each endpoint; 0 for no limit."""

    def __post_init__(self) -> None:
        check_ip(self.host)
        if self.public_url:
            BeaconUrl.parse(self.public_url)


class TopicSettings(_Settings, frozen=True, kw_only=True):
    """[topics]: who is in the same topics, and relays that strangers lend."""

    find_relays: bool = True


class SocialSettings(_Settings, frozen=True, kw_only=True):
    """[social]: what contacts are told of each other."""

    introduce: bool = False
    """Whether our contacts are told of those contacts of ours who agree to it."""
    introducible: bool = False
    """Whether our contacts may tell theirs of us."""


class ProxySettings(_Settings, frozen=True, kw_only=True):
    """[proxy]: SOCKS and HTTP on one port."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 1080
    username: LoginText = ""
    password: LoginText = ""
    other_hosts: Literal["direct", "refuse"] = "direct"
    upstream: str = ""

    def __post_init__(self) -> None:
        check_ip(self.host)
        if bool(self.username) != bool(self.password):
            raise ValueError("username and password go together: give both or neither")
        if self.upstream:
            check_upstream(self.upstream)


class DnsServer(Address):
    """A DNS server to forward to; the port is 53 when none is written."""

    @classmethod
    def parse(cls, text: str) -> DnsServer:
        """Read `192.0.2.53`, `2001:db8::53`, or either with a port; ValueError says what is expected."""
        try:
            address = Address.of(text.strip("[]"), 53)
        except ValueError:
            address = Address.parse(text)
        return cls(address.ip, address.port)


class DnsSettings(_Settings, frozen=True, kw_only=True):
    """[dns]: the DNS server for .overlay."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 5399
    ttl: Annotated[int, Meta(ge=0, le=86400)] = 60
    forward: Annotated[tuple[DnsServer, ...], Meta(max_length=8)] = ()

    def __post_init__(self) -> None:
        check_ip(self.host)


class LoopbackSettings(_Settings, frozen=True, kw_only=True):
    """[loopback]: a loopback address with listeners for each endpoint and service."""

    enabled: bool = True
    network: IPv4Network = IPv4Network("127.64.0.0/10")

    def __post_init__(self) -> None:
        if not self.network.is_loopback:
            raise ValueError(f"network {self.network} is not inside 127.0.0.0/8")
        if self.network.prefixlen > 24:
            raise ValueError(f"network {self.network} is too small; it needs /24 or more room")


class DashboardSettings(_Settings, frozen=True, kw_only=True):
    """[dashboard]: pages for browsers on this machine, and the PAC file."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 7399
    users: Literal["own", "all"] = "own"
    """Which users of this machine get anything there; root always does. "all" lets other machines in as well, where `host` lets them."""

    def __post_init__(self) -> None:
        check_ip(self.host)


class ResourceSettings(_Settings, frozen=True, kw_only=True):
    """[resources]: what the whole process may use."""

    memory: Annotated[str, Meta(max_length=32)] = "auto"
    """Such as `500MB`: what may be resident before new connections are refused."""

    def __post_init__(self) -> None:
        if self.memory != "auto":
            read_octets(self.memory)

    @property
    def memory_bytes(self) -> int:
        """The same in bytes; 0 for what seems right on this machine."""
        return 0 if self.memory == "auto" else read_octets(self.memory)


class MetricSettings(_Settings, frozen=True, kw_only=True):
    """[metrics]: figures for Prometheus."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: Port = 7397
    token: Annotated[str, Meta(max_length=255)] = ""
    contacts: bool = False

    def __post_init__(self) -> None:
        check_ip(self.host)
        if not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise ValueError("token has letters, digits and signs of ASCII only")
        if self.enabled and not self.token and not ip_address(self.host).is_loopback:
            raise ValueError(
                f"host {self.host} is open to other machines: set a token, which Prometheus sends along"
            )


class FrontDoorSettings(_Settings, frozen=True, kw_only=True):
    """[front_door]: `http://SERVICE.NAME.localhost`, which browsers treat as a secure context."""

    enabled: bool = True
    port: Port = 7380
    users: Literal["own", "all"] = "own"


class HttpsSettings(_Settings, frozen=True, kw_only=True):
    """[https]: https:// for services without it, once there is an authority (`overlay ca install`)."""

    enabled: bool = True
    port: Port = 7343


class ServiceSettings(_Settings, frozen=True, kw_only=True):
    """[services.NAME]: one exposed service, as it was typed; `gateway.expose.services` makes sense of it."""

    target: Annotated[str, Meta(min_length=1, max_length=300)]
    """`host:port`, `port`, `unix:PATH`, or a range such as `5000-5100`."""
    port: Port = 0
    """The port others use; 0 is the well-known port of the service's name, else the target's."""
    protocols: Annotated[tuple[Literal["tcp", "udp"], ...], Meta(min_length=1, max_length=2)] = ("tcp",)
    allow: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=75)], ...], Meta(max_length=1000)
    ] = ()
    """Petnames or endpoint ids, `contacts`, `group:NAME`, or `contacts-of:` and a petname or id, the longest there is."""
    public: bool = False
    proxy_protocol: Literal["off", "v2"] = "off"
    http_endpoint_header: bool = False
    host_header: Annotated[str, Meta(min_length=1, max_length=255)] = "keep"

    def __post_init__(self) -> None:
        check_visible(self.host_header)


class ContactSettings(_Settings, frozen=True, kw_only=True):
    """[contacts.PETNAME]: an endpoint known by configuration."""

    id: EndpointId
    addresses: Annotated[tuple[Address, ...], Meta(max_length=16)] = ()
    path: Literal["", "auto", "direct-only", "relay-only", "no-lan"] = ""
    """Empty: what [tunnels] path_policy says."""
    groups: Annotated[tuple[str, ...], Meta(max_length=16)] = ()

    def __post_init__(self) -> None:
        for group in self.groups:
            check_petname(group)


class ProfileSettings(_Settings, frozen=True, kw_only=True):
    """[profiles.NAME]: what a user name of the proxy stands for."""

    password: LoginText = ""
    contacts: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=75)], ...], Meta(max_length=1000)
    ] = ()
    """As `allow` of a service; empty for everybody."""
    path_policy: PathPolicyName = "auto"
    isolation: bool = False
    other_hosts: Literal["", "direct", "refuse"] = ""


class LimitSettings(_Settings, frozen=True, kw_only=True):
    """[limits.WHOM]: what a contact, a group's members, strangers or a service may move; `gateway.traffic` makes sense of it."""

    rate: Annotated[str, Meta(max_length=32)] = ""
    """Such as `1MB/s`, in each direction. Empty: what [limits.default] says, if it concerns a contact, else no limit."""
    quota: Annotated[str, Meta(max_length=32)] = ""
    """Such as `10GB`, of a month, both directions together."""
    connections: Annotated[int, Meta(ge=0, le=65535)] = 0
    """Open at once; 0 as empty above."""
    weight: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Its part of what is shared; 0 as empty above, and 1 if nothing is said."""

    def __post_init__(self) -> None:
        if self.rate:
            read_rate(self.rate)
        if self.quota:
            read_octets(self.quota)


class SharingSettings(_Settings, frozen=True, kw_only=True):
    """[sharing]: what all together may move, and how it is shared."""

    up: Annotated[str, Meta(max_length=32)] = ""
    down: Annotated[str, Meta(max_length=32)] = ""
    """Such as `10MB/s`; empty: no limit, and nothing to share."""
    local: Literal["outside", "last", "same"] = "outside"
    """Peers reached over the local network take nothing of it, get what others leave, or are like others."""

    def __post_init__(self) -> None:
        for text in (self.up, self.down):
            if text:
                read_rate(text)


class Config(_Settings, frozen=True, kw_only=True):
    """All settings of one gateway, checked."""

    gateway: GatewaySettings = GatewaySettings()
    tunnels: TunnelSettings = TunnelSettings()
    beacons: BeaconSettings = BeaconSettings()
    dht: DhtSettings = DhtSettings()
    publish: PublishSettings = PublishSettings()
    lan: LanSettings = LanSettings()
    lend: LendSettings = LendSettings()
    topics: TopicSettings = TopicSettings()
    social: SocialSettings = SocialSettings()
    proxy: ProxySettings = ProxySettings()
    dns: DnsSettings = DnsSettings()
    loopback: LoopbackSettings = LoopbackSettings()
    dashboard: DashboardSettings = DashboardSettings()
    front_door: FrontDoorSettings = FrontDoorSettings()
    https: HttpsSettings = HttpsSettings()
    resources: ResourceSettings = ResourceSettings()
    metrics: MetricSettings = MetricSettings()
    services: dict[str, ServiceSettings] = {}
    contacts: dict[str, ContactSettings] = {}
    profiles: dict[str, ProfileSettings] = {}
    limits: dict[str, LimitSettings] = {}
    """By scope: `default`, `strangers`, `contacts.NAME`, `groups.NAME`, `services.NAME`."""
    sharing: SharingSettings = SharingSettings()

    def __post_init__(self) -> None:
        for name, profile in self.profiles.items():
            if self.proxy.username and not profile.password:
                raise ValueError(
                    f"profiles.{name} has no password, which would open the proxy that [proxy] username guards: give it one"
                )
            if name == self.proxy.username:
                raise ValueError(f"profiles.{name} and [proxy] username are the same name: choose another")


SECRET_KEYS: Final = frozenset(
    {
        "proxy.username",
        "proxy.password",
        "proxy.upstream",
        "beacons.proxy",
        "metrics.token",
        "profiles.password",
    }
)
"""Keys that are shown as `***` and never logged; the URL of a proxy may hold a password."""
