"""Taking an invite: shown first, asked about, taken; where nobody can be asked, nothing is used up."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from gateway.cli.joining import Kind, kind_of
from tests.lab.fake_invites import TEXT

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Overlay


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("overlay:i1abc", Kind.INVITE),
        ("<OVERLAY:I1ABC>", Kind.INVITE),
        ("i1abc", Kind.INVITE),
        ("overlay:i2abc", Kind.INVITE),
        ("7-guitar-elbow", Kind.CODE),
        ("7 guitar elbow", Kind.CODE),
        (" 12 - Guitar - elbow", Kind.CODE),
        ("7-guitar", Kind.CODE),
        ("overlay:t1abc", Kind.TICKET),
        ("nonsense", Kind.TICKET),
        ("alice", Kind.TICKET),
        ("", Kind.TICKET),
    ],
)
def test_a_text_is_what_it_says_that_it_is(text: str, kind: Kind) -> None:
    assert kind_of(text) is kind


async def test_a_script_takes_an_invite_without_being_asked(overlay: Overlay) -> None:
    done = await overlay("join", TEXT, "--yes", "--name", "anna")
    assert [request.preview for request in overlay.gateway.asked] == [True, False]
    for words in (
        "An invite of alice (yryyyyyy",
        "web until",
        "good once",
        "calls you",
        "your nickname me",
        "is now called anna.",
        "http://web.alice.overlay/",
        "web.alice.overlay at 127.80.3.1:8080",
        f"overlay --home {overlay.home.path} contacts rm anna",
    ):
        assert words in done.out


@pytest.mark.parametrize("words", [("overlay:i1abc",), ("overlay:i1abc", "--json"), ("7-guitar-elbow",)])
async def test_without_a_terminal_nothing_is_taken_and_no_code_is_said(overlay: Overlay, words) -> None:
    done = await overlay("join", *words)
    assert (done.code, overlay.gateway.asked) == (2, [])
    assert "look at it with --preview, take it with --yes" in done.err


async def test_a_preview_changes_nothing(overlay: Overlay) -> None:
    done = await overlay("join", "--preview", TEXT)
    assert "An invite of alice" in done.out
    assert "is now called" not in done.out
    assert [request.preview for request in overlay.gateway.asked] == [True]
    assert (await overlay("join", "--preview", "--json", TEXT)).json["state"] == "preview"


@pytest.mark.parametrize(("answer", "code", "taken"), [("y\n", 0, 2), ("n\n", 130, 1), ("\n", 130, 1)])
async def test_on_a_terminal_the_person_is_asked(
    overlay: Overlay, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, taken: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("gateway.cli.joining.sys.stdout.isatty", lambda: True)
    done = await overlay("join", TEXT)
    assert (done.code, len(overlay.gateway.asked)) == (code, taken)
    assert "Take it? [y/N]" in done.out
    assert ("Nothing was changed." in done.err) is (taken == 1)


async def test_an_issuer_that_is_away_is_told_of(overlay: Overlay) -> None:
    overlay.gateway.answers_late = True
    done = await overlay("join", TEXT, "-y")
    assert (
        "cannot be reached now (it does not answer); the invite is shown to it as soon as it can" in done.err
    )
    assert done.code == 0


async def test_an_invite_that_is_used_is_told_with_its_own_code(overlay: Overlay) -> None:
    overlay.gateway.is_used = True
    done = await overlay("join", TEXT, "-y")
    assert (done.code, "somebody has taken it; ask for a new one" in done.err) == (13, True)
    assert '"code": "invite-used"' in (await overlay("join", TEXT, "-y", "--json")).err


async def test_a_code_is_said_and_what_it_gives_taken(overlay: Overlay) -> None:
    done = await overlay("join", "7-guitar-elbow", "--yes", "--beacon", "https://eu1.example")
    said, *taken = overlay.gateway.asked
    assert (said.code, said.beacon) == ("7-guitar-elbow", "https://eu1.example")
    assert [request.invite for request in taken] == [TEXT, TEXT]
    assert "is now called alice." in done.out
    assert (await overlay("join", "8", "guitar", "elbow", "--yes")).code == 21


async def test_what_a_code_gave_is_not_lost_when_it_is_not_taken(overlay: Overlay) -> None:
    overlay.gateway.is_used = True
    done = await overlay("join", "7-guitar-elbow", "--yes")
    assert done.code == 13
    assert f"can be taken with: overlay --home {overlay.home.path} join {TEXT}" in done.err
    done = await overlay("join", "7-guitar-elbow", "--preview")
    assert f"take what it gave with: overlay --home {overlay.home.path} join {TEXT}" in done.err
