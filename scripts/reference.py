"""The parts of docs/reference/ that the code says itself: `python scripts/reference.py` writes them, `--check` compares.

The protocol is what the modules that speak it say in their docstrings; the control API is what its routes, its methods
and their values say in theirs.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import pkgutil
import re
import sys
import typing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

import gateway.control
from gateway.control import api
from scripts.python_reference import python_api

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]
_RULE: Final = re.compile(r"=+(\s+=+)+")
DIRECTORY: Final = ROOT / "docs" / "reference"

CHAPTERS: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    (
        "A connection between two endpoints",
        "One QUIC version 1 connection (RFC 9000), ALPN `overlay/1`, TLS server name `overlay`, the certificate's key the server's id.",
        (
            "tunnels/demux.py",
            "tunnels/quic/certificates.py",
            "tunnels/quic/binding.py",
            "tunnels/control_stream.py",
            "tunnels/credit.py",
        ),
    ),
    (
        "Streams",
        "What each stream of a connection carries, from its first byte on.",
        (
            "gateway/stream_header.py",
            "gateway/flows/framing.py",
            "resolver/circles.py",
            "gateway/topics/hello.py",
        ),
    ),
    (
        "Paths",
        "What goes beside QUIC on the same sockets.",
        (
            "tunnels/paths/checks.py",
            "tunnels/paths/fragments.py",
            "tunnels/paths/mtu.py",
            "tunnels/crossing/course.py",
            "tunnels/crossing/description.py",
            "tunnels/transports/tcp_framing.py",
            "tunnels/nat/attested.py",
            "tunnels/nat/reflector.py",
            "tunnels/nat/dialback.py",
            "tunnels/nat/mapping_messages.py",
            "tunnels/nat/pwnat.py",
        ),
    ),
    (
        "Beacons",
        "Records are put and asked for as at any pkarr relay, `PUT` and `GET /<id>`; the rest is a WebSocket.",
        (
            "tunnels/relay/frames.py",
            "tunnels/relay/login.py",
            "tunnels/rendezvous/sealed.py",
            "tunnels/rendezvous/messages.py",
            "gateway/vouchers.py",
        ),
    ),
    (
        "Records, tickets and topics",
        "What an endpoint signs, and where it is told.",
        (
            "resolver/signed_packets.py",
            "resolver/records.py",
            "resolver/zone_entries.py",
            "resolver/text_forms.py",
            "resolver/tickets.py",
            "resolver/topics.py",
            "resolver/discovery/lan_messages.py",
        ),
    ),
    (
        "Programs on the same machine",
        "What connections to the control socket carry that are no HTTP.",
        ("gateway/programs/messages.py",),
    ),
    (
        "Invites",
        "",
        (
            "gateway/invites/capability.py",
            "gateway/invites/texts.py",
            "gateway/invites/messages.py",
            "gateway/invites/spoken.py",
        ),
    ),
)
"""Chapters of the protocol: title, a sentence, and the modules whose docstrings they are."""


def protocol() -> str:
    """docs/reference/protocol.md."""
    parts = [
        "# The protocol, byte by byte\n",
        "Made from the code by `scripts/reference.py`: each section is what the module that speaks it says.",
        "Numbers are big-endian unless it says otherwise.\n",
    ]
    for title, sentence, modules in CHAPTERS:
        parts.append(f"## {title}\n")
        if sentence:
            parts.append(f"{sentence}\n")
        for module in modules:
            text = ast.get_docstring(ast.parse((ROOT / module).read_text(encoding="utf-8")))
            assert text is not None, module
            head, _, rest = text.partition("\n\n")
            parts.append(f"### {head.replace(' Sans-IO.', '').replace(' No I/O.', '').rstrip('.')}\n")
            parts.append(f"*[{module}](../../{module})*\n")
            if rest:
                parts.append("\n".join(_markdown(rest.splitlines())) + "\n")
    return "\n".join(parts)


def _markdown(lines: list[str]) -> Iterator[str]:
    """reStructuredText as the docstrings use it: indented lines after `::`, and tables between rules of `=`."""
    at = 0
    while at < len(lines):
        line = lines[at]
        if _RULE.fullmatch(line):
            rules = [index for index in range(at, len(lines)) if _RULE.fullmatch(lines[index])]
            end = rules[2] + 1
            yield from ("```text", *lines[at:end], "```")
            at = end
        elif line.startswith("    "):
            end = next(
                (i for i in range(at, len(lines)) if lines[i] and not lines[i].startswith(" ")), len(lines)
            )
            block = lines[at:end]
            while not block[-1]:
                block.pop()
            yield from ("```text", *(each[4:] for each in block), "```")
            at += len(block)
        else:
            yield "" if line == "::" else line.removesuffix("::") + (":" if line.endswith("::") else "")
            at += 1


def control_api() -> str:
    """docs/reference/control-api.md."""
    source = ast.parse((ROOT / "gateway/control/routes.py").read_text(encoding="utf-8"))
    rows, kinds = [], set[type]()
    for method, path, name in _routes(source):
        asked, answered, sentence = _method(name)
        kinds.update(kind for each in (asked, answered) for kind in _structs(each))
        rows.append(
            f"| `{method} /v{api.API_VERSION}{path}` | {_link(asked)} | {_link(answered)} | {sentence} |"
        )
    parts = [
        "# The control API\n",
        "HTTP with JSON on the Unix socket `control.sock` in the home directory (`overlay status` tells which), or in",
        "in `$XDG_RUNTIME_DIR` or `/tmp` where that path is too long for a socket; only its owner gets in. Made from the code by",
        '`scripts/reference.py`. An error is `{"error": text, "code": word}` with a 4xx or 5xx status; a list is a JSON array.\n',
        "```console",
        "alice$ overlay up          # leave it running",
        "alice$ curl -sS --unix-socket ~/.local/state/overlay/control.sock http://gateway/v1/status",
        '{…"nickname":"alice"…}',
        "```\n",
        "| request | takes | gives | |",
        "|---|---|---|---|",
        *rows,
        "",
        "## Values\n",
    ]
    done: set[type] = set()
    queue = sorted(kinds, key=lambda kind: kind.__name__)
    while queue:
        kind = queue.pop(0)
        if kind in done or not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
            continue
        done.add(kind)
        parts.append(f"### {kind.__name__}\n\n{_sentence(kind.__doc__)}\n")
        comments = _comments(kind)
        for field in msgspec.structs.fields(kind):
            queue += [each for each in _structs(field.type) if each not in done]
            told = f": {comments[field.name]}" if field.name in comments else ""
            parts.append(f"* `{field.encode_name}` ({_type_words(field.type)}){told}")
        parts.append("")
    return "\n".join(parts)


def _routes(source: ast.Module) -> Iterator[tuple[str, str, str]]:
    for node in ast.walk(source):
        if isinstance(node, ast.Tuple) and len(node.elts) == 3:
            method, path, name = node.elts
            if (
                isinstance(method, ast.Constant)
                and isinstance(path, ast.Constant)
                and isinstance(name, ast.Name)
            ):
                yield method.value, path.value, name.id


def _method(name: str) -> tuple[Any, Any, str]:
    """What the method behind a route takes and gives, and what it does."""
    method = getattr(api.Gateway, {"plain_ticket": "ticket", "paths_to": "paths"}.get(name, name), None)
    if method is None:
        return None, None, "The log, as text; `?lines=100&follow=1`." if name == "logs" else ""
    namespace = _words_of_the_api()
    hints = typing.get_type_hints(method, globalns=namespace)
    asked = hints.get("request") if name != "plain_ticket" else None
    return asked, hints.get("return"), _sentence(method.__doc__)


@cache
def _words_of_the_api() -> dict[str, Any]:
    """What annotations in `gateway.control` may name: its modules, and all that they define."""
    modules = {
        each.name: importlib.import_module(f"gateway.control.{each.name}")
        for each in pkgutil.iter_modules(gateway.control.__path__)
    }
    return modules | {name: value for module in modules.values() for name, value in vars(module).items()}


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _link(kind: Any) -> str:
    if kind is None or kind is type(None):
        return ""
    structs = list(_structs(kind))
    if not structs:
        return _type_words(kind)
    name = structs[0].__name__
    return f"[{name}](#{name.lower()}){' …' if typing.get_origin(kind) else ''}"


def _structs(kind: Any) -> Iterator[type]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for each in typing.get_args(kind):
        yield from _structs(each)


def _type_words(kind: Any) -> str:
    """A type as people of any language say it."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _type_words(arguments[0])
    if origin in (tuple, list, set, frozenset):
        return f"list of {_type_words(arguments[0])}" if arguments else "list"
    if origin is dict:
        return f"object of {_type_words(arguments[1])}"
    if origin is typing.Literal:
        return " or ".join(f"`{each}`" for each in arguments)
    if arguments:
        return " or ".join(_type_words(each) for each in arguments)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    words = {
        str: "text",
        int: "integer",
        float: "number",
        bool: "boolean",
        type(None): "null",
        bytes: "base64",
    }
    return words.get(kind, getattr(kind, "__name__", str(kind)))


def _comments(kind: type) -> dict[str, str]:
    """The texts below the fields of a class, its bases' included."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        module = sys.modules.get(base.__module__)
        if not issubclass(base, msgspec.Struct) or module is None or not getattr(module, "__file__", None):
            continue
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == base.__name__:
                for field, text in zip(node.body, node.body[1:], strict=False):
                    if (
                        isinstance(field, ast.AnnAssign)
                        and isinstance(field.target, ast.Name)
                        and isinstance(text, ast.Expr)
                        and isinstance(text.value, ast.Constant)
                    ):
                        found[field.target.id] = _sentence(text.value.value)
    return found


DOCUMENTS: Final = {"protocol.md": protocol, "control-api.md": control_api, "python-api.md": python_api}


def main() -> int:
    """Write them, or tell which are not as the code says."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if one would change")
    is_check = parser.parse_args().check
    stale = []
    for name, make in DOCUMENTS.items():
        path, text = DIRECTORY / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not is_check:
                path.write_text(text, encoding="utf-8")
    print(f"{'stale' if is_check else 'written'}: {', '.join(stale) or 'none'}")
    return 1 if is_check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
