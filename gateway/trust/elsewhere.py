"""Systems whose stores we cannot change from here: the commands for them, which nobody of us has run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from gateway.trust.stores import typed

if TYPE_CHECKING:
    from pathlib import Path

System = Literal["macos", "windows"]
SYSTEMS: Final = ("macos", "windows")


def commands(system: System, file: Path) -> tuple[str, ...]:
    """To trust the certificate in `file`, by the person who is logged in."""
    if system == "windows":
        return (f'certutil -user -addstore Root "{file}"',)
    keychain = "~/Library/Keychains/login.keychain-db"
    return (f"security add-trusted-cert -r trustRoot -p ssl -k {keychain} {typed((str(file),))}",)


def undo_commands(system: System, sha1: str) -> tuple[str, ...]:
    """To trust it no more; `sha1` is its fingerprint in hexadecimal, by which both systems find it."""
    if system == "windows":
        return (f"certutil -user -delstore Root {sha1}",)
    keychain = "~/Library/Keychains/login.keychain-db"
    return (f"security delete-certificate -t -Z {sha1} {keychain}",)
