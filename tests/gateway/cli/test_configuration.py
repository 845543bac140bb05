"""`overlay config` tells what is wrong, or what is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from tests.gateway.cli.conftest import Alone


def test_check_lists_every_problem(alone: Alone) -> None:
    file = alone.home.config_file
    assert "not there" in alone("config", "check").out
    file.write_text("[proxy]\nport = 1081\n")
    assert alone("config", "check").out == f"{file}: ok\n"
    file.write_text("[proxy]\nprot = 1081\nport = -1\n")
    done = alone("config", "check")
    assert (done.code, done.out) == (3, "")
    assert done.err.splitlines() == [
        f"overlay: {file}: [proxy] prot = 1081: unknown key; did you mean `port`?",
        f"overlay: {file}: [proxy] port = -1: expected a whole number >= 0",
    ]


def test_show_prints_what_is_in_force_without_secrets(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    alone.home.config_file.write_text("[proxy]\nusername = 'me'\npassword = 'hunter2'\n")
    alone.home.config_file.chmod(0o600)
    monkeypatch.setenv("OVERLAY_DNS_PORT", "5400")
    done = alone("config", "show")
    assert "port = 5400" in done.out
    assert "hunter2" not in done.out
    shown = alone("config", "show", "--json").json
    assert shown["dns"]["port"] == 5400
    assert shown["proxy"]["password"] == "***"
