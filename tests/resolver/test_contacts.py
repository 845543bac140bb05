"""The address book."""

import base64
import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.contacts import AddressBook, Contact
from resolver.errors import ContactConflict, ContactNotFound, InvalidName, InvalidState, LimitReached
from resolver.limits import CONTACT_GROUPS
from resolver.names import Petname, check_petname
from tests.lab.resolver_keys import NOW, key, packet
from tunnels.addresses import Address

HERE = Address.parse("192.0.2.1:7777")
THERE = Address.parse("[2001:db8::1]:7777")


def contact(petname: str, number: int, **more: object) -> Contact:
    return Contact(Petname(petname), key(number).endpoint_id, **more)  # type: ignore[arg-type]


def book(*contacts: Contact) -> AddressBook:
    return AddressBook(contacts)


def test_a_contact_is_found_by_petname_in_any_case_and_by_id() -> None:
    alice = contact("alice", 1)
    contacts = book(alice, contact("bob", 2))
    assert contacts.find("ALICE") == contacts.find_id(key(1).endpoint_id) == contacts.get("alice") == alice
    assert contacts.find("carol") is contacts.find_id(key(3).endpoint_id) is None


def test_contacts_are_listed_by_petname() -> None:
    assert [one.petname for one in book(contact("zoe", 1), contact("adam", 2))] == ["adam", "zoe"]


def test_an_unknown_petname_is_answered_with_the_nearest() -> None:
    contacts = book(contact("alice", 1))
    with pytest.raises(ContactNotFound, match="no contact is called alcie; did you mean alice"):
        contacts.get("alcie")
    with pytest.raises(ContactNotFound, match="see: overlay contacts ls"):
        contacts.get("zzz")


def test_a_petname_that_means_another_endpoint_is_refused_with_the_remedy() -> None:
    contacts = book(contact("alice", 1))
    with pytest.raises(
        ContactConflict, match=f"alice already is {key(1).endpoint_id}.*overlay contacts rm alice"
    ):
        contacts.add(contact("alice", 2))
    assert contacts.find_id(key(2).endpoint_id) is None


def test_an_endpoint_that_has_another_petname_is_refused_with_the_remedy() -> None:
    contacts = book(contact("alice", 1))
    with pytest.raises(ContactConflict, match=r"already is alice.*overlay contacts rename alice bob"):
        contacts.add(contact("bob", 1))
    assert contacts.find("bob") is None


def test_adding_the_same_contact_again_adds_its_addresses_and_keeps_the_newest_record() -> None:
    old, new = packet(signed_at=NOW), packet(signed_at=NOW + 1)
    contacts = book(contact("alice", 1, addresses=(HERE,), packet=new, added_at=5.0))
    kept = contacts.add(contact("alice", 1, addresses=(THERE, HERE), packet=old, added_at=9.0))
    assert kept == contact("alice", 1, addresses=(THERE, HERE), packet=new, added_at=5.0)
    assert contacts.get("alice") == kept


def test_removing_a_contact_frees_its_petname_and_id() -> None:
    contacts = book(contact("alice", 1))
    assert contacts.remove("Alice") == contact("alice", 1)
    contacts.add(contact("alice", 2))
    contacts.add(contact("bob", 1))
    with pytest.raises(ContactNotFound):
        contacts.remove("carol")


def test_renaming_keeps_everything_but_the_petname() -> None:
    alice = contact("alice", 1, addresses=(HERE,), packet=packet())
    contacts = book(alice, contact("bob", 2))
    renamed = contacts.rename("alice", "Alicia")
    assert renamed == replace(alice, petname="alicia")
    assert contacts.find("alice") is None
    assert contacts.find_id(key(1).endpoint_id) == renamed
    assert contacts.rename("alicia", "alicia") == renamed


def test_renaming_to_what_is_taken_or_forbidden_changes_nothing() -> None:
    contacts = book(contact("alice", 1), contact("bob", 2))
    with pytest.raises(ContactConflict, match="bob already is"):
        contacts.rename("alice", "bob")
    with pytest.raises(InvalidName, match="reserved"):
        contacts.rename("alice", "localhost")
    with pytest.raises(ContactNotFound):
        contacts.rename("carol", "dave")
    assert [one.petname for one in contacts] == ["alice", "bob"]


def test_addresses_typed_by_hand_can_be_replaced() -> None:
    contacts = book(contact("alice", 1, addresses=(HERE,)))
    assert contacts.set_addresses("alice", (THERE, THERE)).addresses == (THERE,)
    assert contacts.set_addresses("alice", ()).addresses == ()


def test_only_a_newer_record_of_a_contact_is_learnt() -> None:
    contacts = book(contact("alice", 1))
    first, second = packet(signed_at=NOW), packet(signed_at=NOW + 1)
    assert contacts.learn(second)
    assert not contacts.learn(first)
    assert not contacts.learn(second)
    assert not contacts.learn(packet(2))
    assert contacts.get("alice").packet == second


