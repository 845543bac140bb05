"""The settings of a beacon as values: every section and key of beacon.toml, its type, its bounds and its default.

What each key is for, and why it has its default, is told in `configs/beacon.toml`, which a test compares with this.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from gateway.config.checks import check_ip
from gateway.config.loading import Schema
from tunnels.addresses import Address, BeaconUrl
from tunnels.identity import EndpointId

Port: TypeAlias = Annotated[int, Meta(ge=0, le=65535)]
Amount: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 50)]
Text: TypeAlias = Annotated[str, Meta(max_length=300)]


class _Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One section."""


class BeaconSettings(_Settings, frozen=True, kw_only=True):
    """[beacon]: this node as a whole."""

    bind: Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)] = ("0.0.0.0", "::")  # noqa: S104 - for all
    port: Port = 443
    urls: Annotated[tuple[BeaconUrl, ...], Meta(max_length=8)] = ()
    policy: Text = ""
    drain: Annotated[float, Meta(ge=0, le=600)] = 2.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        for ip in self.bind:
            check_ip(ip)

    @property
    def is_local(self) -> bool:
        """Whether it listens for this machine only."""
        return all(ip_address(ip).is_loopback for ip in self.bind)


class TlsSettings(_Settings, frozen=True, kw_only=True):
    """[tls]: what proves to a gateway that it speaks with this beacon."""

    mode: Literal["auto", "off", "self-signed"] = "auto"
    certificate: Text = ""
    key: Text = ""

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key go together: give both or neither")
        if self.certificate and self.mode != "auto":
            raise ValueError(f'mode "{self.mode}" needs no certificate; leave it out, or take mode "auto"')


class RecordSettings(_Settings, frozen=True, kw_only=True):
    """[records]: signed records, kept for whoever asks."""

    enabled: bool = True
    keep: Annotated[int, Meta(ge=60, le=31_536_000)] = 604_800
    limit: Annotated[int, Meta(ge=1, le=100_000_000)] = 100_000
    puts_per_minute: Annotated[int, Meta(ge=0, le=1_000_000)] = 60
    gets_per_minute: Annotated[int, Meta(ge=0, le=1_000_000)] = 1200


class RelaySettings(_Settings, frozen=True, kw_only=True):
    """[relay]: what is passed on between gateways."""

    enabled: bool = True
    sessions: Annotated[int, Meta(ge=1, le=1_000_000)] = 20_000
    bytes_per_second: Amount = 0
    address_bytes_per_second: Amount = 0
    messages_per_second: Annotated[int, Meta(ge=0, le=1_000_000)] = 50
    address_messages_per_second: Annotated[int, Meta(ge=0, le=1_000_000)] = 500
    quota_bytes: Amount = 0
    period_seconds: Annotated[int, Meta(ge=60, le=31_622_400)] = 86_400


class StunSettings(_Settings, frozen=True, kw_only=True):
    """[stun]: tells a gateway which address its datagrams come from."""

    enabled: bool = True
    bind: Annotated[tuple[str, ...], Meta(max_length=4)] = ()
    ports: Annotated[tuple[Port, ...], Meta(min_length=1, max_length=2)] = (3478, 3479)
    addresses: Annotated[tuple[str, ...], Meta(max_length=4)] = ()

    def __post_init__(self) -> None:
        for ip in (*self.bind, *self.addresses):
            check_ip(ip)


class TurnSettings(_Settings, frozen=True, kw_only=True):
    """[turn]: a coturn server that this beacon gives credentials for."""

    servers: Annotated[tuple[Address, ...], Meta(max_length=4)] = ()
    secret: Text = ""
    seconds: Annotated[int, Meta(ge=60, le=86_400)] = 3600

    def __post_init__(self) -> None:
        if bool(self.servers) != bool(self.secret):
            raise ValueError("servers and secret go together: give both or neither")


class RedisSettings(_Settings, frozen=True, kw_only=True):
    """[redis]: what makes several nodes one beacon."""

    url: Text = ""
    prefix: Annotated[str, Meta(max_length=40)] = "overlay:"
    node: Annotated[str, Meta(max_length=63)] = ""


class VoucherSettings(_Settings, frozen=True, kw_only=True):
    """[vouchers]: whose vouchers raise the quota."""

    issuers: Annotated[tuple[EndpointId, ...], Meta(max_length=16)] = ()


class MetricSettings(_Settings, frozen=True, kw_only=True):
    """[metrics]: counters for Prometheus at /metrics."""

    enabled: bool = True
    allow: Annotated[tuple[str, ...], Meta(max_length=32)] = ("127.0.0.0/8", "::1/128")

    def __post_init__(self) -> None:
        for network in self.allow:
            try:
                ip_network(network)
            except ValueError as error:
                raise ValueError(f"allow: {error}; expected a network such as 192.0.2.0/24") from None


class BeaconConfig(_Settings, frozen=True, kw_only=True):
    """All settings of one beacon, checked."""

    beacon: BeaconSettings = BeaconSettings()
    tls: TlsSettings = TlsSettings()
    records: RecordSettings = RecordSettings()
    relay: RelaySettings = RelaySettings()
    stun: StunSettings = StunSettings()
    turn: TurnSettings = TurnSettings()
    redis: RedisSettings = RedisSettings()
    vouchers: VoucherSettings = VoucherSettings()
    metrics: MetricSettings = MetricSettings()


SCHEMA: Final = Schema(
    BeaconConfig,
    prefix="OVERLAY_BEACON_",
    secrets=frozenset({"turn.secret", "redis.url"}),
    check="overlay beacon --check",
    flags={
        "beacon.port": "--port",
        "beacon.bind": "--bind",
        "beacon.urls": "--url",
        "beacon.log_level": "--log-level",
    },
)
"""How beacon.toml and its variables are read."""
