"""`overlay invite` and `overlay invites`: what is asked for reaches the daemon, and what it says a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.fake_invites import SERIAL, TAKEN, TEXT, code_report

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Overlay


async def test_in_a_pipe_the_invite_is_the_only_thing_on_stdout(overlay: Overlay) -> None:
    done = await overlay("invite", "--service", "web")
    assert (done.out, done.err) == (f"{TEXT}\n", "")


async def test_what_is_asked_for_is_what_is_made(overlay: Overlay) -> None:
    words = "--service web --service dav --expires 2d --lasts forever --uses 3 --name bob --for ID --delegable --json"
    done = await overlay("invite", *words.split(), "--from", "alice")
    request = overlay.gateway.asked[-1]
    assert (request.services, request.expires_in, request.lasts) == (("web", "dav"), 172800, "forever")
    assert (request.uses, request.name, request.holder, request.depth) == (3, "bob", "ID", 3)
    assert request.source == "alice"
    assert done.json["undo"] == f"overlay invites revoke {SERIAL[:8]}"


@pytest.mark.parametrize(
    "words", ["--uses 0", "--uses 1001", "--expires soon", "--lasts for-ever", "--expires 0d"]
)
async def test_what_makes_no_sense_is_refused(overlay: Overlay, words: str) -> None:
    done = await overlay("invite", *words.split())
    assert (done.code, overlay.gateway.asked) == (2, [])
    assert done.err.count("\n") == 1


async def test_a_service_that_is_not_there_is_told(overlay: Overlay) -> None:
    done = await overlay("invite", "--service", "ssh")
    assert done.code == 2
    assert "no service is called ssh; exposed are: web; first: overlay expose ssh TARGET" in done.err


async def test_on_a_terminal_it_says_what_it_grants_what_they_run_and_how_it_is_undone(
    overlay: Overlay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cli.invites.sys.stdout.isatty", lambda: True)
    done = await overlay("invite", "--service", "web", "--lasts", "forever")
    assert "It grants web until it is revoked; good once before" in done.err
    assert f"They run: overlay join {TEXT}" in done.err
    assert f"Undo: overlay --home {overlay.home.path} invites revoke {SERIAL[:8]}" in done.err
    assert "pass it on as you would a key" in done.err


async def test_a_qr_code_is_printed_in_a_pipe_if_it_is_asked_for(overlay: Overlay) -> None:
    done = await overlay("invite", "--qr")
    assert done.out.startswith(f"{TEXT}\n")
    assert "█" in done.out
    assert "█" in (await overlay("ticket", "--qr")).out


# --- spoken codes -----------------------------------------------------------------------------------------------------


async def test_a_code_is_printed_waited_for_and_told(overlay: Overlay) -> None:
    overlay.gateway.news = iter(
        [
            code_report("waiting"),
            code_report("talking", taker="bob" * 9),
            code_report("passed", taker="BOB", serial=SERIAL),
        ]
    )
    done = await overlay("invite", "--code", "--service", "web")
    assert done.out == "7-guitar-elbow\nPassed to BOB, who alone can take it.\n"
    assert "They run, with the beacon https://eu1.example: overlay join 7-guitar-elbow" in done.err
    assert "bobbobbo… says it" in done.err
    assert f"invites revoke {SERIAL[:8]}" in done.err


@pytest.mark.parametrize(
    ("state", "reason", "code"),
    [
        ("guessed", "mallory… said other words; the code is dead", 20),
        ("expired", "nobody said it in time", 21),
        ("failed", "the beacon went away", 1),
    ],
)
async def test_a_code_that_comes_to_nothing_says_why(
    overlay: Overlay, state: str, reason: str, code: int
) -> None:
    overlay.gateway.news = iter([code_report(state, reason=reason)])
    done = await overlay("invite", "--code")
    assert (done.code, reason in done.err) == (code, True)


async def test_ctrl_c_cancels_the_code(overlay: Overlay, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.control.client.ControlClient.code", interrupted)
    done = await overlay("invite", "--code")
    assert (done.code, overlay.gateway.cancelled) == (130, ["7-guitar-elbow"])
    assert "nobody can use the code any more" in done.err


# --- what there is ----------------------------------------------------------------------------------------------------


async def test_a_list_tells_who_took_what_under_which_name(overlay: Overlay) -> None:
    done = await overlay("invites")
    assert "open 1/2" in done.out
    assert "carol-2 (wanted: carol) by way of bob (gxq7ih8z)" in done.out
    assert "waits for its issuer: alice does not answer" in done.out
    assert (await overlay("invites", "ls", "--json")).json["held"][0]["contact"] == "alice"
    overlay.gateway.invites_are_none = True
    assert "No invites yet" in (await overlay("invites", "ls")).err


async def test_one_is_shown_with_how_it_is_undone(overlay: Overlay) -> None:
    done = await overlay("invites", "show", SERIAL[:4])
    for words in (SERIAL, "grants web", "calls them", "taken 1 of 2 times", f"invites revoke {SERIAL[:8]}"):
        assert words in done.out
    done = await overlay("invites", "show", "fhpy")
    assert "passed on by  carol" in done.out
    assert "passed on as  9xyz" in done.out
    assert "revoke" not in done.out
    assert (await overlay("invites", "show", "fhpy", "--json")).json["state"] == "waiting"
    assert (await overlay("invites", "show", "zzz")).code == 2


async def test_what_others_made_of_an_invite_is_shown_with_it(overlay: Overlay) -> None:
    assert f"{SERIAL}:" in (await overlay("invites", "show", TAKEN.serial)).out


async def test_an_empty_serial_is_told_and_nothing_is_asked(overlay: Overlay) -> None:
    done = await overlay("invites", "revoke", "")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "a name is empty" in done.err


async def test_revoking_tells_whose_grants_have_ended(overlay: Overlay) -> None:
    done = await overlay("invites", "revoke", SERIAL[:4])
    assert done.out.startswith(f"{SERIAL[:8]}… is revoked; what it granted to carol-2")
    assert "carol-2 is still a contact; undo that" in done.err
    assert (await overlay("invites", "revoke", "zzz")).code == 2
