"""`overlay man`, and where it comes from: every command, described by itself, as a man page and as a page of the reference.

`python -m gateway.cli.manual` writes both files again (`make man`); a test holds them to the commands.
"""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway import __version__
from gateway.cli.app import EPILOG, Command, overlay
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAN_PAGE: Final = Path(__file__).with_name("overlay.1")
REFERENCE: Final = Path("docs/reference/commands.md")

_WIDTH: Final = 100


@dataclass(frozen=True, slots=True)
class Described:
    """One command as its own help says it."""

    path: str
    """`overlay contacts add`."""
    usage: str
    paragraphs: tuple[tuple[bool, str], ...]
    """Each with whether its lines stay as they are."""
    options: tuple[tuple[str, str], ...]
    is_group: bool


def described() -> Iterator[Described]:
    """Every command, groups before what is in them."""
    settings = dict[str, Any](overlay.context_settings) | {
        "max_content_width": _WIDTH,
        "terminal_width": _WIDTH,
    }
    root = click.Context(overlay, info_name="overlay", **settings)
    yield from _walk(overlay, root)


def _walk(command: click.Command, context: click.Context) -> Iterator[Described]:
    yield _describe(command, context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                inner = click.Context(
                    found, parent=context, info_name=name, max_content_width=_WIDTH, terminal_width=_WIDTH
                )
                yield from _walk(found, inner)


def _describe(command: click.Command, context: click.Context) -> Described:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    records = (parameter.get_help_record(context) for parameter in command.get_params(context))
    text = inspect.cleandoc(command.help or "").partition("\f")[0]
    return Described(
        path=context.command_path,
        usage=usage,
        paragraphs=tuple(_paragraphs(text)),
        options=tuple((name, " ".join(about.split())) for name, about in filter(None, records) if about),
        is_group=isinstance(command, click.Group),
    )


def _paragraphs(text: str) -> Iterator[tuple[bool, str]]:
    """Paragraphs of a help text; one that begins with click's mark for it keeps its lines."""
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        if lines and lines[0].strip() == "\b":
            yield True, "\n".join(lines[1:])
        elif block.strip():
            yield False, " ".join(block.split())


# --- the man page -------------------------------------------------------------------------------------------------


def man_page(commands: Iterable[Described]) -> str:
    """A page for man(1), in the macros of man(7)."""
    first, *others = commands
    lines = [
        f'.TH OVERLAY 1 "" "overlay {__version__}" "User commands"',
        ".SH NAME",
        r"overlay \- a name for every machine that nobody hands out",
        ".SH SYNOPSIS",
        f".B {_escaped('overlay')}",
        _escaped(first.usage.removeprefix("overlay").strip()),
        ".SH DESCRIPTION",
    ]
    lines += _man_text(first)
    lines += [".SH OPTIONS", *_man_options(first)]
    lines.append(".SH COMMANDS")
    for one in others:
        lines += [f".SS {_escaped(one.usage)}", *_man_text(one), *_man_options(one)]
    for title, body in _epilog():
        lines += [f".SH {title.upper()}", ".nf", *map(_escaped, body.splitlines()), ".fi"]
    lines += [
        ".SH FILES",
        ".TP",
        _escaped("gateway.toml"),
        "In the home directory: the configuration.",
        ".SH SEE ALSO",
        r"curl(1), dig(1), ssh(1)",
    ]
    return "\n".join(lines) + "\n"


def _man_text(one: Described) -> list[str]:
    lines: list[str] = []
    for number, (as_is, text) in enumerate(one.paragraphs):
        lines += [".PP"] if number else []
        lines += [".nf", *map(_escaped, text.splitlines()), ".fi"] if as_is else _wrapped(text)
    return lines


def _man_options(one: Described) -> list[str]:
    return [line for name, about in one.options for line in (".TP", f".B {_escaped(name)}", *_wrapped(about))]


def _wrapped(text: str) -> list[str]:
    """Text in lines that are short enough for tools that read the source."""
    return [
        _escaped(line) for line in textwrap.wrap(text, 72, break_on_hyphens=False, break_long_words=False)
    ]


def _escaped(text: str) -> str:
    """Text that roff takes for text (groff_char(7))."""
    text = (
        text.replace("\\", r"\e")
        .replace("-", r"\-")
        .replace("`", r"\(ga")
        .replace("…", "...")
        .replace("→", "->")
    )
    return rf"\&{text}" if text.startswith((".", "'")) else text


# --- the reference ------------------------------------------------------------------------------------------------


def reference(commands: Iterable[Described]) -> str:
    """All commands as Markdown."""
    found = list(commands)
    lines = [
        "# Commands",
        "",
        "Made from the commands themselves by `make man`; `overlay man` shows the same as a man page, `overlay COMMAND --help` one command.",
        "",
    ]
    for title, body in _epilog():
        lines += [f"## {title}", "", "```text", body, "```", ""]
    for one in found:
        lines += [
            f"{'##' if one.path.count(' ') < 2 else '###'} {one.path}",
            "",
            "```text",
            one.usage,
            "```",
            "",
        ]
        for as_is, text in one.paragraphs:
            lines += ["```text", text, "```", ""] if as_is else [_marked(text), ""]
        if one.options:
            lines += ["| option | |", "|---|---|"]
            lines += [f"| `{_cell(name)}` | {_marked(_cell(about))} |" for name, about in one.options]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _marked(text: str) -> str:
    """Text that Markdown takes for text: what looks like a tag, and what two stars would make bold."""
    return re.sub(r"([<>*])", r"\\\1", text)


def _epilog() -> Iterator[tuple[str, str]]:
    """The parts of what stands below the list of commands: exit codes, options and variables."""
    for _, block in _paragraphs(inspect.cleandoc(EPILOG.replace("\b", "\b"))):
        head, _, body = block.partition("\n")
        yield head.rstrip(":"), inspect.cleandoc(body)


# --- the command --------------------------------------------------------------------------------------------------


@click.command("man", cls=Command, short_help="Show the manual.")
@click.option(
    "--path",
    "as_path",
    is_flag=True,
    help='Print where the page is, such as for: man -l "$(overlay man --path)".',
)
def man_command(*, as_path: bool) -> None:
    """Show the manual page of overlay: with man on a terminal, else as it is."""
    if as_path:
        click.echo(MAN_PAGE)
        return
    man = shutil.which("man")
    if not sys.stdout.isatty() or man is None:
        click.echo(MAN_PAGE.read_text(encoding="utf-8"), nl=False)
        return
    if subprocess.run([man, "-l", str(MAN_PAGE)], check=False).returncode:  # noqa: S603 - found in PATH, with a file of ours
        raise GatewayError(f"man: it cannot show {MAN_PAGE}; read it with: less {MAN_PAGE}")


def write(root: Path) -> None:
    """Make both files again."""
    found = list(described())
    MAN_PAGE.write_text(man_page(found), encoding="utf-8")
    (root / REFERENCE).parent.mkdir(parents=True, exist_ok=True)
    (root / REFERENCE).write_text(reference(found), encoding="utf-8")


if __name__ == "__main__":
    write(Path.cwd())
