"""Which user of this machine is at the other end of a TCP connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway import local_users
from gateway.local_users import LocalUsers

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = 65534
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


class Pretended(asyncio.BaseTransport):
    """The server's end of a connection from `peer` to `here`."""

    def __init__(self, peer: object, here: object) -> None:
        super().__init__({"peername": peer, "sockname": here})


def line(near: str, far: str, *, uid: int, inode: int, state: str = "01") -> str:
    return f"   0: {near} {far} {state} 00000000:00000000 00:00000000 00000000  {uid:4}        0 {inode} 1 0 20 4 30 10 -1\n"


def proc(directory: Path, tcp: str = "", tcp6: str | None = "") -> Path:
    (directory / "tcp").write_text(HEAD + tcp)
    if tcp6 is not None:
        (directory / "tcp6").write_text(HEAD + tcp6)
    return directory


FROM_5001 = Pretended(("127.0.0.1", 5001), ("127.0.0.1", 7399))
needs_little_endian = pytest.mark.skipif(
    sys.byteorder != "little", reason="the lines below are little-endian"
)


@contextlib.asynccontextmanager
async def served(host: str, users: LocalUsers):
    """A port that answers each connection with whether it is admitted."""

    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"yes" if users.admits(writer.transport) else b"no")
        writer.close()

    server = await asyncio.start_server(answer, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


CLIENT = """
import encodings.idna, os, socket, sys  # nothing can be imported from a home of root's later
if int(sys.argv[3]): os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[3]))
print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 10).recv(9).decode())
"""


async def asked_by(uid: int, host: str, port: int) -> str:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-ISc", CLIENT, host, str(port), str(uid if uid != os.getuid() else 0)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("listens", "asks"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("127.0.0.1", "::ffff:127.0.0.1")]
)
async def test_our_own_user_is_admitted(listens, asks):
    async with served(listens, LocalUsers()) as port:
        assert await asked_by(os.getuid(), asks, port) == "yes"


@pytest.mark.needs("root")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_another_user_is_not_admitted_unless_all_are(host):
    async with served(host, LocalUsers()) as port:
        assert await asked_by(NOBODY, host, port) == "no"
    async with served(host, LocalUsers("all")) as port:
        assert await asked_by(NOBODY, host, port) == "yes"


async def test_who_asks_and_closes_at_once_is_not_taken_for_root():
    """A socket that its process has closed is listed as root's."""
    admitted: list[bool] = []
    answered = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the other end is closed
        admitted.append(LocalUsers().admits(writer.transport))
        writer.close()
        answered.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()):
        pass
    await asyncio.wait_for(answered.wait(), 10)
    server.close()
    await server.wait_closed()
    assert admitted == [False]


@needs_little_endian
def test_the_owner_of_the_very_socket_counts(tmp_path):
    mine = line("0100007F:1389", "0100007F:1CE7", uid=os.getuid(), inode=7)
    assert LocalUsers(proc=proc(tmp_path, mine)).admits(FROM_5001)
    for other in (
        line("0100007F:1389", "0100007F:1CE7", uid=NOBODY, inode=7),
        line("0100007F:1389", "0100007F:1CE7", uid=0, inode=0, state="06"),  # nobody's any more
        line("0100007F:1389", "0100007F:1CE8", uid=0, inode=7),  # to another port
        line("0200007F:1389", "0100007F:1CE7", uid=0, inode=7),  # from another address
        line("0100007F:1CE7", "0100007F:1389", uid=0, inode=7),  # our own end
        "garbage 0100007F:1389 0100007F:1CE7 \n",
        "",
    ):
        assert not LocalUsers(proc=proc(tmp_path, other)).admits(FROM_5001)


@needs_little_endian
def test_a_socket_that_waits_to_be_forgotten_does_not_hide_a_new_one_of_the_same_ports(tmp_path):
    old = line("0100007F:1389", "0100007F:1CE7", uid=0, inode=0, state="06")
    new = line("0100007F:1389", "0100007F:1CE7", uid=os.getuid(), inode=9)
    assert LocalUsers(proc=proc(tmp_path, old + new)).admits(FROM_5001)


@needs_little_endian
def test_ipv6_and_ipv4_by_an_ipv6_socket_are_found(tmp_path):
    six, mapped = "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"
    lines = line(f"{six}:1389", f"{six}:1CE7", uid=os.getuid(), inode=7)
    lines += line(f"{mapped}:138A", f"{mapped}:1CE7", uid=os.getuid(), inode=8)
    users = LocalUsers(proc=proc(tmp_path, tcp6=lines))
    assert users.admits(Pretended(("::1", 5001, 0, 0), ("::1", 7399, 0, 0)))
    assert users.admits(Pretended(("127.0.0.1", 5002), ("127.0.0.1", 7399)))
    assert users.admits(Pretended(("::ffff:127.0.0.1", 5002, 0, 0), ("::ffff:127.0.0.1", 7399, 0, 0)))
    assert not users.admits(FROM_5001)


def test_other_machines_come_in_only_if_all_may(tmp_path):
    """Wherever the port listens: a machine elsewhere has no user of ours."""
    remote = Pretended(("192.0.2.9", 5001), ("192.0.2.1", 7399))
    assert not LocalUsers(proc=proc(tmp_path)).admits(remote)
    assert not LocalUsers(proc=tmp_path / "none").admits(remote)
    assert LocalUsers("all", proc=proc(tmp_path)).admits(remote)


def test_without_ipv6_there_is_one_list_less(tmp_path):
    assert not LocalUsers(proc=proc(tmp_path, tcp6=None)).admits(FROM_5001)


def test_where_it_cannot_be_told_who_connects_all_are_let_in_and_that_is_said(tmp_path, monkeypatch):
    assert LocalUsers(proc=tmp_path).admits(FROM_5001)
    assert "does not tell" in LocalUsers(proc=tmp_path).note
    proc(tmp_path)
    assert LocalUsers(proc=tmp_path).note == ""
    monkeypatch.setattr(local_users.sys, "platform", "darwin")
    assert LocalUsers(proc=tmp_path).admits(FROM_5001)
    assert "does not tell" in LocalUsers(proc=tmp_path).note


def test_all_is_said_too():
    assert "every user" in LocalUsers("all").note


@pytest.mark.parametrize("transport", [None, Pretended(None, None), Pretended("", "/run/socket")])
def test_who_has_gone_or_is_no_tcp_connection_is_not_admitted(transport):
    assert not LocalUsers().admits(transport)
