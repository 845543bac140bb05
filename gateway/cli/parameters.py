"""What several commands take: durations, amounts of bytes, names that a shell completes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

    from gateway.cli.completing import Completer


def completed_by(
    what: str,
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """A completer of `gateway.cli.completing`, which is imported when a shell asks."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from gateway.cli import completing

        completer: Completer = getattr(completing, what)
        return completer(context, parameter, incomplete)

    return complete


_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST: Final = 366 * 86400


class Duration(click.ParamType[float]):
    """`90s`, `30m`, `12h`, `30d`, `4w` as seconds, for something that lasts up to 366 days."""

    name = "duration"

    def __init__(self, what: str) -> None:
        self._what = what

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, or a usage error that tells the form."""
        text = str(value)
        number, unit = text[:-1], text[-1:]
        if not (number.isascii() and number.isdigit()) or unit not in _SECONDS or len(number) > 9:
            self.fail(f"{text!r} is no duration; write 12h, 30d or 4w", param, ctx)
        seconds = int(number) * _SECONDS[unit]
        if not 0 < seconds <= _LONGEST:
            self.fail(f"{text!r} is out of range; {self._what} lasts from 1s to 366d", param, ctx)
        return float(seconds)


class Amount(click.ParamType[int]):
    """`500MB`, `10GB`, `1.5TB`, `4GiB` as bytes: at least one, at most `most`."""

    name = "amount"

    def __init__(self, most: int) -> None:
        self._most = most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes, or a usage error that tells the form."""
        from gateway.config.quantities import read_octets

        text = str(value)
        try:
            size = read_octets(text)
        except ValueError:
            self.fail(f"{text!r} is no amount; write 500MB, 10GB or 4GiB", param, ctx)
        if size > self._most:
            self.fail(f"{text!r} is out of range; write 1B to {self._most // 10**12}TB", param, ctx)
        return size
