"""Taking out of a report what is nobody else's business, so that it can be posted: who, where and what is called how.

The same thing gets the same word everywhere (`id-1`, `name-2`, `public-ip-3`), so that what belongs together can still
be seen. What is known to be a name is replaced wherever it stands as a word; ids, addresses, names under .overlay,
hosts of URLs and secrets of our own forms are known by their looks. Loopback addresses and ports stay.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from resolver.well_known import WELL_KNOWN_PORTS
from tunnels.identity import ID_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Iterable

_ID: Final = re.compile(rf"(?<![a-z0-9])[a-z0-9]{{{ID_CHARACTERS}}}(?![a-z0-9])", re.IGNORECASE)
_SECRET: Final = re.compile(r"overlay:[a-z]?[0-9]?[^\s\"']{8,}", re.IGNORECASE)
"""Tickets, invites, vouchers."""
_LONG: Final = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/=_-]{40,}(?![A-Za-z0-9+/=_-])")
"""What else is long and has no spaces: keys, signatures, tokens."""
_URL: Final = re.compile(r"\b([a-z][a-z0-9+.-]*://)([^\s/\"'#?]+)", re.IGNORECASE)
_NAME: Final = re.compile(r"(?<![\w.-])((?:[\w-]+\.)+)(overlay)\b", re.IGNORECASE)
_FIELD: Final = re.compile(r"\b(petname|host|address|endpoint|service)=(\S+)")
"""The fields of our log that hold what others or the owner chose."""
_V4: Final = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)")
_SIX: Final = r"(?:[0-9a-f]{0,4}:){2,7}(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]{0,4})(?:%\w+)?"
_V6: Final = re.compile(rf"\[{_SIX}\]|(?<![\w:.]){_SIX}(?![\w:])", re.IGNORECASE)
_HOST: Final = re.compile(
    r"(?:(?<![\w.+-])[\w.+-]+@)?(?<![\w-])(?<!(?<!/)/)(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,24}(?![\w-]*\w|\.\w)",
    re.IGNORECASE | re.ASCII,
)
_OURS: Final = frozenset(
    {"toml", "sock", "key", "log", "json", "db", "py", "pac", "conf", "txt", "so", "service"}
)
"""Endings of files, which are no hosts."""
_PREFIX: Final = 8
"""So many characters of an id are shown where a line is short."""


class Redactor:
    """Replaces, and remembers what each thing was replaced by."""

    def __init__(
        self, names: Iterable[str] = (), ids: Iterable[str] = (), *, words: Iterable[tuple[str, str]] = ()
    ) -> None:
        """`names` are petnames, nicknames, services, groups, topics; `words` other texts, each with what stands for it."""
        self._given: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self._words: dict[str, str] = {text.lower(): instead for text, instead in words if text}
        for name in names:
            if name and name.lower() not in WELL_KNOWN_PORTS:
                self._words.setdefault(name.lower(), self._instead("name", name.lower()))
        for endpoint_id in ids:
            self._words.setdefault(endpoint_id[:_PREFIX], self._instead("id", endpoint_id))
        longest_first = sorted(self._words, key=len, reverse=True)
        choice = "|".join(map(re.escape, longest_first))
        self._known = (
            re.compile(f"(?<![A-Za-z0-9])(?:{choice})(?![A-Za-z0-9])", re.IGNORECASE) if choice else None
        )

    def text(self, text: str) -> str:
        """One text, redacted."""
        text = _SECRET.sub("overlay:***", text)
        text = _ID.sub(lambda found: self._instead("id", found[0].lower()), text)
        text = _LONG.sub("***", text)
        text = _FIELD.sub(self._field, text)
        text = _URL.sub(self._url, text)
        text = _NAME.sub(self._overlay_name, text)
        text = _V6.sub(lambda found: self._ip(found[0]), text)
        text = _V4.sub(lambda found: self._ip(found[0]), text)
        text = _HOST.sub(self._host, text)
        if self._known is not None:
            text = self._known.sub(lambda found: self._words[found[0].lower()], text)
        return text

    def value(self, value: Any) -> Any:  # noqa: ANN401 - what JSON holds
        """A value of JSON with all its texts redacted; keys only where they are names that are known."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self._key(key): self.value(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(entry) for entry in value]
        return value

    def _key(self, key: object) -> str:
        text = str(key)
        return self._words.get(text.lower(), text) if text.isidentifier() else self.text(text)

    def _instead(self, kind: str, thing: str) -> str:
        if (kind, thing) not in self._given:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._given[kind, thing] = f"{kind}-{self._counts[kind]}"
        return self._given[kind, thing]

    def _field(self, found: re.Match[str]) -> str:
        field, value = found.groups()
        redacted = self.text(value.replace("=", " "))
        if redacted != value or value.lower() in WELL_KNOWN_PORTS:
            return f"{field}={redacted}"
        kind = {"endpoint": "id", "host": "host", "address": "address"}.get(field, "name")
        if value.startswith(("127.", "[::1]")):
            return found[0]
        return f"{field}={self._instead(kind, value.lower())}"

    def _url(self, found: re.Match[str]) -> str:
        host = found[2].rpartition("@")[2]
        name, colon, port = host.rpartition(":") if host.rpartition(":")[2].isdigit() else (host, "", "")
        if name.lower().endswith(".overlay"):
            return f"{found[1]}{name}{colon}{port}"
        try:
            ip_address(name.strip("[]"))
        except ValueError:
            name = self._instead("host", name.lower())
        return f"{found[1]}{name}{colon}{port}"

    def _overlay_name(self, found: re.Match[str]) -> str:
        labels = found[1].rstrip(".").split(".")
        shown = [
            label
            if label.lower() in WELL_KNOWN_PORTS or re.fullmatch(r"(id|name)-\d+", label)
            else self._words.get(label.lower()) or self._instead("name", label.lower())
            for label in labels
        ]
        return f"{'.'.join(shown)}.overlay"

    def _host(self, found: re.Match[str]) -> str:
        host = found[0].lower()
        ending = host.rpartition(".")[2]
        if ending in _OURS or ending == "overlay" or host.startswith(("gateway.", "resolver.", "tunnels.")):
            return found[0]
        return self._instead("host", host)

    def _ip(self, text: str) -> str:
        bare = text.strip("[]").partition("%")[0]
        try:
            ip = ip_address(bare)
        except ValueError:
            return text
        if ip.is_loopback or ip.is_unspecified:
            return text
        kind = "link-local-ip" if ip.is_link_local else "private-ip" if ip.is_private else "public-ip"
        return self._instead(kind, str(ip))