def test_the_book_is_bounded_and_a_full_one_still_updates_its_contacts() -> None:
    contacts = AddressBook(tuple(contact(f"c{number}", number) for number in range(1, 5)), limit=4)
    with pytest.raises(LimitReached, match="holds 4 contacts; remove one first"):
        contacts.add(contact("more", 9))
    contacts.add(contact("c1", 1, addresses=(HERE,)))
    assert len(contacts) == 4


def test_addresses_of_one_contact_are_bounded() -> None:
    many = tuple(Address.parse(f"192.0.2.1:{port}") for port in range(1, 18))
    with pytest.raises(LimitReached, match="alice has 17 addresses"):
        contact("alice", 1, addresses=many)


def test_a_record_of_another_endpoint_is_no_part_of_a_contact() -> None:
    with pytest.raises(ValueError, match="another endpoint"):
        contact("alice", 1, packet=packet(2))


def test_a_book_reads_back_from_its_json() -> None:
    contacts = book(
        contact("alice", 1, addresses=(HERE, THERE), packet=packet(), added_at=NOW), contact("bob", 2)
    )
    read = AddressBook.from_json(json.loads(json.dumps(contacts.to_json())))
    assert list(read) == list(contacts)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda saved: [], "Expected `object`"),
        (lambda saved: saved | {"version": 2}, "version 2; this overlay reads 1, so upgrade"),
        (lambda saved: saved | {"contacts": 1}, r"\$\.contacts"),
        (
            lambda saved: saved | {"contacts": [{"id": "x"}]},
            r"missing required field `petname`.*contacts\[0\]",
        ),
        (lambda saved: saved | {"contacts": [saved["contacts"][0] | {"extra": 1}]}, "unknown field `extra`"),
        (
            lambda saved: saved | {"contacts": [saved["contacts"][0] | {"petname": "a b"}]},
            r"contacts\[0\] \(a b\)",
        ),
        (lambda saved: saved | {"contacts": [saved["contacts"][0] | {"id": "abc"}]}, "52 characters, not 3"),
        (
            lambda saved: saved | {"contacts": [saved["contacts"][0] | {"addresses": ["x"]}]},
            "'x' is not an address",
        ),
        (lambda saved: saved | {"contacts": [saved["contacts"][0] | {"record": "?"}]}, "not base64"),
        (lambda saved: saved | {"contacts": [saved["contacts"][0] | {"record": "AAAA"}]}, "cut short"),
        (
            lambda saved: saved | {"contacts": saved["contacts"] + [saved["contacts"][0] | {"petname": "b"}]},
            "already is",
        ),
    ],
)
def test_damaged_json_is_refused_with_the_place_that_is_wrong(change, says: str) -> None:
    saved = book(contact("alice", 1, packet=packet())).to_json()
    with pytest.raises(InvalidState, match=says) as error:
        AddressBook.from_json(change(saved))
    assert "\n" not in str(error.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["version", "contacts", "petname", "id", "record"]), inner, max_size=4
        )
    ),
)


@given(
    json_values
    | st.fixed_dictionaries({"version": st.just(1), "contacts": st.lists(json_values, max_size=3)})
)
def test_any_json_is_a_book_or_an_invalid_state(saved: object) -> None:
    for trusted in (False, True):
        with contextlib.suppress(InvalidState):
            AddressBook.from_json(saved, trusted=trusted)


@pytest.mark.parametrize(
    ("nickname", "expected"),
    [
        ("Alice", "alice-2"),
        ("Alice's laptop", "alice-s-laptop"),
        ("Zoë", "zo"),
        (None, "peer"),
        ("日本", "peer"),
        ("--", "peer"),
        ("localhost", "localhost-2"),
        ("xn--a", "xn-a"),
        ("x" * 80, "x" * 50),
    ],
)
def test_a_free_petname_is_suggested(nickname: str | None, expected: str) -> None:
    assert book(contact("alice", 1)).suggest(nickname) == expected


@given(st.text(max_size=80) | st.none())
def test_every_suggestion_is_an_allowed_and_free_petname(nickname: str | None) -> None:
    contacts = book()
    for number in range(1, 4):
        suggested = contacts.suggest(nickname)
        assert check_petname(suggested) == suggested
        contacts.add(contact(suggested, number))


def test_the_paths_that_may_be_used_are_chosen_for_each_contact_and_saved() -> None:
    book = AddressBook((Contact(check_petname("alice"), key(1).endpoint_id),))
    assert book.get("alice").path == ""
    book.set_path("ALICE", "relay-only")
    assert AddressBook.from_json(book.to_json()).get("alice").path == "relay-only"
    with pytest.raises(ContactNotFound):
        book.set_path("bob", "auto")
    with pytest.raises(ValueError, match="'lan' is none of auto, direct-only, relay-only, no-lan"):
        book.set_path("alice", "lan")  # type: ignore[arg-type]


