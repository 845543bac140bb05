"""Reading what administrators wrote: configurations of resolvers, as far as they matter to us. Nothing of them is ever written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.system_dns.machine import Machine


def ini_values(texts: Iterable[str], section: str) -> dict[str, str]:
    """The keys of a section in files of systemd's kind, in the order in which they are read; lists are joined, as systemd does.

    An empty value empties the list.
    """
    values: dict[str, str] = {}
    for text in texts:
        here = ""
        for line in text.splitlines():
            stripped = line.strip()
            if not stripped or stripped[0] in "#;":
                continue
            if stripped.startswith("["):
                here = stripped.strip("[]")
                continue
            key, equals, value = stripped.partition("=")
            if here == section and equals:
                key, value = key.strip(), value.strip()
                values[key] = f"{values.get(key, '')} {value}".strip() if value else ""
    return values


def drop_ins(machine: Machine, main: str, *, without: str = "") -> list[str]:
    """The texts of a systemd configuration: the file `main` of /etc/systemd, then its drop-ins by name, but not `without`."""
    texts = [_text(machine, f"/etc/systemd/{main}")]
    found: dict[str, str] = {}
    for root in ("/usr/lib", "/usr/local/lib", "/run", "/etc"):
        directory = f"{root}/systemd/{main}.d"
        for name in machine.entries(directory):
            if name.endswith(".conf"):
                found[name] = f"{directory}/{name}"  # that in /etc counts where there are several of a name
    return texts + [_text(machine, path) for _, path in sorted(found.items()) if path != without]


def dnsmasq_directories(arguments: Iterable[str], config: str) -> list[str]:
    """The directories of drop-ins that a dnsmasq was started with, or that its file names."""
    words = list(arguments)
    found = []
    for number, word in enumerate(words):
        if word.startswith("--conf-dir="):
            found.append(word.partition("=")[2])
        elif word in ("-7", "--conf-dir") and number + 1 < len(words):
            found.append(words[number + 1])
        elif word.startswith("-7") and len(word) > 2:
            found.append(word[2:])
    for line in config.splitlines():
        key, equals, value = line.partition("#")[0].partition("=")
        if equals and key.strip() == "conf-dir":
            found.append(value.strip())
    return [each.partition(",")[0].rstrip("/") for each in found]


def unbound_directories(config: str) -> list[str]:
    """The directories of drop-ins that an unbound.conf includes: those of `include: "/…/*.conf"`."""
    found = []
    for line in config.splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        if colon and key.strip() in ("include", "include-toplevel"):
            path = value.strip().strip("\"'")
            if path.startswith("/") and path.endswith("/*.conf"):
                found.append(path.removesuffix("/*.conf"))
    return found


def _text(machine: Machine, path: str) -> str:
    return (machine.read(path) or b"").decode(errors="replace")
