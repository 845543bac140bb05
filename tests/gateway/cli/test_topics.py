"""`overlay topic` joins with a manifest, tells how to undo it, and lists who is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway.cli.conftest import Alone, Overlay


async def test_joining_prints_the_undo_line_and_the_other_sides_command(overlay: Overlay) -> None:
    done = await overlay("topic", "join", "chat")
    assert (done.code, done.err) == (0, "")
    assert "chat: is joined." in done.out
    assert f"overlay --home {overlay.home.path} topic leave chat" in done.out
    assert "overlay topic join chat" in done.out
    again = await overlay("topic", "join", "chat")
    assert "was joined before" in again.out


async def test_a_manifest_is_read_from_its_file_and_shown(overlay: Overlay, tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    file.write_text('{"name": "Chat", "version": "1.2", "home_page": "https://chat.example/"}')
    done = await overlay("topic", "join", "chat", "--manifest", str(file))
    assert "Chat 1.2: https://chat.example/" in done.out
    assert (await overlay("topic", "ls", "--json")).json[0]["manifest"]["version"] == "1.2"
    assert "Chat 1.2" in (await overlay("topic")).out


def test_a_manifest_that_cannot_be_used_is_told_in_one_line_before_anything_is_asked(
    alone: Alone, tmp_path: Path
) -> None:
    file = tmp_path / "chat.toml"
    file.write_text("nam = 7")
    done = alone("topic", "join", "chat", "--manifest", str(file))
    assert done.code == 2
    assert "'nam' is no key of a manifest" in done.err
    assert len(done.err.splitlines()) == 1
    done = alone("topic", "join", "chat", "--manifest", str(tmp_path / "none"))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "No such file" in done.err


async def test_peers_are_listed_with_their_apps_and_services(overlay: Overlay) -> None:
    await overlay("topic", "join", "chat")
    done = await overlay("topic", "peers", "chat")
    assert "alice" in done.out
    assert "Chat 1: Talk." in done.out
    assert "chat.alice.overlay" in done.out
    assert "5 s ago" in done.out
    assert [peer["source"] for peer in (await overlay("topic", "peers", "chat", "--json")).json] == [
        "beacon",
        "dht",
    ]
    lonely = await overlay("topic", "peers", "lonely")
    assert (lonely.code, lonely.out) == (0, "")
    assert "Nobody yet" in lonely.err


async def test_leaving_tells_how_to_come_back(overlay: Overlay) -> None:
    await overlay("topic", "join", "chat")
    done = await overlay("topic", "leave", "chat")
    assert f"chat is left; undo: overlay --home {overlay.home.path} topic join chat" in done.out
    refused = await overlay("topic", "leave", "chat", "--json")
    assert refused.code == 2
    assert "is not joined" in refused.err
    assert "No topics yet" in (await overlay("topic", "ls")).err


async def test_sources_that_fail_are_warned_of(overlay: Overlay) -> None:
    done = await overlay("topic", "join", "lonely")
    assert done.err == "warning: beacon: eu1.example is away\n"
    assert "eu1.example is away" in (await overlay("topic", "ls")).err
