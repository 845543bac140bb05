"""What a document tells people to type: its `console` blocks as steps. Text in, values out; nothing is run here.

A line `alice$ overlay id` is a command on alice's machine, `root#` behind a name one that needs root there; lines after
it are what it prints, with `…` for whatever differs from run to run. A command that goes on ends with ` &`, or its
comment says "leave it running". `ALICE-ID` stands for the id of alice, and a word that ends with `…` for the newest word
that anybody's command printed and that begins so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FENCE = re.compile(r"^(\s*)(`{3,})\s*(\S*)")
_PROMPT = re.compile(r"^([a-z][a-z0-9-]*)([$#]) (.+)$")
_RUNNING = re.compile(r"\s&$|#.*\bleave it running\b")
_ANSWER = re.compile(r"\[[^\]]*/[^\]]*\]: (\S+)$")
_COMMENT = re.compile(r"\s{2,}# .*$")


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a document."""

    line: int
    who: str
    is_root: bool
    command: str
    stays: bool
    """It goes on until it is ended."""
    expected: tuple[str, ...]

    @property
    def answer(self) -> str:
        """What is typed when it asks: a line of its output that ends with a question and the answer, `[y/N]: y`."""
        answers = [match.group(1) for line in self.expected if (match := _ANSWER.search(line))]
        return answers[0] if answers else ""


def steps(text: str) -> list[Step]:
    """The commands of a document, in the order in which they are typed; ValueError where a block is none of ours."""
    found: list[Step] = []
    for number, lines in _blocks(text, "console"):
        for offset, line in enumerate(lines):
            prompt = _PROMPT.match(line)
            if prompt:
                who, mark, command = prompt.groups()
                bare = _COMMENT.sub("", command).rstrip()
                stays = bool(_RUNNING.search(command))
                found.append(
                    Step(number + offset, who, mark == "#", bare.removesuffix("&").rstrip(), stays, ())
                )
            elif not found or offset == 0:
                raise ValueError(f"line {number + offset}: a console block begins with a prompt")
            elif found[-1].command.endswith("\\"):
                found[-1] = _with_more(found[-1], line)
            elif line.strip():
                last = found[-1]
                found[-1] = Step(
                    last.line, last.who, last.is_root, last.command, last.stays, (*last.expected, line)
                )
    return found


def other_blocks(text: str) -> list[str]:
    """The languages of blocks that are no `console` blocks."""
    return [word for word, _, _ in _fences(text) if word != "console"]


def fill_in(command: str, ids: dict[str, str], printed: Iterable[str]) -> str:
    """The command with its placeholders filled in; `printed` are all outputs so far, the newest last."""
    for who, endpoint_id in ids.items():
        command = command.replace(f"{who.upper()}-ID", endpoint_id)
    words = [word.rstrip(";,.)") for output in printed for word in output.split()]

    def newest(match: re.Match[str]) -> str:
        beginning = match.group(1)
        known = [word for word in words if word.startswith(beginning) and "…" not in word]
        if not known:
            raise LookupError(f"nothing that begins with {beginning!r} was printed")
        return known[-1]

    return re.sub(r"(?<![\w…])([\w:/.+-]+)…", newest, command)


def is_as_expected(expected: tuple[str, ...], output: str) -> bool:
    """Whether the output has these lines in this order; blanks count as one, and `…` is anything."""
    pattern = ".*?".join(
        r"\s+".join(re.escape(word).replace("…", ".*?") for word in _ANSWER.sub(_question, line).split())
        for line in expected
    )
    return re.search(pattern, output, re.DOTALL) is not None


def _question(match: re.Match[str]) -> str:
    """A terminal shows what is typed when it is typed, not where it was asked for."""
    return match.group(0).removesuffix(match.group(1))


def _with_more(step: Step, line: str) -> Step:
    more = _COMMENT.sub("", line)
    command = f"{step.command[:-1].rstrip()} {more.strip()}"
    return Step(step.line, step.who, step.is_root, command, step.stays, step.expected)


def _blocks(text: str, language: str) -> Iterator[tuple[int, list[str]]]:
    for word, number, lines in _fences(text):
        if word == language:
            yield number, lines


def _fences(text: str) -> Iterator[tuple[str, int, list[str]]]:
    """Language, number of the first line inside, and the lines of each fenced block (CommonMark 4.5)."""
    inside: tuple[str, str, str, int, list[str]] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if inside is None:
            if fence:
                indent, ticks, language = fence.groups()
                inside = (indent, ticks, language, number + 1, [])
        elif fence and fence.group(2).startswith(inside[1]) and not fence.group(3):
            yield inside[2], inside[3], inside[4]
            inside = None
        else:
            inside[4].append(line.removeprefix(inside[0]))
    if inside is not None:
        raise ValueError(f"line {inside[3]}: a block has no end")
