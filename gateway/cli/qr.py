"""QR codes on a terminal: text of ours as one to point a telephone at."""

from __future__ import annotations

import shutil
import sys
from typing import Final

import click

from gateway.cli import output
from gateway.qr_codes import modules

_HALVES: Final = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
"""Ink above and below."""
_COLOURS: Final = "\x1b[38;5;16;48;5;231m"
"""Black on white, whatever the terminal's own are: light on dark is not read by every scanner."""
_RESET: Final = "\x1b[0m"


def lines_of(text: str, *, on_white: bool) -> list[str]:
    """The QR code of a text as lines of half blocks, two rows of modules in each; on white the dark ones are ink, else the light.

    GatewayError if it is too long.
    """
    rows = modules(text)
    if len(rows) % 2:
        rows.append((0,) * len(rows[0]))
    dark = int(on_white)
    return [
        "".join(_HALVES[above == dark, below == dark] for above, below in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]


def show(text: str, *, asked: bool) -> None:
    """Print it where there is a terminal with room for it, or where it was `asked` for."""
    terminal = sys.stdout.isatty()
    if not (terminal or asked):
        return
    context = click.get_current_context(silent=True)
    coloured = terminal and (context is None or context.color is not False)
    lines = lines_of(text, on_white=coloured)  # without colours most terminals are dark
    columns = shutil.get_terminal_size().columns
    if terminal and len(lines[0]) > columns:
        if asked:
            output.warn(
                f"the QR code needs {len(lines[0])} columns, and this terminal has {columns}; make it wider"
            )
        return
    for line in lines:
        click.echo(f"{_COLOURS}{line}{_RESET}" if coloured else line, color=coloured)
