"""A Config as TOML for people, without its secrets."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from gateway.config.settings import SECRET_KEYS, Config


def as_toml(config: Config) -> str:
    """Every section and key in force, as TOML; secrets that are set appear as `***`."""
    blocks: list[str] = []
    for section, table in as_values(config).items():
        if section in ("services", "contacts", "profiles", "limits"):
            blocks += [_block(f"{section}.{name}", entry) for name, entry in table.items()]
        else:
            blocks.append(_block(section, table))
    return "\n".join(blocks)


def as_values(config: msgspec.Struct, secrets: frozenset[str] = SECRET_KEYS) -> dict[str, dict[str, object]]:
    """Every section and key in force as plain values for JSON, with secrets masked."""
    values: dict[str, dict[str, Any]] = _plain(config)
    for dotted in secrets:
        section, _, key = dotted.partition(".")
        named = section in ("services", "contacts", "profiles")
        for table in values[section].values() if named else (values[section],):
            if table[key]:
                table[key] = "***"
    return values


def _plain(value: object) -> Any:  # noqa: ANN401 - what JSON holds
    """Structs and lists opened up; ids, addresses and networks as the text they are written as."""
    if isinstance(value, msgspec.Struct):
        return _plain(msgspec.structs.asdict(value))
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, bool | int | float) else str(value)


def _block(title: str, table: object) -> str:
    assert isinstance(table, dict)  # noqa: S101 - tells mypy
    return "\n".join([f"[{title}]", *(f"{key} = {_toml(value)}" for key, value in table.items()), ""])


def _toml(value: object) -> str:
    # JSON's strings, numbers, booleans and lists of them are TOML's too.
    return json.dumps(value, ensure_ascii=False)
