"""QR codes on a terminal: what is printed is what a scanner reads."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import click
import pytest

from gateway.cli import qr
from gateway.errors import GatewayError
from gateway.invites.texts import read_invite, write_invite
from resolver.tickets import read_ticket, write_ticket
from tests.lab.invites import BOB, invite, passed_on
from tests.lab.resolver_keys import NOW, packet

if TYPE_CHECKING:
    from pathlib import Path

_INK = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
_PIXELS = 4
"""For each module: a camera sees more."""


def scanned(text: str, place: Path, *, on_white: bool = True) -> str:
    """What zbarimg reads from a photograph of the terminal."""
    lines = qr.lines_of(text, on_white=on_white)
    # Ink is black on white, or white on black.
    rows = [[_INK[character][half] == on_white for character in line] for line in lines for half in (0, 1)]
    wide = [[bit for bit in row for _ in range(_PIXELS)] for row in rows for _ in range(_PIXELS)]
    picture = place / "qr.pgm"
    head = f"P5 {len(wide[0])} {len(wide)} 255\n".encode()
    picture.write_bytes(head + bytes(0 if bit else 255 for row in wide for bit in row))
    done = subprocess.run(
        ["zbarimg", "--quiet", "--raw", str(picture)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.needs("zbarimg")
@pytest.mark.parametrize("on_white", [False, True])
def test_a_scanner_reads_an_invite_and_a_ticket_as_they_were(tmp_path: Path, on_white: bool) -> None:
    made = invite("web", petname="bob")
    text = scanned(write_invite(made), tmp_path, on_white=on_white)
    assert text == write_invite(made).upper()
    assert read_invite(text).chain == made.chain
    ticket = scanned(write_ticket(packet()), tmp_path, on_white=on_white)
    assert read_ticket(ticket, NOW).packet == packet()


@pytest.mark.needs("zbarimg")
def test_a_scanner_reads_the_longest_invite_that_people_pass_on(tmp_path: Path) -> None:
    long = passed_on(invite("web", "ssh", depth=2), BOB, "web")
    assert read_invite(scanned(write_invite(long), tmp_path)).chain == long.chain


def test_upper_case_keeps_it_small() -> None:
    import segno

    text = write_invite(invite("web"))
    assert len(qr.lines_of(text, on_white=True)[0]) < len(list(segno.make_qr(text, error="l").matrix_iter()))


def test_what_fits_no_qr_code_says_so() -> None:
    with pytest.raises(GatewayError, match=r"fit no QR code .* pass the text itself on"):
        qr.lines_of("y" * 5000, on_white=True)


def shown(capsys: pytest.CaptureFixture[str], *, asked: bool, colour: bool | None = None) -> tuple[str, str]:
    with click.Context(click.Command("x")) as context:
        context.color = colour
        qr.show("overlay:i1yyyy", asked=asked)
    said = capsys.readouterr()
    return said.out, said.err


@pytest.mark.parametrize(
    ("terminal", "asked", "columns", "printed"),
    [
        (False, False, 200, False),
        (False, True, 10, True),
        (True, False, 200, True),
        (True, True, 200, True),
        (True, False, 10, False),
        (True, True, 10, False),
    ],
)
def test_it_is_printed_where_it_is_asked_for_or_where_a_terminal_has_room(
    capsys, monkeypatch, terminal: bool, asked: bool, columns: int, printed: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, 40)))
    out, err = shown(capsys, asked=asked, colour=True if terminal else None)
    assert bool(out) is printed
    assert ("make it wider" in err) is (asked and not printed)
    assert ("\x1b[38;5;16;48;5;231m" in out) is (terminal and printed)


def test_no_colour_is_honoured(capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((200, 40)))
    assert "\x1b" not in shown(capsys, asked=False, colour=False)[0]