def test_a_renamed_contact_and_one_that_is_added_again_keep_their_choice_of_paths() -> None:
    book = AddressBook((Contact(check_petname("alice"), key(1).endpoint_id, path="no-lan"),))
    book.rename("alice", "al")
    book.add(Contact(check_petname("al"), key(1).endpoint_id))
    assert book.get("al").path == "no-lan"


def test_a_file_of_our_own_is_read_without_checking_each_signature_again() -> None:
    contacts = book(contact("alice", 1, packet=packet()), contact("bob", 2))
    saved = json.loads(json.dumps(contacts.to_json()))
    assert list(AddressBook.from_json(saved, trusted=True)) == list(contacts)
    forged = bytearray(packet().to_bytes())
    forged[-1] ^= 1
    saved["contacts"][0]["record"] = base64.b64encode(forged).decode()
    with pytest.raises(InvalidState, match="was not signed by"):
        AddressBook.from_json(saved)
    assert AddressBook.from_json(saved, trusted=True).get("alice").packet != packet()
    for record, says in (("AAAA", "104 to 1104 bytes"), ("?", "not base64")):
        saved["contacts"][0]["record"] = record
        with pytest.raises(InvalidState, match=says):
            AddressBook.from_json(saved, trusted=True)


def test_a_copy_changes_by_itself() -> None:
    first = book(contact("alice", 1))
    second = first.copy()
    second.add(contact("bob", 2))
    second.remove("alice")
    assert [each.petname for each in first] == ["alice"]
    assert [each.petname for each in second] == ["bob"]
    assert first.find_id(key(1).endpoint_id) is not None
    assert second.find_id(key(1).endpoint_id) is None


def test_a_petname_that_looks_like_another_is_found_and_never_suggested() -> None:
    contacts = book(contact("alice", 1), contact("modem", 2))
    for petname, like in (("a1ice", "alice"), ("aiice", "alice"), ("rnodem", "modem")):
        found = contacts.lookalike(petname)
        assert found is not None
        assert found.petname == like
    assert contacts.lookalike("alice") is None, "it is itself"
    assert contacts.lookalike("bob") is None
    assert contacts.lookalike("a1ice", besides=key(1).endpoint_id) is None
    assert contacts.suggest("a1ice") == "a1ice-2"
    before = contacts.copy()
    contacts.rename("alice", "carol")
    assert contacts.lookalike("a1ice") is None
    assert before.lookalike("a1ice") is not None, "a copy is its own"
    contacts.add(contact("a1ice", 3))
    contacts.remove("a1ice")
    assert contacts.lookalike("alice") is None


def test_what_it_called_itself_is_kept_until_it_gets_another_petname() -> None:
    contacts = book(replace(contact("alice", 1), nickname="al"))
    assert AddressBook.from_json(contacts.to_json()).get("alice").nickname == "al"
    assert contacts.rename("alice", "carol").nickname == "al"
    assert contacts.rename("carol", "dave", nickname="robert").nickname == "robert"
    saved = contacts.to_json()
    del saved["contacts"][0]["nickname"]
    assert AddressBook.from_json(saved).get("dave").nickname == "", "as older ones are saved"


def test_contacts_are_in_groups_until_they_are_taken_out_or_removed() -> None:
    contacts = book(contact("alice", 1), contact("bob", 2))
    assert contacts.set_groups("alice", ["Family", "chess", "family"]).groups == ("chess", "family")
    contacts.set_groups("bob", ["family"])
    contacts.rename("bob", "robert")
    contacts.add(contact("alice", 1, addresses=(HERE,)))
    again = AddressBook.from_json(json.loads(json.dumps(contacts.to_json())))
    for each in (contacts, again):
        assert {group: [one.petname for one in members] for group, members in each.groups().items()} == {
            "chess": ["alice"],
            "family": ["alice", "robert"],
        }
    contacts.set_groups("alice", [])
    contacts.remove("robert")
    assert contacts.groups() == {}


def test_groups_are_written_as_petnames_are_and_bounded() -> None:
    contacts = book(contact("alice", 1))
    for group in ("", "two words", "a.b", "x" * 64, str(key(2).endpoint_id)):
        with pytest.raises(InvalidName):
            contacts.set_groups("alice", [group])
    most = [f"g{number}" for number in range(CONTACT_GROUPS)]
    contacts.set_groups("alice", most)
    with pytest.raises(LimitReached, match="overlay contacts group rm GROUP alice"):
        contacts.set_groups("alice", [*most, "one-more"])
    assert contacts.get("alice").groups == tuple(sorted(most)), "nothing has changed"
    saved = contacts.to_json()
    saved["contacts"][0]["groups"] = ["two words"]
    with pytest.raises(InvalidState, match="alice"):
        AddressBook.from_json(saved)
