"""Facts of a machine on which all is well; tests change one thing."""

from __future__ import annotations

from typing import Any

from gateway.config import parse
from gateway.control.netcheck import FamilyNetworkReport, NetcheckReport
from gateway.control.status import BeaconReport, DhtReport, ListenerReport, LocalNetworkReport, StatusReport
from gateway.doctor.facts import BeaconFacts, Facts, FileFacts, HomeFacts, Listening, MachineFacts, Proof
from gateway.system_dns.report import SystemDnsReport

ME = "yryyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyo"
BEACON = "https://eu1.example"


def status(**changes: Any) -> StatusReport:
    values: dict[str, Any] = {
        "version": "1.0",
        "endpoint_id": ME,
        "nickname": "me",
        "pid": 100,
        "home": "/h",
        "uptime": 60.0,
        "listeners": (
            ListenerReport(name="proxy", addresses=("127.0.0.1:1080",)),
            ListenerReport(name="dns", addresses=("127.0.0.1:5399",)),
            ListenerReport(name="dashboard", addresses=("127.0.0.1:7399",)),
            ListenerReport(name="tunnels", addresses=("0.0.0.0:41641",)),
        ),
        "beacons": (BeaconReport(url=BEACON, state="connected", home=True),),
        "local_network": LocalNetworkReport(interfaces=("eth0",), mdns=(4,), fallback=(4,)),
        "dht": DhtReport(enabled=True, nodes=50),
    }
    return StatusReport(**values | changes)


def netcheck(**changes: Any) -> NetcheckReport:
    family = FamilyNetworkReport(has_address=True)
    values: dict[str, Any] = {"udp_blocked": False, "ipv4": family, "ipv6": family, "seconds": 1.0}
    return NetcheckReport(**values | {"network_class": "easy"} | changes)


def home(**changes: Any) -> HomeFacts:
    files = tuple(
        FileFacts(path, mode, is_ours=True)
        for path, mode in (("/h", 0o700), ("/h/identity.key", 0o600), ("/h/control.sock", 0o600))
    )
    values: dict[str, Any] = {"exists": True, "files": files, "free_bytes": 10**10, "free_files": 10**6}
    return HomeFacts("/h", **values | changes)


def machine(**changes: Any) -> MachineFacts:
    values: dict[str, Any] = {
        "receive_buffer": 4 << 20,
        "send_buffer": 4 << 20,
        "wanted_buffer": 4 << 20,
        "listening": (Listening("tcp", "127.0.0.1", 1080, 100, "overlay"),),
        "open_files": (30, 65536),
    }
    return MachineFacts(**values | changes)


def facts(**changes: Any) -> Facts:
    values: dict[str, Any] = {
        "version": "1.0",
        "now": 1_800_000_000.0,
        "home": home(),
        "machine": machine(),
        "config": parse(f"[beacons]\nurls = ['{BEACON}']\n".encode(), source="gateway.toml", overrides={}),
        "status": status(),
        "proofs": {channel: Proof(ok=True) for channel in ("proxy", "dns-udp", "dns-tcp")},
        "system_dns": SystemDnsReport(state="installed", manager="resolved", verified=True),
        "netcheck": netcheck(),
        "beacons": (BeaconFacts(BEACON, skew=0.5),),
        "test_name": f"{ME}.overlay",
    }
    return Facts(**values | changes)
