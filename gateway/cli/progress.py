"""How long work shows that it goes on: a line on stderr that is gone afterwards, on a terminal only."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress


def _progress(*, by_time: bool = False, counted: bool = False) -> Progress | None:
    """What draws it; None where nobody sees it. Only there the library is loaded."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
    )
    from rich.progress_bar import ProgressBar

    class ByTime(ProgressColumn):
        """A bar that is full when the time is over."""

        def render(self, task: Task) -> ProgressBar:
            return ProgressBar(
                total=task.total, completed=min(task.elapsed or 0.0, task.total or 0.0), width=30
            )

    console = Console(stderr=True)
    if console.is_dumb_terminal:
        return None
    bars = [ByTime()] if by_time else [BarColumn(30), MofNCompleteColumn()] if counted else []
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        *bars,
        console=console,
        transient=True,
    )


@contextlib.contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Gives what is told of each step as it begins."""
    progress = _progress()
    if progress is None:
        yield lambda _: None
        return
    with progress:
        task = progress.add_task("")
        yield lambda text: progress.update(task, description=f"{text} …")


@contextlib.contextmanager
def lasting(text: str, seconds: float) -> Iterator[None]:
    """Something that takes about so long."""
    progress = _progress(by_time=True)
    if progress is None:
        yield
        return
    with progress:
        progress.add_task(text, total=seconds)
        yield


@contextlib.contextmanager
def counting(text: str, total: int) -> Iterator[Callable[[int], None]]:
    """Gives what is told how many more of `total` are done."""
    progress = _progress(counted=True)
    if progress is None:
        yield lambda _: None
        return
    with progress:
        task = progress.add_task(text, total=total)
        yield lambda more: progress.advance(task, more)
