"""Flags, variables and a TOML file become one Config, or a list of everything that is wrong with them.

Each key is converted by itself, so that one mistake does not hide the next, and is named by where it was written:
file, section and key, or the variable, or the flag.
"""

from __future__ import annotations

import difflib
import functools
import os
import stat
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, get_type_hints

import msgspec

from gateway.config.checks import check_label, check_limit, check_petname
from gateway.config.settings import SECRET_KEYS, Config
from gateway.config.values import convert, from_text, one_line, reason_of, shown
from gateway.errors import ConfigurationError
from gateway.limits import CONFIG_FILE_BYTES, CONFIG_PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_Root = TypeVar("_Root", bound=msgspec.Struct)

_NO_SETTING: Final = frozenset({"OVERLAY_HOME"})
"""Variables with our prefix that are not settings."""

_URLS: Final = frozenset({"upstream", "url", "proxy"})
"""Secret keys that hold a secret only where there is a login in them."""


class Schema(Generic[_Root]):
    """What a configuration may hold: the Struct of all its sections, and how the rest of the world names them."""

    def __init__(
        self,
        root: type[_Root],
        *,
        prefix: str,
        secrets: frozenset[str],
        check: str,
        named: Mapping[str, Callable[[str], None]] | None = None,
        grouped: Mapping[str, tuple[str, ...]] | None = None,
        others: tuple[str, ...] = (),
        flags: Mapping[str, str] | None = None,
    ) -> None:
        """`prefix` begins its variables, those that begin with one of `others` are not its own; `secrets` are keys that
        are never shown, `check` the command that tells all problems; `named` are the sections whose keys are names of
        the owner's own choosing, and what a name may be, and `grouped` those among them in which some names are groups of more, as in
        `[limits.contacts.bob]`; `flags` are what keys, as `section.key`, are called at the
        command line, where that is not `--section-key`.
        """
        self.root = root
        self.prefix = prefix
        self.secrets = secrets
        self.check = check
        self.named = named or {}
        self.grouped = grouped or {}
        self.others = others
        self.flags = flags or {}

    @functools.cached_property
    def sections(self) -> dict[str, type[msgspec.Struct]]:
        """The Struct of every section; for the named ones that of one entry."""
        return {
            name: hint.__args__[1] if name in self.named else hint
            for name, hint in get_type_hints(self.root).items()
        }

    @functools.cached_property
    def plain_keys(self) -> tuple[tuple[str, str], ...]:
        """Section and key of everything outside the named sections."""
        return tuple(
            (s, key) for s, kind in self.sections.items() if s not in self.named for key in _fields(kind)
        )

    def variable(self, section: str, key: str) -> str:
        """The variable of a key."""
        return f"{self.prefix}{section}_{key}".upper()

    def flag(self, section: str, key: str) -> str:
        """The flag of a key."""
        return self.flags.get(f"{section}.{key}", f"--{section}-{key}".replace("_", "-"))


GATEWAY: Final = Schema(
    Config,
    prefix="OVERLAY_",
    secrets=SECRET_KEYS,
    check="overlay config check",
    named={
        "services": check_label,
        "contacts": check_petname,
        "profiles": check_petname,
        "limits": check_limit,
    },
    grouped={"limits": ("contacts", "groups", "services")},
    others=("OVERLAY_BEACON_",),
    flags={
        "gateway.nickname": "--nickname",
        "gateway.log_level": "--log-level",
        "gateway.log_format": "--log-format",
        "tunnels.quic_engine": "--quic-engine",
        "tunnels.port": "--tunnel-port",
        "tunnels.bind": "--bind",
        "tunnels.addresses": "--address",
        "beacons.urls": "--beacon",
    },
)
"""gateway.toml."""


class InvalidConfiguration(ConfigurationError):
    """Everything that is wrong with the settings; str() tells the first and how many more there are."""

    def __init__(self, problems: tuple[str, ...], *, check: str = "overlay config check") -> None:
        more = len(problems) - 1
        rest = f" (and {more} more: see `{check}`)" if more else ""
        super().__init__(problems[0] + rest)
        self.problems = problems


