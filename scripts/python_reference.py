"""docs/reference/python-api.md, made from the docstrings of the package `overlay`."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
from typing import TYPE_CHECKING, Any, Final

import overlay
import overlay.sync

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYNC: Final = ("Endpoint", "Stream", "Datagrams", "Listener", "DatagramListener")
_HEAD: Final = """# The Python API

Made from the code by `scripts/reference.py`. `pip install overlay-gateway`, then `import overlay`; [how to](../howto/programs.md) use it.
"""


def python_api() -> str:
    """The whole document."""
    parts = [_HEAD, _text(overlay.__doc__, head=False), "## overlay\n"]
    for name in sorted(overlay.__all__):
        value = getattr(overlay, name)
        if inspect.isclass(value) and not issubclass(value, Exception):
            parts.extend(_class("overlay", value))
    parts.extend(("## Errors\n", _text(importlib.import_module("overlay.errors").__doc__, head=True)))
    parts.extend(("## overlay.sync\n", _text(overlay.sync.__doc__, head=True)))
    for name in _SYNC:
        parts.extend(_class("overlay.sync", getattr(overlay.sync, name)))
    return "\n".join(parts).rstrip() + "\n"


def _class(module: str, kind: type) -> Iterator[str]:
    yield f"### {module}.{kind.__name__}\n"
    yield _text(kind.__doc__, head=True)
    rows = [f"* {each}" for each in _members(kind)]
    if rows:
        yield "\n".join(rows) + "\n"


def _members(kind: type) -> Iterator[str]:
    """What is public and has something to say, in the order of the code."""
    yield from _attributes(kind)
    start: Any = vars(kind).get("__init__")
    if start is not None and start.__doc__ and "Made by" not in start.__doc__ and inspect.isfunction(start):
        yield f"`{kind.__name__}{_signature(start)}`: {_sentence(start.__doc__)}"
    for name, value in vars(kind).items():
        if name.startswith("_"):
            continue
        if isinstance(value, property) and value.__doc__:
            yield f"`{name}`: {_sentence(value.__doc__)}"
        elif inspect.isfunction(value) and value.__doc__:
            word = "await " if inspect.iscoroutinefunction(value) else ""
            yield f"`{word}{name}{_signature(value)}`: {_sentence(value.__doc__)}"


def _attributes(kind: type) -> Iterator[str]:
    """What stands with a text below it, in the class or in its `__init__`."""
    (node,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(node, ast.ClassDef)
    start = [each.body for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
    for body in (node.body, *start):
        for each, text in itertools.pairwise(body):
            target = (
                each.target
                if isinstance(each, ast.AnnAssign)
                else each.targets[0]
                if isinstance(each, ast.Assign)
                else None
            )
            name = (
                target.id
                if isinstance(target, ast.Name)
                else target.attr
                if isinstance(target, ast.Attribute)
                else "_"
            )
            if (
                isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and not name.startswith("_")
            ):
                yield f"`{name}`: {_sentence(str(text.value.value))}"


def _signature(function: Any) -> str:
    """As one calls it: no `self`, and annotations as they are written."""
    signature = inspect.signature(function)
    kept = [each for name, each in signature.parameters.items() if name != "self"]
    returns = signature.return_annotation
    told = signature.replace(
        parameters=kept, return_annotation=inspect.Signature.empty if returns in ("None", None) else returns
    )
    return re.sub(r"'([^']+)'", r"\1", str(told))


def _sentence(text: str) -> str:
    return " ".join(text.split())


def _text(text: str | None, *, head: bool) -> str:
    """A docstring, with its indented block as code; without its first sentence unless `head`."""
    lines = inspect.cleandoc(text or "").splitlines()
    if not head:
        lines = lines[2:]
    found, code = [], False
    for line in lines:
        is_code = line.startswith("    ") or (code and not line)
        if line == "::":
            continue
        if is_code and not code:
            found.append("```text" if "─" in line or line.strip() == "OverlayError" else "```python")
        if code and not is_code:
            while not found[-1]:
                found.pop()
            found.extend(("```", ""))
        code = is_code
        found.append(line[4:] if is_code else line)
    if code:
        found.append("```")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(found)).strip() + "\n"
