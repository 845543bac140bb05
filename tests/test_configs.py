"""The documented configuration is the real one: every key is there, with its real default."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from gateway.beacon.settings import SCHEMA, BeaconConfig
from gateway.config import Config, needs_restart, parse
from gateway.config.loading import parse_as
from gateway.config.settings import ContactSettings, LimitSettings, ProfileSettings, ServiceSettings
from gateway.config.showing import as_values

FILE = Path(__file__).parents[1] / "configs" / "gateway.toml"
TEXT = FILE.read_text(encoding="utf-8")
WITHOUT_DEFAULT = {"services.target", "contacts.id"}


NAMES = {"services": "example", "profiles": "example", "contacts": "example", "limits": "contacts.example"}
BEACON_FILE = FILE.with_name("beacon.toml")
BEACON_TEXT = BEACON_FILE.read_text(encoding="utf-8")


def uncommented(text: str = TEXT) -> str:
    """The file with every setting taken out of its comment."""
    return re.sub(r"^#(?=\[|\w+ = )", "", text, flags=re.MULTILINE)


def test_the_file_as_it_is_sets_nothing() -> None:
    assert parse(TEXT.encode(), source=str(FILE)) == Config()


def test_every_plain_key_is_documented_with_its_default() -> None:
    documented = parse(uncommented().encode(), source=str(FILE))
    defaults = as_values(Config())
    for section, table in as_values(documented).items():
        if section not in ("services", "contacts", "profiles", "limits"):
            assert table == defaults[section]
            for key in table:
                assert re.search(rf"^#{key} = ", section_text(section), re.MULTILINE), f"{section}.{key}"


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("services", ServiceSettings),
        ("contacts", ContactSettings),
        ("profiles", ProfileSettings),
        ("limits", LimitSettings),
    ],
)
def test_every_key_of_a_named_section_is_documented_with_its_default(
    section: str, kind: type[msgspec.Struct]
) -> None:
    documented = getattr(parse(uncommented().encode(), source=str(FILE)), section)[NAMES[section]]
    for field in msgspec.structs.fields(kind):
        assert re.search(rf"^#{field.name} = ", section_text(f"{section}.{NAMES[section]}"), re.MULTILINE), (
            field.name
        )
        if f"{section}.{field.name}" not in WITHOUT_DEFAULT:
            assert getattr(documented, field.name) == field.default


@pytest.mark.parametrize(
    "section",
    [
        section
        for section in Config.__struct_fields__
        if section not in ("services", "contacts", "profiles", "limits")
    ],
)
def test_the_marks_tell_which_keys_need_a_restart(section: str) -> None:
    comment = ""
    for line in section_text(section).splitlines():
        if match := re.match(r"#(\w+) = ", line):
            assert ("(restart)" in comment) == needs_restart(f"{section}.{match[1]}"), f"{section}.{match[1]}"
        elif line.startswith("# "):
            comment += line
        else:
            comment = ""


def test_the_beacons_file_as_it_is_sets_nothing() -> None:
    assert parse_as(SCHEMA, BEACON_TEXT.encode(), source=str(BEACON_FILE)) == BeaconConfig()


def test_every_key_of_a_beacon_is_documented_with_its_default() -> None:
    documented = parse_as(SCHEMA, uncommented(BEACON_TEXT).encode(), source=str(BEACON_FILE))
    assert documented == BeaconConfig()
    for section, table in as_values(documented, SCHEMA.secrets).items():
        for key in table:
            assert re.search(rf"^#{key} = ", section_text(section, BEACON_TEXT), re.MULTILINE), (
                f"{section}.{key}"
            )


def section_text(section: str, text: str = TEXT) -> str:
    """The part of the file about one section."""
    return text.split(f"#[{section}]\n", 1)[1].split("\n#[", 1)[0]
