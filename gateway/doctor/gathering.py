"""Gathering the facts: files of the home and the system, the running gateway, the channels, the beacons. Changes nothing."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import re
import socket
import stat
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import gateway as package
from gateway.control.client import ControlClient
from gateway.control.names import ResolveRequest
from gateway.control.netcheck import NetcheckRequest
from gateway.doctor.channels import channels, try_all
from gateway.doctor.checks.machine import NEIGHBOURS
from gateway.doctor.facts import (
    BeaconFacts,
    Facts,
    FileFacts,
    HomeFacts,
    Listening,
    MachineFacts,
    OtherGateway,
    Proof,
)
from gateway.doctor.limits import (
    DOCTOR_BEACON_SECONDS,
    DOCTOR_CONTROL_SECONDS,
    DOCTOR_PROBE_SECONDS,
)
from gateway.doctor.probing import place_of
from gateway.errors import GatewayError, NotRunning
from gateway.system_dns import facts as system_facts
from gateway.system_dns import status as system_dns
from gateway.system_dns.machine import RealMachine
from tunnels.addresses import Address
from tunnels.limits import SOCKET_BUFFER

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from gateway.config import Config
    from gateway.control.netcheck import NetcheckReport
    from gateway.control.status import StatusReport
    from gateway.doctor.facts import Channel
    from gateway.home import Home
    from gateway.system_dns.facts import SystemFacts
    from gateway.system_dns.report import SystemDnsReport
    from tunnels.addresses import BeaconUrl

_PROXY_VARIABLES: Final = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_NETCHECK_AGE: Final = 300.0
"""Seconds: a measurement that is as young is as good, and saves the beacon's server one."""

_COMMAND_CHARACTERS: Final = 200
"""Of another gateway's command line: enough to know it by."""


def gather(
    home: Home, subjects: Collection[str] = (), *, step: Callable[[str], None] = lambda _: None
) -> Facts:
    """Everything, or what these subjects need; `step` is told what is looked at now."""

    def wants(*names: str) -> bool:
        return not subjects or any(name in subjects for name in names)

    step("the home directory")
    config, config_error = _config(home)
    home_facts = home_of(home)
    step("the gateway")
    client = ControlClient(home, timeout=DOCTOR_CONTROL_SECONDS)
    status, control_error = _status(home, client)
    step("this machine")
    seen = system_facts.gather(RealMachine())
    machine = machine_of(seen, status.pid if status is not None else None)
    facts: dict[str, object] = {}
    proofs = {}
    if status is not None and wants("proxy", "dns", "loopback", "doors", "pac"):
        step("every way to names under .overlay")
        proofs = _proofs(home, client, status, config)
    if status is not None and wants("dns"):
        step("this machine's resolver")
        facts["system_dns"] = _system_dns(seen, status)
    if status is not None and wants("network"):
        step("how this network treats UDP")
        facts["netcheck"], facts["netcheck_error"] = _netcheck(ControlClient(home))
    if wants("beacons", "clock") and config is not None:
        step("the beacons")
        facts["beacons"] = (
            tuple(map(ask_beacon, _beacons(config, status))) if not config.beacons.proxy else ()
        )
    return Facts(
        version=package.__version__,
        now=datetime.now(UTC).timestamp(),
        home=home_facts,
        machine=machine,
        config=config,
        config_error=config_error,
        status=status,
        control_error=control_error,
        proofs=proofs,
        test_name=f"{status.endpoint_id}.overlay" if status is not None else "",
        **facts,  # type: ignore[arg-type]
    )


# --- the home and the gateway -----------------------------------------------------------------------------------


def _config(home: Home) -> tuple[Config | None, str]:
    from gateway.config import load

    try:
        return load(home.config_file, environ=os.environ, overrides={}), ""
    except GatewayError as error:
        return None, str(error)


def _status(home: Home, client: ControlClient) -> tuple[StatusReport | None, str]:
    try:
        return client.status(), ""
    except NotRunning as error:
        return None, str(error) if home.running_pid() is not None else ""
    except GatewayError as error:
        return None, str(error)


def home_of(home: Home) -> HomeFacts:
    """What there is to know of a home directory."""
    path = home.path
    if not path.is_dir():
        return HomeFacts(str(path), exists=False)
    private = (path, home.identity_file, home.control_socket(), path / "state", path / "logs")
    files = tuple(found for found in map(_file, private) if found is not None)
    room = os.statvfs(path)
    control = home.control_socket()
    stale = home.running_pid() is None and control.exists() and not _answers(control)
    return HomeFacts(
        str(path),
        exists=True,
        files=files,
        config=_file(home.config_file),
        free_bytes=room.f_bavail * room.f_frsize,
        free_files=room.f_favail if room.f_files else None,
        stale_socket=str(control) if stale else "",
    )


def _file(path: Path) -> FileFacts | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return FileFacts(str(path), stat.S_IMODE(found.st_mode), found.st_uid == os.getuid())


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(DOCTOR_PROBE_SECONDS)
        return sock.connect_ex(str(path)) not in (errno.ECONNREFUSED, errno.ENOENT)


def _proofs(
    home: Home, client: ControlClient, status: StatusReport, config: Config | None
) -> dict[Channel, Proof]:
    name = f"{status.endpoint_id}.overlay"
    try:
        ip = client.resolve(ResolveRequest(name=name)).ip
    except GatewayError:
        ip = ""
    login = (
        (config.proxy.username, config.proxy.password)
        if config is not None and config.proxy.username
        else None
    )
    network = config.loopback.network if config is not None and config.loopback.enabled else None
    return try_all(channels(status, ip, network, login, authority=home.authority_directory))


