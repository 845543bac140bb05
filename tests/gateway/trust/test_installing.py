"""All stores or none, once or twice, cut off in the middle: with stores that do what the test wants."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.trust.installing import Ledger, Touched, install, remove, status
from gateway.trust.stores import StoreFailed, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable

WANTED = Wanted("overlay-1", b"der", Path("/ca/authority.pem"))


@dataclass
class FakeStore:
    """Keeps certificates in a dictionary."""

    place: str
    kind: str = "firefox"
    kept: dict[str, bytes] = field(default_factory=dict)
    blocked: str = ""
    on_add: Callable[[], None] = lambda: None
    on_remove: Callable[[], None] = lambda: None
    changes: int = 0

    def has(self, label: str) -> bytes | None:
        return self.kept.get(label)

    def obstacle(self) -> str:
        return self.blocked

    def commands(self, wanted: Wanted) -> tuple[str, ...]:
        return (f"add {wanted.label} to {self.place}",)

    def undo_commands(self, label: str) -> tuple[str, ...]:
        return (f"take {label} from {self.place}",)

    def add(self, wanted: Wanted) -> None:
        self.changes += 1
        self.kept[wanted.label] = wanted.der
        self.on_add()

    def remove(self, label: str) -> None:
        self.changes += 1
        self.on_remove()
        del self.kept[label]


def fail() -> None:
    raise StoreFailed("it is full")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "places.json")


def test_it_is_put_everywhere_and_a_second_time_changes_nothing(ledger):
    stores = [FakeStore("a"), FakeStore("b")]
    assert [(r.state, r.changed) for r in install(stores, WANTED, ledger)] == [("trusted", True)] * 2
    assert [(r.state, r.changed) for r in install(stores, WANTED, ledger)] == [("trusted", False)] * 2
    assert [store.changes for store in stores] == [1, 1]
    assert [r.state for r in status(stores, WANTED)] == ["trusted", "trusted"]
    assert [r.changed for r in remove(stores, WANTED.label, ledger)] == [True, True]
    assert [r.changed for r in remove(stores, WANTED.label, ledger)] == [False, False]
    assert ledger.read() == ()
    assert [r.state for r in status(stores, WANTED)] == ["absent", "absent"]


def test_one_that_fails_undoes_those_before_it_and_itself(ledger):
    stores = [FakeStore("a"), FakeStore("b", on_add=fail), FakeStore("c")]
    with pytest.raises(StoreFailed, match="it is full; nothing was changed"):
        install(stores, WANTED, ledger)
    assert [store.kept for store in stores] == [{}, {}, {}]
    assert ledger.read() == ()


def test_those_that_were_there_before_stay_when_one_fails(ledger):
    stores = [FakeStore("a", kept={WANTED.label: WANTED.der}), FakeStore("b", on_add=fail)]
    with pytest.raises(StoreFailed):
        install(stores, WANTED, ledger)
    assert stores[0].kept == {WANTED.label: WANTED.der}


def test_what_cannot_be_undone_is_told_and_remembered(ledger):
    stores = [FakeStore("a", on_remove=fail), FakeStore("b", on_add=fail)]
    with pytest.raises(StoreFailed, match="still there: a"):
        install(stores, WANTED, ledger)
    assert [each.place for each in ledger.read()] == ["a"]


def test_what_we_may_not_change_is_shown(ledger):
    stores = [FakeStore("a", blocked="only root"), FakeStore("b")]
    blocked, done = install(stores, WANTED, ledger)
    assert (blocked.state, blocked.note, blocked.commands) == (
        "by-hand",
        "only root",
        ("add overlay-1 to a",),
    )
    assert done.state == "trusted"
    assert [r.note for r in status(stores, WANTED)] == ["only root", ""]


class Cut(BaseException):
    """The machine goes off."""


def cut() -> None:
    raise Cut


def test_an_installation_that_was_cut_off_is_undone_like_any_other(ledger):
    stores = [FakeStore("a"), FakeStore("b", on_add=cut)]
    with pytest.raises(Cut):
        install(stores, WANTED, ledger)
    assert [each.place for each in ledger.read()] == ["a", "b"]
    remove(stores, None, ledger)  # the authority may be lost by then: the list is enough
    assert [store.kept for store in stores] == [{}, {}]
    assert ledger.read() == ()


def test_removing_goes_on_when_one_does_not_let_go(ledger):
    stores = [FakeStore("a", on_remove=fail), FakeStore("b"), FakeStore("c", blocked="only root")]
    for store in stores:
        store.kept[WANTED.label] = WANTED.der
        ledger.add(Touched(kind=store.kind, place=store.place, label=WANTED.label))
    reports = remove(stores, WANTED.label, ledger)
    assert [r.state for r in reports] == ["failed", "absent", "by-hand"]
    assert reports[0].commands == ("take overlay-1 from a",)
    assert [each.place for each in ledger.read()] == ["a", "c"]


def test_older_ones_and_deleted_profiles_are_forgotten_too(ledger):
    store = FakeStore("a", kept={"overlay-0": b"old", WANTED.label: WANTED.der})
    for place, label in (("a", "overlay-0"), ("a", WANTED.label), ("gone", WANTED.label)):
        ledger.add(Touched(kind="firefox", place=place, label=label))
    remove([store], WANTED.label, ledger)
    assert (store.kept, ledger.read()) == ({}, ())


def test_a_store_that_cannot_be_read_is_told_of(ledger):
    store = FakeStore("a")
    store.has = lambda label: fail()
    assert [(r.state, r.note) for r in status([store], WANTED)] == [("failed", "it is full")]
    assert [r.state for r in remove([store], WANTED.label, ledger)] == ["failed"]


@given(st.binary(max_size=100))
def test_any_bytes_are_a_list_or_none(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("ledger") / "places.json"
    path.write_bytes(data)
    assert isinstance(Ledger(path).read(), tuple)
