"""`overlay contacts export`, `import` and `hosts`."""

from __future__ import annotations

import ipaddress
import shlex
from typing import TYPE_CHECKING

import msgspec

from gateway.cli.importing import hosts_lines
from gateway.control.contacts import ContactReport, ImportRequest
from gateway.control.services import LoopbackReport, OfferReport
from gateway.control.status import StatusReport
from gateway.limits import IMPORT_CONTACTS
from resolver.contact_files import read_contacts
from tests.lab.control_zones import ALICE
from tests.lab.resolver_keys import key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway.cli.conftest import Overlay

BOB = str(key(2).endpoint_id)


async def test_what_is_exported_can_be_imported(overlay: Overlay, tmp_path: Path) -> None:
    alice = msgspec.structs.replace(
        overlay.gateway.book["alice"],
        endpoint_id=BOB,
        typed=("192.0.2.1:7777",),
        path_policy="no-lan",
        groups=("chess", "family"),
    )
    overlay.gateway.book["alice"] = alice
    plain = (await overlay("contacts", "export")).out
    whole = (await overlay("contacts", "export", "--json")).out
    assert read_contacts(plain) == read_contacts(whole)
    file = tmp_path / "contacts"
    for text in (plain, whole):
        file.write_text(text)
        done = await overlay("contacts", "import", str(file))
        assert (done.code, done.out) == (0, "Done: 1 same.\n")
    (asked, _) = overlay.gateway.asked
    assert isinstance(asked, ImportRequest)
    assert asked.contacts[0].addresses == ("192.0.2.1:7777",)
    assert asked.contacts[0].path == "no-lan"
    assert asked.contacts[0].groups == ("chess", "family")


async def test_conflicts_are_told_and_left_unless_the_file_shall_win(
    overlay: Overlay, tmp_path: Path
) -> None:
    file = tmp_path / "contacts"
    file.write_text(f"alice {BOB}\ncarol {key(3).endpoint_id}\ndave {key(4).endpoint_id}\n")
    done = await overlay("contacts", "import", str(file))
    assert done.code == 1
    home = f"overlay --home {overlay.home.path}"
    assert done.out.splitlines() == [
        f"? alice: alice is {ALICE} here",
        "+ carol",
        "+ dave",
        "Done: 2 added, 1 conflict.",
        f"undo: {home} contacts rm carol dave",
    ]
    assert "--replace" in done.err
    done = await overlay("contacts", "import", "--replace", str(file))
    assert done.code == 0
    assert (
        done.out.splitlines()[-1]
        == f"undo: {home} contacts rm carol dave && {home} contacts rename alice old"
    )
    done = await overlay("contacts", "import", "--dry-run", str(file))
    assert "It would be: 2 added, 1 conflict." in done.out
    assert "undo" not in done.out
    assert [request.preview for request in overlay.gateway.asked] == [False, False, True]
    done = await overlay("contacts", "import", "--json", str(file))
    assert [one["outcome"] for one in done.json] == ["conflict", "added", "added"]


async def test_a_large_file_goes_in_portions(overlay: Overlay, tmp_path: Path) -> None:
    file = tmp_path / "contacts"
    file.write_text(
        "".join(f"c{n} {key(n).endpoint_id} 192.0.2.1:1\n" for n in range(1, IMPORT_CONTACTS + 2))
    )
    assert (await overlay("contacts", "import", str(file))).code == 0
    assert [len(request.contacts) for request in overlay.gateway.asked] == [IMPORT_CONTACTS, 1]


async def test_a_file_that_holds_no_contacts_changes_nothing(overlay: Overlay, tmp_path: Path) -> None:
    file = tmp_path / "contacts"
    for data in (b"alice\n", b"{}", b"\xff\xfe"):
        file.write_bytes(data)
        done = await overlay("contacts", "import", str(file))
        assert (done.code, done.err.count("\n")) == (2, 1)
    assert overlay.gateway.asked == []


async def test_several_contacts_are_removed_at_once(overlay: Overlay) -> None:
    overlay.gateway.book["bob"] = ContactReport(petname="bob", endpoint_id=BOB)
    done = await overlay("contacts", "rm", "alice", "bob")
    assert [shlex.split(line)[0] for line in done.out.splitlines()] == ["alice", "bob"]
    assert overlay.gateway.book == {}


def test_a_hosts_file_has_each_name_at_its_address() -> None:
    status = StatusReport(
        version="0",
        endpoint_id="x",
        nickname="me",
        pid=1,
        home="/",
        uptime=0,
        contacts=(
            ContactReport(petname="alice", endpoint_id=ALICE),
            ContactReport(petname="bob", endpoint_id=BOB),
        ),
        loopback=(
            LoopbackReport(name="alice.overlay", ip="127.80.3.1"),
            LoopbackReport(
                name="web.alice.overlay",
                ip="127.80.3.2",
                offers=(OfferReport(service="web", protocol="tcp", port=80, offered=8080),),
            ),
            LoopbackReport(name=f"web.{BOB[::-1]}.overlay", ip="127.80.3.3"),
        ),
    )
    lines = list(hosts_lines(status))
    entries = [line.partition("#")[0].split() for line in lines]
    table = {name: ipaddress.IPv4Address(ip) for ip, *names in filter(None, entries) for name in names}
    assert {name: str(ip) for name, ip in table.items()} == {
        "alice.overlay": "127.80.3.1",
        "web.alice.overlay": "127.80.3.2",
    }, "those of strangers are not in it"
    assert any("port 80 is at 8080" in line for line in lines)
    assert lines[-1].startswith("# bob.overlay has no address yet")


async def test_the_command_prints_it(overlay: Overlay) -> None:
    assert "127.80.3.1  web.alice.overlay  # port 80 is at 8080" in (await overlay("contacts", "hosts")).out


async def test_a_nickname_that_is_another_or_has_changed_is_listed(overlay: Overlay) -> None:
    assert "calls itself" not in (await overlay("contacts", "ls")).out
    overlay.gateway.book["alice"] = msgspec.structs.replace(
        overlay.gateway.book["alice"], nickname="mallory", nickname_before="al"
    )
    assert "mallory, before al" in (await overlay("contacts", "ls")).out
    overlay.gateway.book["alice"] = msgspec.structs.replace(
        overlay.gateway.book["alice"], nickname="\u0430lice\x1b", nickname_before=""
    )
    done = await overlay("contacts", "ls")
    assert "xn--" in done.out
    assert "\x1b" not in done.out