def _system_dns(seen: SystemFacts, status: StatusReport) -> SystemDnsReport | None:
    """What programs find that ask the system. It is asked only if it could know of us: nobody elsewhere is told that we are here."""
    place = status.listener("dns")
    if not place:
        return None
    host, port = place_of(place)
    could = seen.asks_loopback or "resolve" in seen.name_sources
    server = Address.parse(f"[{host}]:{port}" if ":" in host else f"{host}:{port}") if could else None
    return system_dns.status(RealMachine(), server=server, facts=seen)


def _netcheck(client: ControlClient) -> tuple[NetcheckReport | None, str]:
    try:
        return client.netcheck(NetcheckRequest(max_age=_NETCHECK_AGE)), ""
    except GatewayError as error:
        return None, str(error).removeprefix("netcheck: ")


# --- beacons ----------------------------------------------------------------------------------------------------


def _beacons(config: Config, status: StatusReport | None) -> tuple[BeaconUrl, ...]:
    """Those of the configuration, and those that the gateway was given by a flag."""
    from tunnels.addresses import BeaconUrl

    flags = () if status is None else (BeaconUrl.parse(url) for url in status.relays)
    return tuple(dict.fromkeys((*config.beacons.urls, *flags)))


def ask_beacon(url: BeaconUrl) -> BeaconFacts:
    """Whether a beacon answers and is who its URL says, and what time it is there. No login, nothing is told of us."""
    from tunnels.transports.pinned_tls import client_ssl

    try:
        connection: http.client.HTTPConnection
        if url.scheme == "https":
            connection = http.client.HTTPSConnection(
                url.host, url.port, timeout=DOCTOR_BEACON_SECONDS, context=client_ssl(url)
            )
        else:
            connection = http.client.HTTPConnection(url.host, url.port, timeout=DOCTOR_BEACON_SECONDS)
        with contextlib.closing(connection):
            connection.request("HEAD", "/", headers={"User-Agent": f"overlay/{package.__version__}"})
            date = connection.getresponse().headers.get("Date", "")
    except TimeoutError:
        return BeaconFacts(str(url), "no answer in time")
    except (OSError, http.client.HTTPException) as error:
        return BeaconFacts(str(url), _reason(error))
    return BeaconFacts(str(url), skew=_skew(date, datetime.now(UTC)))


def _reason(error: Exception) -> str:
    text = getattr(error, "verify_message", "") or getattr(error, "strerror", "") or str(error)
    return " ".join(text.split())[:200] or type(error).__name__


def _skew(date: str, now: datetime) -> float | None:
    """Seconds by which `now` is ahead of an HTTP date (RFC 9110 §5.6.7); None if that is none."""
    try:
        there = parsedate_to_datetime(date)
        return (now - there).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


# --- the machine ------------------------------------------------------------------------------------------------


def machine_of(seen: SystemFacts, pid: int | None) -> MachineFacts:
    """What the system tells; `pid` is the gateway's."""
    names = {process.pid: process.name for process in seen.processes}
    return MachineFacts(
        receive_buffer=_number("/proc/sys/net/core/rmem_max"),
        send_buffer=_number("/proc/sys/net/core/wmem_max"),
        wanted_buffer=SOCKET_BUFFER,
        listening=tuple(
            Listening(one.protocol, one.ip, one.port, one.pid, names.get(one.pid or 0, ""))
            for one in seen.listeners
        ),
        interfaces=_interfaces(),
        programs=NEIGHBOURS.intersection(names.values()),
        proxies=_proxies(),
        lowest_port=_number("/proc/sys/net/ipv4/ip_unprivileged_port_start"),
        open_files=_open_files(pid) if pid is not None else None,
        others=tuple(
            OtherGateway(process.pid, _in_short(" ".join(process.arguments)))
            for process in seen.processes
            if process.pid not in (pid, os.getpid()) and _is_gateway(process.arguments)
        ),
    )


def _text(path: str) -> str:
    """A small file of the system; empty if it is not there, or not for us."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except OSError:
        return ""


def _number(path: str) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _in_short(command: str) -> str:
    return command if len(command) <= _COMMAND_CHARACTERS else f"{command[: _COMMAND_CHARACTERS - 1]}…"


def _is_gateway(words: tuple[str, ...]) -> bool:
    """Whether a command line is that of `overlay … up …`."""
    if Path(words[0]).name.startswith("python"):  # by the first line of the script
        words = words[1:]
    return bool(words) and Path(words[0]).name == "overlay" and "up" in words[1:]


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:  # a process of another user, or one that has ended
        return []


def _open_files(pid: int) -> tuple[int, int] | None:
    used = len(_names(f"/proc/{pid}/fd"))
    found = re.search(r"^Max open files\s+(\d+)", _text(f"/proc/{pid}/limits"), re.MULTILINE)
    return (used, int(found[1])) if used and found is not None else None


def _interfaces() -> dict[str, tuple[str, ...]]:
    from tunnels.transports.interfaces import interface_addresses

    found: dict[str, tuple[str, ...]] = {}
    for one in interface_addresses()[0]:
        found[one.interface] = (*found.get(one.interface, ()), str(one.ip))
    return found


def _proxies() -> dict[str, str]:
    """Variables that programs obey. Of the URLs only that they are set: there may be a password in one."""
    found = {}
    for name, value in os.environ.items():
        if value and name.lower() in _PROXY_VARIABLES:
            found[name] = value if name.lower() == "no_proxy" else "set"
    return found
