"""Put an authority into all stores, or into none; find it there; take it away again.

What is about to be changed is written down first, so that an installation that was cut off is undone like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.errors import StateError
from gateway.trust.limits import CA_FILE_BYTES, NSS_DATABASES
from gateway.trust.stores import StoreFailed, Wanted
from tunnels.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.trust.stores import Store


class StoreReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """How it is with one store."""

    kind: str
    place: str
    state: Literal["trusted", "absent", "by-hand", "failed"]
    """`by-hand`: we may not change it, and `commands` are what a person types."""
    changed: bool = False
    note: str = ""
    commands: tuple[str, ...] = ()


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """A store that we changed, or were about to."""

    kind: Annotated[str, Meta(max_length=16)]
    place: Annotated[str, Meta(max_length=4096)]
    label: Annotated[str, Meta(max_length=64)]


class Ledger:
    """The list of what was touched, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[Touched, ...]:
        """All of it; StateError if the file cannot be read. What is no list of ours counts as none: stores are asked anyway."""
        try:
            with self._path.open("rb") as file:
                data = file.read(CA_FILE_BYTES * NSS_DATABASES)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StateError(f"ca: {self._path} cannot be read: {error.strerror}") from None
        try:
            return msgspec.json.decode(data, type=tuple[Touched, ...])
        except msgspec.MsgspecError:
            return ()

    def add(self, touched: Touched) -> None:
        """One more."""
        known = self.read()
        if touched not in known:
            self._write((*known, touched))

    def drop(self, touched: Touched) -> None:
        """It is gone."""
        self._write(tuple(each for each in self.read() if each != touched))

    def _write(self, touched: tuple[Touched, ...]) -> None:
        try:
            write_private(self._path, msgspec.json.encode(touched))
        except OSError as error:
            raise StateError(f"ca: {self._path} cannot be written: {error.strerror}") from None


def install(stores: Sequence[Store], wanted: Wanted, ledger: Ledger) -> list[StoreReport]:
    """Trust it everywhere we may. StoreFailed if a store does not take it: then those of this call are as before."""
    reports: list[StoreReport] = []
    changed: list[Store] = []
    try:
        for store in stores:
            if store.has(wanted.label) == wanted.der:
                reports.append(StoreReport(kind=store.kind, place=store.place, state="trusted"))
            elif obstacle := store.obstacle():
                reports.append(
                    StoreReport(
                        kind=store.kind,
                        place=store.place,
                        state="by-hand",
                        note=obstacle,
                        commands=store.commands(wanted),
                    )
                )
            else:
                ledger.add(_touched(store, wanted.label))
                changed.append(store)
                store.add(wanted)
                reports.append(StoreReport(kind=store.kind, place=store.place, state="trusted", changed=True))
    except StoreFailed as error:
        left = [
            report
            for store in reversed(changed)
            if (report := _take(store, wanted.label, ledger)).state == "failed"
        ]
        rest = (
            f"; still there: {', '.join(report.place for report in left)}"
            if left
            else "; nothing was changed"
        )
        raise StoreFailed(f"ca: {error}{rest}") from None
    return reports


def status(stores: Sequence[Store], wanted: Wanted) -> list[StoreReport]:
    """Where it is trusted now."""
    reports = []
    for store in stores:
        note = ""
        try:
            state: Literal["trusted", "absent", "failed"] = (
                "trusted" if store.has(wanted.label) == wanted.der else "absent"
            )
            note = store.obstacle() if state == "absent" else ""
        except StoreFailed as error:
            state, note = "failed", str(error)
        reports.append(StoreReport(kind=store.kind, place=store.place, state=state, note=note))
    return reports


def remove(stores: Sequence[Store], label: str | None, ledger: Ledger) -> list[StoreReport]:
    """Take it away everywhere, as well as older ones that the ledger knows of; go on when one store does not let go."""
    reports: list[StoreReport] = []
    known = ledger.read()
    for store in stores:
        labels = {each.label for each in known if (each.kind, each.place) == (store.kind, store.place)}
        labels |= {label} if label is not None else set()
        reports += [_take(store, each, ledger) for each in sorted(labels)]
    places = {(store.kind, store.place) for store in stores}
    for each in known:
        if (each.kind, each.place) not in places:  # a profile that was deleted
            ledger.drop(each)
    return reports


def _take(store: Store, label: str, ledger: Ledger) -> StoreReport:
    touched = _touched(store, label)
    try:
        if store.has(label) is None:
            ledger.drop(touched)
            return StoreReport(kind=store.kind, place=store.place, state="absent")
        if obstacle := store.obstacle():
            return StoreReport(
                kind=store.kind,
                place=store.place,
                state="by-hand",
                note=obstacle,
                commands=store.undo_commands(label),
            )
        store.remove(label)
    except StoreFailed as error:
        return StoreReport(
            kind=store.kind,
            place=store.place,
            state="failed",
            note=str(error),
            commands=store.undo_commands(label),
        )
    ledger.drop(touched)
    return StoreReport(kind=store.kind, place=store.place, state="absent", changed=True)


def _touched(store: Store, label: str) -> Touched:
    return Touched(kind=store.kind, place=store.place, label=label)
