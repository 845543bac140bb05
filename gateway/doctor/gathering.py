"""Gathering the facts: files of the home and the system, the running gateway, the channels, the beacons. Changes nothing."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import re
import socket
import stat
import threading
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import gateway as package
from gateway.control.client import ControlClient
from gateway.control.names import ResolveRequest
from gateway.control.netcheck import NetcheckRequest
from gateway.doctor import probing
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
    DOCTOR_PROCESSES,
)
from gateway.doctor.system_files import hosts_order, listening, nameservers
from gateway.errors import GatewayError, NotRunning
from tunnels.limits import SOCKET_BUFFER

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from gateway.config import Config
    from gateway.control.netcheck import NetcheckReport
    from gateway.control.status import StatusReport
    from gateway.doctor.facts import Channel
    from gateway.home import Home
    from tunnels.addresses import BeaconUrl

_PROXY_VARIABLES: Final = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_NETCHECK_AGE: Final = 300.0
"""Seconds: a measurement that is as young is as good, and saves the beacon's server one."""


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
    machine = machine_of(status.pid if status is not None else None)
    facts: dict[str, object] = {}
    proofs = {}
    if status is not None and wants("proxy", "dns", "loopback", "pac"):
        step("every way to names under .overlay")
        proofs = _proofs(client, status, config, machine)
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
    client: ControlClient, status: StatusReport, config: Config | None, machine: MachineFacts
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
    probes = channels(status, ip, network, login)
    found = try_all(probes)
    if status.nickname and _asks_this_machine(machine):
        found["system-dns"] = _in_time(partial(probing.system_name, f"{status.nickname}.overlay", ip))
    return found


def _asks_this_machine(machine: MachineFacts) -> bool:
    """Whether the system's resolver could know of us at all: nobody elsewhere is told our name to find that out."""
    modules = machine.hosts_order.split()
    return "resolve" in modules or any(
        server.startswith("127.") or server == "::1" for server in machine.nameservers
    )


def _in_time(probe: Callable[[], Proof]) -> Proof:
    """The system's resolver takes as long as it likes, and cannot be interrupted: it is left behind."""
    found: list[Proof] = []
    thread = threading.Thread(target=lambda: found.append(probing.proven(probe)), daemon=True)
    thread.start()
    thread.join(2 * DOCTOR_PROBE_SECONDS)
    return found[0] if found else Proof(ok=False, detail="the system's resolver does not answer")


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


def machine_of(pid: int | None) -> MachineFacts:
    """What the system tells; `pid` is the gateway's."""
    owners, programs, others = _processes(pid)
    return MachineFacts(
        receive_buffer=_number("/proc/sys/net/core/rmem_max"),
        send_buffer=_number("/proc/sys/net/core/wmem_max"),
        wanted_buffer=SOCKET_BUFFER,
        listening=tuple(_listening(owners)),
        interfaces=_interfaces(),
        programs=frozenset(programs & NEIGHBOURS),
        proxies=_proxies(),
        nameservers=nameservers(_text("/etc/resolv.conf")),
        hosts_order=hosts_order(_text("/etc/nsswitch.conf")),
        lowest_port=_number("/proc/sys/net/ipv4/ip_unprivileged_port_start"),
        open_files=_open_files(pid) if pid is not None else None,
        others=tuple(others),
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


def _listening(owners: dict[int, tuple[int, str]]) -> Iterator[Listening]:
    kinds: tuple[Literal["tcp", "udp"], ...] = ("tcp", "udp")
    for protocol in kinds:
        for file in (protocol, f"{protocol}6"):
            for ip, port, inode in listening(_text(f"/proc/net/{file}").splitlines(), protocol):
                pid, program = owners.get(inode, (None, ""))
                yield Listening(protocol, ip, port, pid, program)


def _processes(own: int | None) -> tuple[dict[int, tuple[int, str]], set[str], list[OtherGateway]]:
    """Whose each socket is, by its inode; the names of all programs; other gateways."""
    owners: dict[int, tuple[int, str]] = {}
    programs: set[str] = set()
    others = []
    pids = [name for name in _names("/proc") if name.isdigit()]
    for name in pids[:DOCTOR_PROCESSES]:
        program = _text(f"/proc/{name}/comm").strip()
        programs.add(program)
        words = _text(f"/proc/{name}/cmdline").split("\0")
        if int(name) not in (own, os.getpid()) and _is_gateway(words):
            others.append(OtherGateway(int(name), " ".join(word for word in words if word)[:200]))
        for descriptor in _names(f"/proc/{name}/fd"):
            with contextlib.suppress(OSError):
                found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{name}/fd/{descriptor}"))
                if found is not None:
                    owners[int(found[1])] = int(name), program
    return owners, programs, others


def _is_gateway(words: list[str]) -> bool:
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
