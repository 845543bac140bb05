"""A name that is not free, or not what it looks like: asked about on a terminal, an error anywhere else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

import click

from gateway.cli import output
from gateway.errors import ChooseName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")


def with_free_name(act: Callable[[str], T], name: str) -> T:
    """What `act` gives for `name`, or for the first other name that it takes; ChooseName where nobody can be asked."""
    while True:
        try:
            return act(name)
        except ChooseName as error:
            if not (sys.stdin.isatty() and sys.stderr.isatty()):
                raise
            output.aside(str(error))
            name = click.prompt("Name", default=error.suggestion or None, err=True).strip()


def warn_all(warnings: Iterable[str]) -> None:
    """Print each warning."""
    for warning in warnings:
        output.warn(warning)
