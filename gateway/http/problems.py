"""Why an HTTP request was not forwarded, as a value, and the answer that tells it in plain text.

The proxy shows the same problems to browsers as pages; that room is `gateway.proxy.pages`.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong with one request, told to the one who sent it."""

    status: int
    """The HTTP status that says it to machines."""
    what: str
    """A short headline."""
    why: str
    """One or two sentences."""
    remedy: str = ""
    """What the person can do, if anything."""
    fields: tuple[tuple[str, str], ...] = ()
    """Header fields that belong to this answer, such as Proxy-Authenticate."""

    def __str__(self) -> str:
        return " ".join(part for part in (f"{self.what}: {self.why}", self.remedy) if part)


class HttpError(Exception):
    """A message cannot be forwarded; `problem` is the answer. The connection it came on is of no further use."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def bad_request(why: str, *, status: int = 400) -> HttpError:
    """The client broke HTTP's rules, or ours; it is to blame."""
    return HttpError(Problem(status, HTTPStatus(status).phrase, why))


def bad_gateway(why: str) -> HttpError:
    """The service broke HTTP's rules; the client is not to blame."""
    return HttpError(
        Problem(
            502, "The service answered badly", why, "Look at the log of the service; the tunnel to it works."
        )
    )


def answer_bytes(problem: Problem, content_type: str, body: bytes, *, close: bool, head_only: bool) -> bytes:
    """A complete HTTP/1.1 response; `head_only` answers a HEAD request, `close` announces that the connection ends."""
    lines = [
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        *(f"{name}: {value}" for name, value in problem.fields),
    ]
    if close:
        lines.append("Connection: close")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head if head_only else head + body


def plain_answer(problem: Problem, *, close: bool = True, head_only: bool = False) -> bytes:
    """The problem as text/plain."""
    text = "\n".join(part for part in (problem.what, problem.why, problem.remedy) if part) + "\n"
    return answer_bytes(
        problem,
        "text/plain; charset=utf-8",
        text.encode("utf-8", "replace"),
        close=close,
        head_only=head_only,
    )
