"""The system's own store on Linux, which curl, git, Python and most programs use. Only root may change it."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.trust.stores import Run, StoreFailed, Wanted, found, run, typed


@dataclass(frozen=True, slots=True)
class Layout:
    """Where one family of systems wants authorities, and what makes them count."""

    directory: Path
    refresh: tuple[str, ...]
    after_removal: tuple[str, ...] = ()
    """Words that `refresh` needs then, to take away what is left of it."""


LAYOUTS: Final = (
    Layout(
        Path("/usr/local/share/ca-certificates"), ("update-ca-certificates",), ("--fresh",)
    ),  # Debian, Ubuntu
    Layout(Path("/etc/pki/ca-trust/source/anchors"), ("update-ca-trust",)),  # Fedora, RHEL
    Layout(Path("/etc/ca-certificates/trust-source/anchors"), ("update-ca-trust",)),  # Arch
    Layout(Path("/etc/pki/trust/anchors"), ("update-ca-certificates",)),  # openSUSE
)


class SystemStore:
    """A directory of certificates, and the program that takes them up."""

    kind: Final = "system"

    def __init__(self, layout: Layout, run: Run = run) -> None:
        self._layout = layout
        self._run = run

    @property
    def place(self) -> str:
        """The directory."""
        return str(self._layout.directory)

    def has(self, label: str) -> bytes | None:
        """The certificate of this label, in DER."""
        try:
            return ssl.PEM_cert_to_DER_cert(self._file(label).read_text(encoding="ascii"))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreFailed(f"{self._file(label)} cannot be read: {error.strerror}") from None
        except ValueError:
            return b""

    def obstacle(self) -> str:
        """Only root may."""
        return "" if os.access(self._layout.directory, os.W_OK) else "only root may change it"

    def commands(self, wanted: Wanted) -> tuple[str, ...]:
        """To add it, by somebody who may use sudo."""
        copy = ("sudo", "install", "-m", "644", str(wanted.file), str(self._file(wanted.label)))
        return (typed(copy), typed(("sudo", *self._layout.refresh)))

    def undo_commands(self, label: str) -> tuple[str, ...]:
        """To take it away."""
        again = (*self._layout.refresh, *self._layout.after_removal)
        return (typed(("sudo", "rm", "-f", str(self._file(label)))), typed(("sudo", *again)))

    def add(self, wanted: Wanted) -> None:
        """Trust it; a file that the system does not take up is taken away again."""
        file = self._file(wanted.label)
        try:
            file.write_text(ssl.DER_cert_to_PEM_cert(wanted.der), encoding="ascii")
            file.chmod(0o644)
        except OSError as error:
            raise StoreFailed(f"{file} cannot be written: {error.strerror}") from None
        try:
            self._refresh()
        except StoreFailed:
            file.unlink(missing_ok=True)
            raise

    def remove(self, label: str) -> None:
        """Trust it no more."""
        try:
            self._file(label).unlink(missing_ok=True)
        except OSError as error:
            raise StoreFailed(f"{self._file(label)} cannot be removed: {error.strerror}") from None
        self._refresh(*self._layout.after_removal)

    def __repr__(self) -> str:
        return f"<SystemStore {self.place}>"

    def _file(self, label: str) -> Path:
        return self._layout.directory / f"{label}.crt"

    def _refresh(self, *more: str) -> None:
        program, *words = (*self._layout.refresh, *more)
        said = self._run((found(program) or program, *words))
        if said.code:
            raise StoreFailed(f"{program} failed: {said.error or f'it ended with {said.code}'}")


def system_store(run: Run = run) -> SystemStore | None:
    """This system's store; None on a system of which we know none."""
    for layout in LAYOUTS:
        if layout.directory.is_dir() and found(layout.refresh[0]) is not None:
            return SystemStore(layout, run)
    return None
