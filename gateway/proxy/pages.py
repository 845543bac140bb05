"""Error pages for people: what happened, why, and what to do, as HTML for browsers and as text for everything else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from gateway.http.problems import Problem, answer_bytes, plain_answer

if TYPE_CHECKING:
    from gateway.http.heads import RequestHead

_POLICY: Final = (("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),)

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{what}</title>
<style>
:root {{ color-scheme: light dark; --soft: light-dark(#f1f1ee, #2a2a2c); --faint: light-dark(#6a6a66, #9c9c98); }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 38rem; margin: 14vh auto; padding: 0 1.5rem; }}
h1 {{ font-size: 1.5rem; font-weight: 600; margin: 0 0 .75rem; }}
code {{ background: var(--soft, #8882); padding: .1em .35em; border-radius: 4px; overflow-wrap: anywhere; }}
p {{ overflow-wrap: anywhere; }}
footer {{ color: var(--faint, #888); font-size: .85rem; margin-top: 2.5rem; }}
</style>
</head>
<body>
<main>
<h1>{what}</h1>
<p>{why}</p>
{remedy}</main>
<footer>{status} · said by the overlay gateway on this computer, not by the service</footer>
</body>
</html>
"""


def answer(problem: Problem, head: RequestHead | None, close: bool) -> bytes:
    """A complete response to the request of `head`: a page if it came from a browser, text otherwise."""
    head_only = head is not None and head.method == b"HEAD"
    if head is None or not wants_page(head):
        return plain_answer(problem, close=close, head_only=head_only)
    shown = Problem(problem.status, problem.what, problem.why, problem.remedy, problem.fields + _POLICY)
    body = page(problem).encode("utf-8", "replace")
    return answer_bytes(shown, "text/html; charset=utf-8", body, close=close, head_only=head_only)


def wants_page(head: RequestHead) -> bool:
    """Whether the client names HTML in Accept, which browsers do for pages and curl does not."""
    return any(b"text/html" in value.lower() for value in head.values(b"accept"))


def page(problem: Problem) -> str:
    """The problem as a self-contained HTML page; text in `backquotes` becomes code."""
    remedy = f"<p>{_marked(problem.remedy)}</p>\n" if problem.remedy else ""
    return _PAGE.format(
        what=escape(problem.what), why=_marked(problem.why), remedy=remedy, status=problem.status
    )


def _marked(text: str) -> str:
    parts = escape(text).split("`")
    if len(parts) % 2 == 0:  # an odd backquote, from a host name perhaps
        return escape(text)
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
