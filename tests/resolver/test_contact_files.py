"""Contacts as a file."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.contact_files import JsonContacts, ListedContact, contact_lines, read_contacts
from resolver.errors import InvalidContacts
from resolver.limits import CONTACT_ADDRESSES, CONTACT_FILE_CHARACTERS, CONTACT_GROUPS, CONTACTS
from tests.lab.resolver_keys import key

ALICE, BOB = str(key(1).endpoint_id), str(key(2).endpoint_id)
BOOK = (
    ListedContact("alice", ALICE, ("192.0.2.1:7777", "[2001:db8::1]:1"), "no-lan"),
    ListedContact("bob", BOB, groups=("chess", "family")),
)


def test_both_forms_read_back() -> None:
    assert read_contacts("\n".join(contact_lines(BOOK))) == BOOK
    assert read_contacts(msgspec.json.encode(JsonContacts(BOOK)).decode()) == BOOK
    assert read_contacts(f"# mine\n\n  ALICE {ALICE.upper()} # at home\n") == (ListedContact("alice", ALICE),)
    assert read_contacts("") == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("alice", "line 1: a contact is its petname and its id"),
        (f"\nalice {ALICE[:-1]}", "line 2:"),
        (f"ali_ce {ALICE}", "line 1: 'ali_ce' contains '_'"),
        (f"\u0430lice {ALICE}", "only letters a-z"),
        (f"alice {ALICE} nowhere", "line 1:"),
        (f"alice {ALICE} path=sideways", "path is one of"),
        (f"alice {ALICE} groups=a,b_c", "line 1: 'b_c' contains '_'"),
        (
            f"alice {ALICE} groups=" + ",".join("a" * n for n in range(1, CONTACT_GROUPS + 2)),
            "groups; a contact may be in",
        ),
        (f"alice {ALICE}\nalice {BOB}", "line 2: this petname or this id stands in the file before"),
        (f"alice {ALICE}\nbob {ALICE}", "line 2: this petname or this id stands in the file before"),
        ("{", "no contacts as"),
        ('{"contacts": [{"petname": "a"}]}', "no contacts as"),
        ('{"version": 2, "contacts": []}', "version 2; this overlay reads 1"),
        (" {" * 100_000, "no contacts as"),
        ("#" * (CONTACT_FILE_CHARACTERS + 1), "characters; split it"),
        (f"alice {ALICE}" + " 192.0.2.1:1" * (CONTACT_ADDRESSES + 1), f"may have {CONTACT_ADDRESSES}"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, says: str) -> None:
    with pytest.raises(InvalidContacts) as caught:
        read_contacts(text)
    assert says in str(caught.value)


def test_a_full_book_is_read_and_one_more_is_refused() -> None:
    lines = [f"c{number} {key(number).endpoint_id}" for number in range(1, CONTACTS + 2)]
    assert len(read_contacts("\n".join(lines[:-1]))) == CONTACTS
    with pytest.raises(InvalidContacts, match=f"more than {CONTACTS} contacts"):
        read_contacts("\n".join(lines))


@given(st.text(max_size=200))
def test_any_file_is_read_or_refused(text: str) -> None:
    for each in (text, "{" + text, '{"contacts": [' + text + "]}"):
        with contextlib.suppress(InvalidContacts):
            read_contacts(each)