def load(path: Path, *, environ: Mapping[str, str], overrides: Mapping[str, object]) -> Config:
    """The settings in force: `overrides` (flags, by dotted key) over variables over the file over the defaults.

    A file that does not exist is an empty one. Raises InvalidConfiguration with every problem.
    """
    return load_as(GATEWAY, path, environ=environ, overrides=overrides)


def load_as(
    schema: Schema[_Root], path: Path, *, environ: Mapping[str, str], overrides: Mapping[str, object]
) -> _Root:
    """As `load`, for the configuration that `schema` describes."""
    data = _read(path, schema)
    return parse_as(schema, data, source=str(path), environ=environ, overrides=overrides)


def parse(
    data: bytes,
    *,
    source: str,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Config:
    """Settings from the bytes of a TOML file, called `source` in errors; see `load`."""
    return parse_as(GATEWAY, data, source=source, environ=environ, overrides=overrides)


def parse_as(
    schema: Schema[_Root],
    data: bytes,
    *,
    source: str,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> _Root:
    """As `parse`, for the configuration that `schema` describes."""
    try:
        document = tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else one_line(str(error))
        raise InvalidConfiguration((f"{source}: this is not TOML: {reason}",)) from None
    reading = _Reading(schema)
    reading.add_document(document, source)
    reading.add_variables(environ or {})
    reading.add_overrides(overrides or {})
    settings: _Root = reading.finish()
    return settings


@dataclass(slots=True)
class _Reading:
    """What was read so far: for each section the values that were good, and every problem."""

    schema: Schema[Any]
    problems: list[str] = field(default_factory=list)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: set[tuple[str, str]] = field(default_factory=set)
    """Section and key of everything that was written, right or wrong."""
    broken: set[str] = field(default_factory=set)
    """Sections with a wrong value, which cannot be judged as a whole."""
    origins: dict[str, str] = field(default_factory=dict)
    """Where each section was last written, for the problems between its keys."""

    def add_document(self, document: dict[str, Any], source: str) -> None:
        for section, table in document.items():
            if section not in self.schema.sections:
                kind = (
                    f"unknown section [{one_line(section)}]"
                    if isinstance(table, dict)
                    else f"{one_line(section)} stands in no section"
                )
                self._problem(f"{source}: {kind}{_nearest(section, self.schema.sections, '[{}]')}")
            elif not isinstance(table, dict):
                self._problem(
                    f"{source}: {section} = {shown(table)}: this is a section; write [{section}] above its keys"
                )
            elif section in self.schema.named:
                self._add_named(section, table, source)
            else:
                self._add_section(section, self.schema.sections[section], table, f"{source}: [{section}]")

    def add_variables(self, environ: Mapping[str, str]) -> None:
        known = {
            self.schema.variable(section, key): (section, key) for section, key in self.schema.plain_keys
        }
        for name, text in environ.items():
            if (
                name in _NO_SETTING
                or not name.startswith(self.schema.prefix)
                or name.startswith(self.schema.others)
            ):
                continue
            if name in known:
                section, key = known[name]
                hint = _fields(self.schema.sections[section])[key]
                self._add_value(section, section, key, hint, from_text(text, hint), name, strict=False)
            elif _nearest(name, known) or any(
                name.startswith(self.schema.variable(section, "")) for section in self.schema.sections
            ):
                self._problem(f"{name}: unknown variable{_nearest(name, known)}")

    def add_overrides(self, overrides: Mapping[str, object]) -> None:
        for dotted, value in overrides.items():
            section, _, key = dotted.partition(".")
            if (section, key) not in self.schema.plain_keys:
                raise ValueError(f"{dotted} is not a key")
            hint = _fields(self.schema.sections[section])[key]
            self._add_value(section, section, key, hint, value, self.schema.flag(section, key))

    def finish(self) -> Any:  # noqa: ANN401 - the root of the schema
        """The settings, or InvalidConfiguration with all problems."""
        sections: dict[str, Any] = {}
        for path, values in self.values.items():
            section, _, name = path.partition(".")
            built = self._build(path, self.schema.sections[section], values)
            if name:
                sections.setdefault(section, {})[name] = built
            else:
                sections[section] = built
        if self.problems:
            raise InvalidConfiguration(tuple(self.problems[:CONFIG_PROBLEMS]), check=self.schema.check)
        return self.schema.root(**sections)

    def _build(self, path: str, kind: type[msgspec.Struct], values: dict[str, Any]) -> object:
        where = self.origins.get(path, path)
        missing = [
            f.name for f in msgspec.structs.fields(kind) if f.required and (path, f.name) not in self.seen
        ]
        if missing:
            self._problem(f"{where}: {missing[0]} is missing")
        if missing or path in self.broken:
            return None
        try:
            return kind(**values)
        except ValueError as error:
            self._problem(f"{where}: {error}")
            return None

    def _add_named(self, section: str, table: dict[str, Any], source: str) -> None:
        for name, entry in self._entries(section, table):
            where = f"{source}: [{section}.{one_line(name)}]"
            try:
                self.schema.named[section](name)
            except ValueError as error:
                self._problem(f"{where}: {one_line(str(error))}")
                continue
            if not isinstance(entry, dict):
                self._problem(
                    f"{source}: [{section}] {name} = {shown(entry)}: write a section [{section}.{name}]"
                )
                continue
            self._add_section(f"{section}.{name}", self.schema.sections[section], entry, where)

    def _entries(self, section: str, table: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """The entries of a named section, those in groups as `group.name`."""
        for name, entry in table.items():
            if name in self.schema.grouped.get(section, ()) and isinstance(entry, dict):
                yield from ((f"{name}.{inner}", below) for inner, below in entry.items())
            else:
                yield name, entry

    def _add_section(self, path: str, kind: type[msgspec.Struct], table: dict[str, Any], where: str) -> None:
        self.values.setdefault(path, {})
        self.origins[path] = where
        fields = _fields(kind)
        for key, value in table.items():
            if key in fields:
                self._add_value(path, path.partition(".")[0], key, fields[key], value, f"{where} {key}")
            else:
                self._problem(f"{where} {one_line(key)} = {shown(value)}: unknown key{_nearest(key, fields)}")

    def _add_value(
        self,
        path: str,
        section: str,
        key: str,
        hint: object,
        value: object,
        where: str,
        *,
        strict: bool = True,
    ) -> None:
        self.origins.setdefault(path, where)
        self.seen.add((path, key))
        try:
            converted = convert(value, hint, strict=strict)
        except (ValueError, OverflowError) as error:
            self.broken.add(path)
            written = "***" if f"{section}.{key}" in self.schema.secrets else shown(value)
            self._problem(f"{where} = {written}: {reason_of(str(error), value, hint)}")
        else:
            self.values.setdefault(path, {})[key] = converted

    def _problem(self, text: str) -> None:
        self.problems.append(text)


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The types of a section's keys, with their constraints."""
    return get_type_hints(kind, include_extras=True)


def _read(path: Path, schema: Schema[Any]) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(CONFIG_FILE_BYTES + 1)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise InvalidConfiguration((f"{path}: cannot be read: {error.strerror}",)) from None
    if len(data) > CONFIG_FILE_BYTES:
        raise InvalidConfiguration(
            (f"{path}: larger than {CONFIG_FILE_BYTES} bytes; this is not our configuration",)
        )
    if stat.S_IMODE(mode) & 0o077 and _holds_secret(data, schema):
        raise InvalidConfiguration(
            (f"{path}: holds a password and others can read it; run `chmod 600 {path}`",)
        )
    return data


def _holds_secret(data: bytes, schema: Schema[Any]) -> bool:
    """Whether the file sets a password; a file that cannot be read as TOML is told about elsewhere."""
    try:
        document = tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return False
    for dotted in schema.secrets:
        section, _, key = dotted.partition(".")
        table = document.get(section)
        value = table.get(key) if isinstance(table, dict) else None
        if value and (key not in _URLS or "@" in str(value)):
            return True
    return False


def _nearest(word: str, known: Mapping[str, object], form: str = "`{}`") -> str:
    """`; did you mean …?`, or nothing when no known word is near."""
    near = difflib.get_close_matches(word.lower() if word.islower() else word, known, n=1, cutoff=0.7)
    return f"; did you mean {form.format(near[0])}?" if near else ""
