"""What contacts are called: whoever suggests a name, none is taken over, and address books travel as files."""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import socket
import subprocess
from typing import TYPE_CHECKING

from tests.lab.gateways import OVERLAY, GatewayProcess, clean_environment, running
from tests.lab.resolver_keys import key

if TYPE_CHECKING:
    from pathlib import Path

STRANGER = str(key(77).endpoint_id)


def on_terminal(gateway: GatewayProcess, typed: str, *words: str) -> str:
    """What `overlay …` says on a terminal where somebody types this."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [OVERLAY, "--home", str(gateway.home), *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=clean_environment(),
    ) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        seen = b""
        while select.select([ours], [], [], 20)[0]:
            try:
                seen += os.read(ours, 4096)
            except OSError:  # the program has ended, and with it the other side
                break
        os.close(ours)
        assert process.wait(20) == 0, seen
    return seen.decode()


def test_a_name_that_is_taken_or_looks_like_another_is_asked_about(tmp_path: Path) -> None:
    with running(
        GatewayProcess(tmp_path / "bob", nickname="bob"),
        GatewayProcess(tmp_path / "alice", nickname="alice"),
        GatewayProcess(tmp_path / "mallory", nickname="a1ice"),
    ) as (bob, alice, mallory):
        ticket, lookalike = (each.json("ticket")["ticket"] for each in (alice, mallory))

        # What is suggested: taken, without anybody who could be asked.
        bob.run("contacts", "add", "alice", STRANGER)
        done = bob.run("join", ticket, check=False)
        assert done.returncode == 2
        assert f"alice already is {STRANGER}; choose another name, such as alice-2" in done.stderr
        assert [one["petname"] for one in bob.json("contacts", "ls")] == ["alice"]

        # The same on a terminal, where the suggestion is taken with Enter.
        said = on_terminal(bob, "\n", "join", ticket)
        assert "[alice-2]" in said
        assert "is now called alice-2." in said
        bob.run("contacts", "rm", "alice")
        bob.run("contacts", "rename", "alice-2", "alice")

        # A name that others chose is no lookalike without a question; one's own is told.
        done = bob.run("join", lookalike, check=False)
        assert done.returncode == 2
        assert f"it calls itself a1ice, which looks like alice, and that is {alice.id}" in done.stderr
        done = bob.run("join", lookalike, "--name", "a1ice")
        assert f"a1ice looks like alice, which is {alice.id}" in done.stderr
        done = bob.run("contacts", "rename", "a1ice", "mallory")
        assert "looks like" not in done.stderr
        for command in shlex.split(done.stdout.partition("undo: ")[2])[3:], ["contacts", "rm", "a1ice"]:
            bob.run(*command)

        # A nickname that changes renames nothing, and is told.
        alice.stop()
        alice = GatewayProcess(tmp_path / "alice", nickname="mom")
        with running(alice):
            bob.run("join", alice.json("ticket")["ticket"])
            (known,) = bob.json("contacts", "ls")
            assert (known["petname"], known["nickname"], known["nickname_before"]) == (
                "alice",
                "mom",
                "alice",
            )
            assert "mom, before alice" in bob.run("contacts", "ls").stdout
            assert any("alice now calls itself mom" in warning for warning in bob.json("status")["warnings"])
            assert "mom (it was alice when it became a contact)" in bob.run("whois", "alice").stdout
            bob.run("contacts", "rename", "alice", "mother")
            assert bob.json("contacts", "ls")[0]["nickname_before"] == "", "it was seen"


def test_an_address_book_travels_as_a_file_and_replaces_nothing_unasked(tmp_path: Path) -> None:
    with running(
        GatewayProcess(tmp_path / "one", nickname="one"),
        GatewayProcess(
            tmp_path / "two", nickname="two", config=f'[contacts.fixed]\nid = "{key(50).endpoint_id}"\n'
        ),
    ) as (one, two):
        ids = [str(key(number).endpoint_id) for number in range(100, 175)]
        for number, endpoint_id in enumerate(ids[:3]):
            one.run("contacts", "add", f"c{number}", endpoint_id, "--address", f"192.0.2.{number}:7")
        one.run("contacts", "path", "c0", "no-lan")
        file = tmp_path / "book.txt"
        file.write_text(one.run("contacts", "export").stdout)
        assert "3 added" in two.run("contacts", "import", str(file)).stdout
        assert "3 same" in two.run("contacts", "import", str(file)).stdout
        wanted = [
            (c["petname"], c["endpoint_id"], c["typed"], c["path_policy"]) for c in one.json("contacts", "ls")
        ]
        got = [
            (c["petname"], c["endpoint_id"], c["typed"], c["path_policy"]) for c in two.json("contacts", "ls")
        ]
        assert got[:3] == wanted

        file.write_text(f"c0 {ids[10]}\nother {ids[1]}\nfixed {ids[11]}\nnew {ids[12]}\n")
        before = two.json("contacts", "ls")
        done = two.run("contacts", "import", "--dry-run", str(file), check=False)
        assert done.returncode == 1
        assert two.json("contacts", "ls") == before
        done = two.run("contacts", "import", str(file), check=False)
        assert f"? c0: c0 is {ids[0]} here" in done.stdout
        assert f"? other: {ids[1]} is called c1 here" in done.stdout
        assert "? fixed: [contacts.fixed] of the configuration says otherwise" in done.stdout
        assert "1 added, 3 conflict" in done.stdout
        after = {c["petname"]: c["endpoint_id"] for c in two.json("contacts", "ls")}
        assert after == {c["petname"]: c["endpoint_id"] for c in before} | {"new": ids[12]}
        done = two.run("contacts", "import", "--replace", str(file), check=False)
        assert done.returncode == 1, "the configuration says otherwise all the same"
        after = {c["petname"]: c["endpoint_id"] for c in two.json("contacts", "ls")}
        assert (after["c0"], after["other"], after["fixed"]) == (ids[10], ids[1], str(key(50).endpoint_id))
        for command in done.stdout.splitlines()[-1].removeprefix("undo: ").split(" && "):
            two.run(*shlex.split(command)[3:])
        assert two.json("contacts", "ls")[0]["path_policy"] == "no-lan"
        assert {c["petname"]: c["endpoint_id"] for c in two.json("contacts", "ls")} == {
            c["petname"]: c["endpoint_id"] for c in before
        } | {"new": ids[12]}

        file.write_text(
            json.dumps({"contacts": [{"petname": f"n{n}", "id": each} for n, each in enumerate(ids[3:])]})
        )
        done = two.run("contacts", "import", str(file), check=False)
        assert "71 added, 1 conflict" in done.stdout, "in several portions"


def test_a_hosts_file_leads_to_the_services(world) -> None:
    """Each line is an address, names, and perhaps a comment (hosts(5)); what it says is where the services are."""
    world.bob.run("resolve", "web.alice")
    table: dict[str, str] = {}
    for line in world.bob.run("contacts", "hosts").stdout.splitlines():
        words = line.partition("#")[0].split()
        table.update(dict.fromkeys(words[1:], words[0]) if words else {})
    resolved = world.bob.json("resolve", "web.alice")
    assert table["web.alice.overlay"] == resolved["ip"]
    with socket.create_connection(
        (table["web.alice.overlay"], resolved["offers"][0]["offered"]), 10
    ) as client:
        client.sendall(b"GET / HTTP/1.0\r\nHost: web.alice.overlay\r\n\r\n")
        client.settimeout(20)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    assert b"Hello from alice" in answer
