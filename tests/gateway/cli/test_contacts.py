"""`overlay contacts`: the address book, with an undo line for each change."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from tests.lab.control import ME

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Overlay


async def test_contacts_are_added_listed_renamed_and_removed(overlay: Overlay) -> None:
    done = await overlay("contacts", "add", "dave", ME, "--address", "192.0.2.9:1")
    assert done.out.startswith(f"dave is {ME}; undo: overlay --home {overlay.home.path} contacts rm dave")
    for words in (["contacts"], ["contacts", "ls"]):
        assert [line.split()[0] for line in (await overlay(*words)).out.splitlines()] == [
            "name",
            "alice",
            "dave",
        ]
    assert "dave is now david; undo: " in (await overlay("contacts", "rename", "dave", "david")).out
    assert (await overlay("contacts", "ls", "--json")).json[1]["petname"] == "david"
    done = await overlay("contacts", "rm", "david")
    assert "david is forgotten" in done.out
    assert list(overlay.gateway.book) == ["alice"]


async def test_the_undo_line_of_a_removal_brings_the_contact_back(overlay: Overlay) -> None:
    before = overlay.gateway.book["alice"]
    undo = (await overlay("contacts", "rm", "alice")).out.strip().partition("undo: ")[2]
    assert (await overlay(*shlex.split(undo)[3:])).code == 0
    assert overlay.gateway.book["alice"] == before


async def test_refusals_are_told(overlay: Overlay) -> None:
    done = await overlay("contacts", "add", "alice", ME)
    assert (done.code, done.err) == (2, "overlay: contacts: alice is taken; choose another name\n")
    done = await overlay("contacts", "rm", "nobody")
    assert (done.code, done.err) == (
        2,
        "overlay: contacts: nobody is called nobody; see `overlay contacts`\n",
    )


async def test_an_empty_book_tells_how_to_fill_it(overlay: Overlay) -> None:
    overlay.gateway.book.clear()
    done = await overlay("contacts")
    assert (done.code, done.out) == (0, "")
    assert "join TICKET" in done.err


async def test_which_paths_may_be_used_is_chosen_with_an_undo(overlay: Overlay) -> None:
    done = await overlay("contacts", "path", "alice", "relay-only")
    assert done.code == 0
    assert done.out.startswith("Paths to alice: relay-only; undo: overlay ")
    assert done.out.endswith("contacts path alice default\n"), "nothing was chosen for alice before"
    assert "relay-only" in (await overlay("contacts", "ls")).out
    done = await overlay("contacts", "path", "alice", "no-lan")
    assert done.out.endswith("contacts path alice relay-only\n")
    assert (await overlay("contacts", "path", "alice", "auto", "--json")).json["path_policy"] == "auto"
    assert (await overlay("contacts", "path", "alice", "default", "--json")).json["path_policy"] == ""


async def test_only_policies_there_are_and_only_contacts(overlay: Overlay) -> None:
    done = await overlay("contacts", "path", "alice", "lan")
    assert (done.code, done.out) == (2, "")
    assert "relay-only" in done.err
    done = await overlay("contacts", "path", "carol", "auto")
    assert done.code == 2
    assert "nobody is called carol" in done.err


async def test_no_column_of_paths_where_nobody_has_any(overlay: Overlay) -> None:
    assert "paths" not in (await overlay("contacts", "ls")).out


async def test_contacts_are_put_into_groups_and_taken_out_with_an_undo(overlay: Overlay) -> None:
    await overlay("contacts", "add", "dave", ME)
    home = f"overlay --home {overlay.home.path}"
    done = await overlay("contacts", "group", "add", "family", "alice", "dave")
    assert done.out.splitlines() == [
        "In family: alice, dave.",
        f"undo: {home} contacts group rm family alice dave",
    ]
    again = await overlay("contacts", "group", "add", "family", "dave")
    assert (again.out, again.err) == ("In family: alice, dave.\n", "Nothing has changed by that.\n")
    for words in (["ls"], ["ls", "FAMILY"]):
        assert (await overlay("contacts", "group", *words)).out.splitlines()[1].split() == [
            "family",
            "alice,",
            "dave",
        ]
    assert (await overlay("contacts", "group", "ls", "--json")).json[0]["members"] == ["alice", "dave"]
    assert "family" in (await overlay("contacts", "ls")).out
    done = await overlay("contacts", "rm", "dave")
    assert done.out.strip().endswith(f"&& {home} contacts group add family dave")
    done = await overlay("contacts", "group", "rm", "family", "alice")
    assert done.out.splitlines() == ["In family: nobody.", f"undo: {home} contacts group add family alice"]
    assert (await overlay("contacts", "group", "rm", "family", "alice", "--json")).json["changed"] == []


async def test_groups_that_are_not_there_are_told_with_what_makes_one(overlay: Overlay) -> None:
    done = await overlay("contacts", "group", "ls")
    assert (done.code, done.out) == (0, "")
    assert "contacts group add GROUP NAME" in done.err
    done = await overlay("contacts", "group", "ls", "family")
    assert done.code == 2
    assert "contacts group add family NAME" in done.err
    done = await overlay("contacts", "group", "add", "family", "nobody")
    assert (done.code, done.out) == (2, "")
