"""The same without asyncio: sockets, timeouts, files."""

from __future__ import annotations

import asyncio
import threading

import pytest

import overlay
import overlay.sync


def serve(listener: overlay.sync.Listener) -> threading.Thread:
    """Answer each caller's line in capitals, or cut it off."""

    def run() -> None:
        for sock in listener:
            with sock:
                line = sock.makefile("rb").readline()
                sock.sendall(line.upper())
                if line == b"cut\n":
                    sock.abort()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


async def in_thread(act, desk) -> None:
    await asyncio.to_thread(act, desk.home.path)


async def test_streams_are_sockets(desk):
    def act(home) -> None:
        with overlay.sync.Endpoint(home) as me:
            with me.listen("talk", public=True) as listener:
                thread = serve(listener)
                with me.connect("me", "talk", timeout=10) as sock:
                    sock.settimeout(10)
                    sock.sendall(b"hello\n")
                    assert sock.makefile("rb").read() == b"HELLO\n"
                    assert sock.peer.name == "me"
                with me.connect("me", "talk") as sock:
                    sock.settimeout(0.1)
                    with pytest.raises(TimeoutError):
                        sock.recv(1)
                    sock.sendall(b"\n")
            thread.join(10)
            assert not thread.is_alive()

    await in_thread(act, desk)


async def test_what_is_cut_off_is_no_end(desk):
    def act(home) -> None:
        with overlay.sync.Endpoint(home) as me, me.listen("talk", public=True) as listener:
            thread = serve(listener)
            with me.connect("me", "talk") as sock:
                sock.sendall(b"cut\n")
                with pytest.raises(overlay.StreamCut):
                    sock.makefile("rb").read()
            listener.close()
            thread.join(10)

    await in_thread(act, desk)


async def test_datagrams_have_timeouts(desk):
    def answer(listener: overlay.sync.DatagramListener) -> None:
        with listener.accept_datagrams(timeout=10) as far:
            far.settimeout(10)
            far.send(far.recv() + far.recv())
            with pytest.raises(overlay.Closed):
                far.recv()

    def act(home) -> None:
        with overlay.sync.Endpoint(home) as me, me.listen_datagrams("game", public=True) as listener:
            thread = threading.Thread(target=answer, args=(listener,))
            thread.start()
            with me.datagrams("me", "game", timeout=10) as near:
                near.settimeout(10)
                near.send(b"one")
                near.send(b"two")
                assert near.recv() == b"onetwo"
                with pytest.raises(overlay.InvalidRequest):
                    near.send(bytes(70_000))
            thread.join(10)
            assert not thread.is_alive()

    await in_thread(act, desk)


async def test_nobody_calls_within_the_timeout(desk):
    def act(home) -> None:
        with overlay.sync.Endpoint(home) as me, me.listen("talk", public=True) as listener:
            with pytest.raises(TimeoutError):
                listener.accept(timeout=0.05)

    await in_thread(act, desk)


def test_what_is_not_started_says_so(tmp_path):
    me = overlay.sync.Endpoint(tmp_path)
    for ask in (me.contacts, lambda: me.connect("alice", "web")):
        with pytest.raises(overlay.NotRunning, match="not started"):
            ask()
    with pytest.raises(overlay.NotRunning, match=r"start it with `overlay .*up`"):
        me.start()
    me.close()
