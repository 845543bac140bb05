"""Python programs through real gateways, and with one of their own; the examples, as people run them."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

import overlay
import overlay.sync
from tests.lab.gateways import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "examples"
ALONE = {
    "dht.enabled": "off",
    "lan.enabled": False,
    "tunnels.bind": ("127.0.0.1",),
    "tunnels.port_mapping": "off",
}
"""Settings of a gateway inside the program that asks nobody on any network."""


@contextlib.contextmanager
def example(
    name: str, *arguments: str, home: Path | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """One of the examples, with the gateway of `home`."""
    environment = clean_environment() | ({} if home is None else {"OVERLAY_HOME": str(home)})
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=cwd,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        for stream in (process.stdin, process.stdout):
            stream.close()


async def test_streams_go_through_two_gateways(world):
    async with overlay.Endpoint(world.alice.home) as alice, overlay.Endpoint(world.bob.home) as bob:

        async def upper(stream: overlay.Stream) -> None:
            assert stream.peer == overlay.Peer(bob.id, "bob")
            async for line in stream:
                stream.write(line.upper())
                await stream.drain()

        async with alice.listen("talk", upper, allow=["bob"]) as listener:
            assert listener.warnings == ()
            async with await bob.connect("alice", "talk", timeout=20) as stream:
                for word in (b"one\n", b"two\n"):
                    stream.write(word)
                    assert await stream.readline() == word.upper()
                stream.write_eof()
                assert await stream.read() == b""
        with pytest.raises(overlay.NoService):
            await bob.connect("alice", "talk")
        with pytest.raises(overlay.UnknownName, match="nobody is known as carol"):
            await bob.connect("carol", "talk")
        async with alice.listen("private"):
            with pytest.raises(overlay.Forbidden, match="does not let you use it"):
                await bob.connect("alice", "private")


async def test_what_is_cut_off_beyond_the_tunnel_is_no_end(world):
    async with overlay.Endpoint(world.alice.home) as alice, overlay.Endpoint(world.bob.home) as bob:
        async with alice.listen("talk", allow=["bob"]) as listener:
            near = await bob.connect("alice", "talk")
            far = await listener.accept()
            far.write(b"half")
            assert await near.read(10) == b"half"
            await far.abort()
            with pytest.raises(overlay.StreamCut):
                await near.read()
            near.close()


async def test_datagrams_go_through_two_gateways_and_a_refusal_is_told(world):
    async with overlay.Endpoint(world.alice.home) as alice, overlay.Endpoint(world.bob.home) as bob:

        async def echo(datagrams: overlay.Datagrams) -> None:
            async for data in datagrams:
                await datagrams.send(data[::-1])

        async with alice.listen_datagrams("game", echo, allow=["bob"]):
            async with await bob.datagrams("alice", "game") as datagrams:
                for data in (b"abc", b"x" * 5000 + b"y"):
                    await datagrams.send(data)
                    async with asyncio.timeout(20):
                        assert await datagrams.recv() == data[::-1]
        async with await bob.datagrams("alice", "game") as refused:
            async with asyncio.timeout(20):
                await refused.send(b"anybody?")
                with pytest.raises(overlay.StreamCut, match="exposed"):
                    await refused.recv()


async def test_names_invites_and_pings(world):
    async with overlay.Endpoint(world.alice.home) as alice, overlay.Endpoint(world.bob.home) as bob:
        assert (await bob.ping("alice")).path == "LAN"
        assert await bob.resolve("alice") == alice.id == world.alice.id
        assert "bob" in [contact.petname for contact in await alice.contacts()]
        async with alice.listen("party"):
            with pytest.raises(overlay.Forbidden):
                await bob.connect("alice", "party")
            assert (await bob.join(await alice.invite("party"))).petname == "alice"
            stream = await bob.connect("alice", "party")
            stream.close()
            with pytest.raises(overlay.InviteRefused) as refused:
                await bob.join((await alice.invite("party", expires_in=3600))[:-20])
        assert refused.value.code.startswith("invite-")
        with pytest.raises(overlay.InvalidRequest):
            await alice.invite("nothing")


async def test_two_programs_without_any_gateway(tmp_path):
    alice = overlay.Endpoint(standalone=True, settings=ALONE | {"gateway.nickname": "alice"})
    bob = overlay.Endpoint(tmp_path / "bob", standalone=True, settings=ALONE)
    async with alice, bob:
        identity = bob.id
        async with alice.listen("talk") as listener:
            await bob.join(await alice.invite("talk", name="bob"))
            near = await bob.connect("alice", "talk")
            far = await listener.accept()
            assert far.peer.petname == "bob"
            near.write(bytes(3_000_000))
            near.close()
            assert len(await far.read()) == 3_000_000
            far.close()
        place = alice.home
    assert not await asyncio.to_thread(place.exists)
    async with overlay.Endpoint(tmp_path / "bob", standalone=True, settings=ALONE) as again:
        assert again.id == identity
        assert [contact.petname for contact in await again.contacts()] == ["alice"]
        with pytest.raises(overlay.OverlayError, match="another gateway"):
            await overlay.Endpoint(tmp_path / "bob", standalone=True, settings=ALONE).start()


def test_a_program_without_asyncio_may_have_its_own_gateway_too():
    with overlay.sync.Endpoint(standalone=True, settings=ALONE) as me:
        with me.listen("talk", public=True) as listener:
            assert listener.host == f"talk.{me.id}.overlay"
        assert me.contacts() == ()
    with pytest.raises(overlay.NotRunning):
        me.ticket()


def test_the_chat_of_the_examples(world):
    with example("chat.py", "listen", "bob", home=world.alice.home) as alice:
        assert alice.stdout.readline() == "waiting for bob\n"
        with example("chat.py", "call", "alice", home=world.bob.home) as bob:
            bob.stdin.write("good evening\n")
            bob.stdin.flush()
            assert alice.stdout.readline() == "bob: good evening\n"
            alice.stdin.write("come in\n")
            alice.stdin.close()
            assert bob.stdout.readline() == "alice: come in\n"
            bob.stdin.close()
            assert (alice.wait(20), bob.wait(20)) == (0, 0)


def test_the_file_of_the_examples(tmp_path):
    settings = ("dht.enabled=off", "tunnels.port_mapping=off")
    (tmp_path / "letter.txt").write_text("dear bob " * 100_000)
    place = tmp_path / "bob"
    place.mkdir()
    with example("send_file.py", str(tmp_path / "letter.txt"), *settings) as sender:
        link = sender.stdout.readline().strip()
        with example("send_file.py", link, *settings, cwd=place) as receiver:
            assert receiver.stdout.readline() == "received letter.txt\n"
            assert (sender.wait(20), receiver.wait(20)) == (0, 0)
    assert (place / "letter.txt").read_text() == (tmp_path / "letter.txt").read_text()


async def test_the_web_server_of_the_examples(world):
    with example("web_server.py", home=world.alice.home) as server:
        await asyncio.to_thread(server.stdout.readline)
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                async with session.get(
                    "http://hello.alice.overlay/", proxy=f"http://{world.bob.listens('proxy')}"
                ) as answer:
                    assert await answer.text() == "Hello, bob!\n"


def test_what_the_document_shows_is_what_is_run():
    document = (EXAMPLES.parent / "docs/howto/programs.md").read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f"```python\n{path.read_text(encoding='utf-8')}```" in document, path.name
