"""Issuing vouchers: only the voucher on stdout, signed by the right key, and errors of one line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from gateway.cli.app import Session
from gateway.cli.issuing import voucher_command
from gateway.errors import StateError, UsageError
from gateway.vouchers import Voucher, VoucherError
from tests.lab.resolver_keys import key
from tunnels.keyfile import create_key

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.home import Home

HOLDER = key(2).endpoint_id
ISSUE = ["issue", "--holder", str(HOLDER), "--bytes", "10GB", "--expires", "30d"]


def now() -> float:
    return datetime.now(UTC).timestamp()


def command(home: Home, *words: str, stdin: str = "") -> Any:
    """What the command printed; its error is raised."""
    session = Session()
    session.directory = str(home.path)
    result = CliRunner().invoke(
        voucher_command, list(words), obj=session, standalone_mode=False, input=stdin, catch_exceptions=False,
        help_option_names=["-h", "--help"],  # as `overlay` has them: a command remembers what it was told first
    )  # fmt: skip
    return result.output


def test_a_voucher_is_the_only_thing_on_stdout(home: Home) -> None:
    owner = create_key(home.identity_file)
    before = int(now())
    text = command(home, *ISSUE)
    voucher = Voucher.read(text)
    assert text == voucher.text + "\n"
    assert (voucher.issuer, voucher.holder, voucher.credit_bytes) == (owner.endpoint_id, HOLDER, 10**10)
    assert before + 30 * 86400 <= voucher.expires <= int(now()) + 30 * 86400


def test_each_has_a_serial_of_its_own(home: Home) -> None:
    create_key(home.identity_file)
    assert Voucher.read(command(home, *ISSUE)).serial != Voucher.read(command(home, *ISSUE)).serial


def test_another_key_may_sign(home: Home, tmp_path: Path) -> None:
    create_key(home.identity_file)
    owner = create_key(tmp_path / "owner")
    assert Voucher.read(command(home, *ISSUE, "--key", str(tmp_path / "owner"))).issuer == owner.endpoint_id


def test_a_voucher_is_shown_and_given_as_json(home: Home) -> None:
    owner = create_key(home.identity_file)
    issued = json.loads(command(home, *ISSUE, "--json"))
    assert issued["issuer"] == str(owner.endpoint_id)
    assert json.loads(command(home, "show", "--json", issued["voucher"])) == issued
    shown = command(home, "show", "-", stdin=issued["voucher"])
    for expected in (str(HOLDER), "10.0 GB", issued["serial"]):
        assert expected in shown
    assert "expired" not in shown


def test_an_expired_voucher_is_shown_as_such(home: Home) -> None:
    old = Voucher.issue(key(1), serial=bytes(16), holder=HOLDER, credit_bytes=1, expires=1000)
    assert "1970-01-01 00:16 UTC (expired)" in command(home, "show", old.text)


def test_what_is_wrong_is_told(home: Home) -> None:
    with pytest.raises(StateError, match=r"voucher: there is no key at .*; `overlay --home .* up` makes one"):
        command(home, *ISSUE)
    create_key(home.identity_file)
    with pytest.raises(UsageError, match="--holder: an endpoint id has 52 characters"):
        command(home, "issue", "--holder", "alice", "--bytes", "1GB", "--expires", "1d")
    with pytest.raises(VoucherError, match="this is no voucher"):
        command(home, "show", "junk")
    assert Voucher.read(command(home, *ISSUE[:2], f"{HOLDER}.overlay", *ISSUE[3:])).holder == HOLDER
