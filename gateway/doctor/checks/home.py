"""The home directory: who can read it, whether there is room, what was left behind, whether the configuration is right."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from gateway.doctor.findings import Finding, Fix
from gateway.doctor.limits import DOCTOR_FREE_BYTES, DOCTOR_FREE_FILES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.doctor.facts import Facts, FileFacts

_GROUP_AND_OTHERS: Final = 0o077
_WRITABLE: Final = 0o022


def check(facts: Facts) -> Iterator[Finding]:
    """Findings about the home."""
    home = facts.home
    if not home.exists:
        yield Finding(
            "home-missing", "home", "note", f"{home.path} is not there yet", remedy="overlay up makes it"
        )
        return
    yield from _permissions(facts)
    yield from _room(facts)
    if home.stale_socket:
        yield Finding(
            "stale-socket",
            "home",
            "note",
            f"a gateway that is gone left {home.stale_socket}",
            "it was killed; the next one replaces it",
            f"rm {shlex.quote(home.stale_socket)}",
            Fix("unlink", home.stale_socket),
        )
    if facts.config_error:
        yield Finding(
            "configuration",
            "home",
            "problem",
            facts.config_error,
            "no gateway starts with it, and none takes it on `overlay reload`",
            "overlay config check",
        )


def _permissions(facts: Facts) -> Iterator[Finding]:
    well = True
    for file in facts.home.files:
        if not file.is_ours:
            well = False
            yield Finding(
                "not-ours",
                "home",
                "problem",
                f"{file.path} belongs to another user",
                "the gateway cannot keep it, and whoever owns it can change what it says",
                f"sudo chown -R $(id -u) {shlex.quote(file.path)}",
            )
        elif file.mode & _GROUP_AND_OTHERS:
            well = False
            yield _open_to_others(file)
    config = facts.home.config
    if config is not None and config.mode & _WRITABLE:
        well = False
        yield _too_open(
            config,
            config.mode & ~_WRITABLE,
            "configuration-writable",
            "others may write it",
            "whoever can write it decides what this gateway exposes",
        )
    elif config is not None and config.mode & _GROUP_AND_OTHERS and _holds_secrets(facts):
        well = False
        yield _too_open(
            config,
            0o600,
            "configuration-readable",
            "holds a password, and others may read it",
            "they can use the proxy",
        )
    if well and facts.home.files:
        yield Finding("permissions", "home", "ok", "what is private is readable for you alone")


def _open_to_others(file: FileFacts) -> Finding:
    is_key = file.path.endswith("identity.key")
    return _too_open(
        file,
        file.mode & ~_GROUP_AND_OTHERS,
        "key-permissions" if is_key else "home-permissions",
        f"others on this machine may open it (mode {file.mode:04o})",
        "who has the key is this endpoint, for ever" if is_key else "it holds who you know and what you did",
    )


def _too_open(file: FileFacts, mode: int, finding: str, what: str, why: str) -> Finding:
    path = shlex.quote(file.path)
    return Finding(
        finding,
        "home",
        "problem",
        f"{file.path}: {what}",
        why,
        f"chmod {mode:o} {path}",
        Fix("chmod", file.path, mode, f"chmod {file.mode:o} {path}"),
    )


def _holds_secrets(facts: Facts) -> bool:
    config = facts.config
    return config is not None and bool(
        config.proxy.password or "@" in config.proxy.upstream + config.beacons.proxy
    )


def _room(facts: Facts) -> Iterator[Finding]:
    home = facts.home
    short = []
    if home.free_bytes is not None and home.free_bytes < DOCTOR_FREE_BYTES:
        short.append(f"{home.free_bytes // 10**6} MB")
    if home.free_files is not None and home.free_files < DOCTOR_FREE_FILES:
        short.append(f"{home.free_files} files")
    if short:
        yield Finding(
            "disk-full",
            "home",
            "problem",
            f"{' and '.join(short)} left where {home.path} is",
            "contacts, invites and the log cannot be saved",
            f"make room there; see: df -h {shlex.quote(home.path)}",
        )
    elif home.free_bytes is not None:
        yield Finding("disk", "home", "ok", f"{home.free_bytes / 10**9:.1f} GB left for the state")
