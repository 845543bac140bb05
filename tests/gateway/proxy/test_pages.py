"""Error pages."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from gateway.http.heads import parse_request
from gateway.http.problems import Problem
from gateway.proxy.pages import answer, page, wants_page

PROBLEM = Problem(
    403, "Not allowed", "alice does not let you use web.", "Ask for `overlay expose web --allow you`."
)
BROWSER = parse_request(
    b"GET http://a/ HTTP/1.1\r\nAccept: text/html,application/xhtml+xml,*/*;q=0.8\r\n\r\n"
)
TOOL = parse_request(b"GET http://a/ HTTP/1.1\r\nAccept: */*\r\n\r\n")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {name for name, _ in attrs} & {"onload", "onclick", "src", "href"}


def tags(text: str) -> list[str]:
    parser = _Tags()
    parser.feed(text)
    return parser.tags


def test_a_browser_gets_html_with_what_why_and_remedy() -> None:
    text = answer(PROBLEM, BROWSER, True).decode()
    assert text.startswith("HTTP/1.1 403 Forbidden\r\n")
    for part in ("Content-Type: text/html; charset=utf-8", "Cache-Control: no-store", "default-src 'none'",
                 "<h1>Not allowed</h1>", "alice does not let", "<code>overlay expose web --allow you</code>"):  # fmt: skip
        assert part in text


def test_a_tool_gets_text() -> None:
    text = answer(PROBLEM, TOOL, False).decode()
    assert "text/plain" in text
    assert text.endswith(
        "Not allowed\nalice does not let you use web.\nAsk for `overlay expose web --allow you`.\n"
    )
    assert "text/plain" in answer(PROBLEM, None, True).decode()


def test_who_wants_a_page_says_so() -> None:
    assert wants_page(BROWSER)
    assert not wants_page(TOOL)


def test_head_gets_no_body() -> None:
    head = parse_request(b"HEAD http://a/ HTTP/1.1\r\nAccept: text/html\r\n\r\n")
    assert answer(PROBLEM, head, True).endswith(b"\r\n\r\n")


@given(st.text(max_size=60))
def test_nothing_a_client_or_an_endpoint_says_becomes_markup(text: str) -> None:
    plain = tags(page(Problem(404, "x", "x", "x")))
    with_text = tags(page(Problem(404, text, text, text)))
    assert [tag for tag in with_text if tag != "code"] == (plain if text else with_text)


def test_markup_in_a_host_is_escaped() -> None:
    text = page(Problem(404, "x", '<script>alert(1)</script>` & "', "`<b>`"))
    assert "<script>" not in text
    assert "<code>&lt;b&gt;</code>" in text
