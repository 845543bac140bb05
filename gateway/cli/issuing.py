"""`overlay beacon voucher`: a relay's owner issues vouchers, and looks at what is in one. Works without anything running."""

from __future__ import annotations

import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from gateway.cli import output
from gateway.cli.app import Group, Session, pass_session
from gateway.cli.parameters import Amount, Duration
from gateway.errors import StateError, UsageError
from gateway.limits import BEACON_CREDIT_BYTES, VOUCHER_CHARACTERS
from gateway.vouchers import SERIAL_BYTES, Voucher
from resolver.times import utc_text
from tunnels.identity import EndpointId
from tunnels.keyfile import load_key


@click.group("voucher", cls=Group, short_help="Give an endpoint credit at your relay.")
def voucher_command() -> None:
    """Vouchers: credit for one endpoint, beyond the quota of your relay. Who has paid what is your affair."""


@voucher_command.command("issue")
@click.option("--holder", required=True, metavar="ID", help="Whose it is: only this endpoint can redeem it.")
@click.option(
    "--bytes", "credit", required=True, type=Amount(BEACON_CREDIT_BYTES), metavar="10GB", help="How much."
)
@click.option(
    "--expires", required=True, type=Duration("a voucher"), metavar="30d", help="How long it is good."
)
@click.option("--key", "key_file", metavar="FILE", help="Sign with this key, not with that of the home.")
@output.json_option
@pass_session
def issue_voucher(
    session: Session, *, holder: str, credit: int, expires: float, key_file: str | None, as_json: bool
) -> None:
    """Print a voucher, good once, at the relays that name the signing key's id under `issuers`."""
    try:
        holder_id = EndpointId.parse(holder.strip().lower().removesuffix(".overlay"))
    except ValueError as error:
        raise UsageError(f"voucher: --holder: {error}; ask for the output of `overlay id`") from None
    path = session.home.identity_file if key_file is None else Path(key_file)
    secret = load_key(path)
    if secret is None:
        raise StateError(
            f"voucher: there is no key at {path}; `{session.command} up` makes one, --key FILE takes another"
        )
    voucher = Voucher.issue(
        secret,
        serial=secrets.token_bytes(SERIAL_BYTES),
        holder=holder_id,
        credit_bytes=credit,
        expires=int(_now() + expires),
    )
    if as_json:
        output.echo_json(_values(voucher))
        return
    output.say(voucher.text)
    if sys.stdout.isatty():
        output.aside(
            f"{output.amount(credit)} for {holder_id.short}…, good once until {utc_text(voucher.expires)}, at "
            f'relays whose beacon.toml has, under [vouchers], issuers = ["{voucher.issuer}"].'
        )
        output.aside(f"They run: overlay vouchers add {voucher.text}")


@voucher_command.command("show")
@click.argument("text", metavar="VOUCHER|-")
@output.json_option
def show_voucher(*, text: str, as_json: bool) -> None:
    """Print what a voucher says; its signature is checked, not whether it was redeemed."""
    voucher = Voucher.read(sys.stdin.read(VOUCHER_CHARACTERS + 1) if text == "-" else text)
    if as_json:
        output.echo_json(_values(voucher))
        return
    expired = " (expired)" if voucher.expires <= _now() else ""
    output.pairs(
        [
            ("issuer", str(voucher.issuer)),
            ("holder", str(voucher.holder)),
            ("credit", output.amount(voucher.credit_bytes)),
            ("expires", utc_text(voucher.expires) + expired),
            ("serial", voucher.serial.hex()),
        ]
    )


def _values(voucher: Voucher) -> dict[str, object]:
    return {
        "voucher": voucher.text,
        "issuer": str(voucher.issuer),
        "holder": str(voucher.holder),
        "serial": voucher.serial.hex(),
        "credit_bytes": voucher.credit_bytes,
        "expires": voucher.expires,
    }


def _now() -> float:
    """Unix seconds."""
    return datetime.now(UTC).timestamp()
