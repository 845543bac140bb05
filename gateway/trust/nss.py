"""NSS databases: where Chromium and Firefox on Linux keep authorities that a person trusts, one database for each profile."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from gateway.trust.limits import NSS_DATABASES
from gateway.trust.stores import Run, StoreFailed, Wanted, found, run, typed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_PROGRAM: Final = "certutil"
_TRUSTED: Final = "C,,"
"""For servers, and neither for mail nor for programs."""
_ABSENT: Final = "Could not find cert"
_COPIES: Final = 4
"""How often one label may stand in a database before we give up taking it away."""

_CHROMIUM_ALWAYS: Final = ".pki/nssdb"
_CHROMIUM_IF_THERE: Final = ("snap/chromium/current/.pki/nssdb", ".var/app/org.chromium.Chromium/.pki/nssdb")
_CHROMIUM_SIGNS: Final = (
    ".config/chromium",
    ".config/google-chrome",
    ".config/BraveSoftware",
    ".config/microsoft-edge",
)
_CHROMIUM_PROGRAMS: Final = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "brave-browser",
    "microsoft-edge",
)
_FIREFOX: Final = (
    ".mozilla/firefox",
    ".config/mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
)


class NssStore:
    """One database, in a directory of its own."""

    def __init__(self, kind: str, directory: Path, run: Run = run) -> None:
        self.kind = kind
        self._directory = directory
        self._run = run

    @property
    def place(self) -> str:
        """Its directory."""
        return str(self._directory)

    def has(self, label: str) -> bytes | None:
        """The certificate of this label, in DER."""
        if not self._exists() or found(_PROGRAM) is None:
            return None
        said = self._run(self._command("-L", "-n", label, "-a"))
        if said.code and _ABSENT in said.error:
            return None
        text = said.output.decode("ascii", "replace").replace("\r\n", "\n")
        if said.code or "-----BEGIN CERTIFICATE-----" not in text:
            raise StoreFailed(f"{self.place}: {said.error or 'certutil says nothing'}")
        first = text[text.index("-----BEGIN") :].partition("-----END CERTIFICATE-----")[0]
        try:
            return ssl.PEM_cert_to_DER_cert(f"{first}-----END CERTIFICATE-----\n")
        except ValueError:
            raise StoreFailed(f"{self.place}: what certutil prints is no certificate") from None

    def obstacle(self) -> str:
        """`certutil` is a package of its own, which few have."""
        if found(_PROGRAM) is not None:
            return ""
        return "certutil is missing: install libnss3-tools (nss-tools, mozilla-nss-tools), then do this again"

    def commands(self, wanted: Wanted) -> tuple[str, ...]:
        """To add it."""
        return tuple(map(typed, self._steps(wanted)))

    def undo_commands(self, label: str) -> tuple[str, ...]:
        """To take it away."""
        return (typed(self._command("-D", "-n", label)),)

    def add(self, wanted: Wanted) -> None:
        """Trust it for servers."""
        if not self._exists():
            try:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise StoreFailed(f"{self.place} cannot be made: {error.strerror}") from None
        for step in self._steps(wanted):
            said = self._run(step)
            if said.code:
                raise StoreFailed(f"{self.place}: {said.error or f'certutil ended with {said.code}'}")

    def remove(self, label: str) -> None:
        """Trust it no more."""
        for _ in range(_COPIES):
            if self.has(label) is None:
                return
            said = self._run(self._command("-D", "-n", label))
            if said.code:
                raise StoreFailed(f"{self.place}: {said.error or f'certutil ended with {said.code}'}")
        if self.has(label) is not None:
            raise StoreFailed(f"{self.place}: {label} is there again and again")

    def __repr__(self) -> str:
        return f"<NssStore {self.kind} {self.place}>"

    def _exists(self) -> bool:
        return (self._directory / "cert9.db").exists()

    def _steps(self, wanted: Wanted) -> Iterator[tuple[str, ...]]:
        if not self._exists():
            yield self._command("-N", "--empty-password")
        yield self._command("-A", "-t", _TRUSTED, "-n", wanted.label, "-i", str(wanted.file))

    def _command(self, *words: str) -> tuple[str, ...]:
        return (found(_PROGRAM) or _PROGRAM, words[0], "-d", f"sql:{self._directory}", *words[1:])


def nss_stores(home: Path, environ: Mapping[str, str], run: Run = run) -> list[NssStore]:
    """The databases of this person's browsers; Chromium's is made if it has none yet. At most NSS_DATABASES."""
    chromium: list[Path] = []
    always = home / _CHROMIUM_ALWAYS
    data = environ.get("XDG_DATA_HOME") or str(home / ".local/share")
    if (
        always.exists()
        or any((home / sign).exists() for sign in _CHROMIUM_SIGNS)
        or any(map(found, _CHROMIUM_PROGRAMS))
    ):
        chromium.append(always)
    also = (home.joinpath(data, "pki/nssdb"), *(home / other for other in _CHROMIUM_IF_THERE))
    chromium += [directory for directory in also if (directory / "cert9.db").exists()]
    firefox = [database.parent for root in _FIREFOX for database in sorted((home / root).glob("*/cert9.db"))]
    stores = [NssStore("chromium", directory, run) for directory in chromium]
    return (stores + [NssStore("firefox", directory, run) for directory in firefox])[:NSS_DATABASES]
