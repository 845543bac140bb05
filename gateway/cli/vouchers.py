"""`overlay vouchers`: credit at relays, as their owners gave it to this endpoint. Issuing is `overlay beacon voucher`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gateway.cli import output
from gateway.cli.app import Group, Session, pass_session
from gateway.control.vouchers import AddVoucherRequest
from gateway.errors import UsageError

if TYPE_CHECKING:
    from gateway.control.vouchers import VoucherReport


@click.group("vouchers", cls=Group, short_help="Credit at relays, beyond their quota.", default="ls")
def vouchers_command() -> None:
    """Credit at relays, beyond what they give everybody; without a command, list it."""


@vouchers_command.command("add")
@click.argument("voucher", metavar="VOUCHER|-")
@click.option("--beacon", metavar="URL", default="", help="Where to hand it in; else at our own beacons.")
@output.json_option
@pass_session
def add_voucher(session: Session, *, voucher: str, beacon: str, as_json: bool) -> None:
    """Take a VOUCHER that a relay's owner gave you, and hand it in."""
    text = sys.stdin.read(8192).strip() if voucher == "-" else voucher.strip()
    if not text:
        raise UsageError("vouchers: this voucher is empty; it begins with overlay:v1")
    report = session.client().add_voucher(AddVoucherRequest(voucher=text, beacon=beacon))
    if as_json:
        output.echo_json(report)
    elif report.taken_by:
        output.say(f"{output.amount(report.credit_bytes)} at {report.taken_by}.")
    else:
        why = report.error or "no beacon is connected"
        output.say(f"Kept, and handed in when a beacon takes it; not yet: {why}")


@vouchers_command.command("ls")
@output.json_option
@pass_session
def list_vouchers(session: Session, *, as_json: bool) -> None:
    """List the vouchers, and which beacon has taken each."""
    reports = session.client().vouchers()
    if as_json:
        output.echo_json(reports)
    elif reports:
        rows = [
            (
                r.serial[:8],
                output.amount(r.credit_bytes),
                f"{r.issuer[:8]}…",
                output.day(r.expires),
                _state(r),
            )
            for r in reports
        ]
        output.table(("serial", "for", "issuer", "until", "state"), rows)
    else:
        output.aside(f"No vouchers yet; `{session.command} vouchers add VOUCHER` takes one.")


def _state(report: VoucherReport) -> str:
    if report.taken_by:
        return f"taken by {report.taken_by}"
    if report.expired:
        return "expired"
    return f"not taken yet: {report.error}" if report.error else "not handed in yet"
