"""The commands for systems that nobody of us has."""

from __future__ import annotations

from pathlib import Path

from gateway.trust.elsewhere import SYSTEMS, commands, undo_commands

FILE = Path("/home/a b/authority.pem")


def test_each_system_has_a_command_and_its_undoing():
    for system in SYSTEMS:
        assert all("authority.pem" in command for command in commands(system, FILE))
        assert any("ABCD" in command for command in undo_commands(system, "ABCD"))


def test_a_path_with_blanks_is_one_word():
    assert "'/home/a b/authority.pem'" in commands("macos", FILE)[0]
    assert '"/home/a b/authority.pem"' in commands("windows", FILE)[0]
