"""Which contacts lend a relay, as records and contacts come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.lenders import Lenders
from gateway.limits import LENT_RELAYS
from tests.lab.resolver_keys import key
from tunnels.addresses import BeaconUrl

if TYPE_CHECKING:
    from tunnels.identity import EndpointId

IDS = [key(number).endpoint_id for number in range(20)]
URLS = [BeaconUrl("https", f"192.0.2.{number}", 7443, IDS[number]) for number in range(20)]


class Known:
    """What records say, and what the lenders made of it."""

    def __init__(self) -> None:
        self.lent: dict[EndpointId, BeaconUrl] = {}
        self.asked: list[EndpointId] = []
        self.told: list[tuple[BeaconUrl, ...]] = []
        self.lenders = Lenders(self._lent_by, lambda: self.told.append(self.lenders.relays))

    def _lent_by(self, endpoint_id: EndpointId) -> BeaconUrl | None:
        self.asked.append(endpoint_id)
        return self.lent.get(endpoint_id)


def test_what_contacts_lend_is_told_when_it_changes_and_only_then():
    known = Known()
    known.lent = {IDS[1]: URLS[1], IDS[2]: URLS[2]}
    known.lenders.contacts_changed(IDS[:3])
    known.lenders.contacts_changed(IDS[:3])
    known.lenders.learned(IDS[1])
    assert known.told == [(URLS[1], URLS[2])]
    known.lent[IDS[0]] = URLS[0]
    known.lenders.learned(IDS[0])
    assert known.lenders.relays == (URLS[0], URLS[1], URLS[2])
    del known.lent[IDS[1]]
    known.lenders.learned(IDS[1])
    known.lenders.contacts_changed(IDS[1:3])
    assert known.told[1:] == [tuple(URLS[:3]), (URLS[0], URLS[2]), (URLS[2],)]


def test_what_strangers_lend_counts_for_nothing():
    known = Known()
    known.lent = {IDS[1]: URLS[1]}
    known.lenders.learned(IDS[1])
    assert known.lenders.relays == ()
    assert known.asked == []


def test_only_new_contacts_are_looked_up():
    known = Known()
    known.lenders.contacts_changed(IDS[:3])
    known.lenders.contacts_changed(IDS[:4])
    assert known.asked == IDS[:4]


def test_no_more_than_a_few_are_fallen_back_on():
    known = Known()
    known.lent = dict(zip(IDS, URLS, strict=True))
    known.lenders.contacts_changed(IDS)
    assert known.lenders.relays == tuple(URLS[:LENT_RELAYS])


def test_what_strangers_lend_is_told_apart_from_what_contacts_do():
    known = Known()
    known.lent = {IDS[1]: URLS[1]}
    known.lenders.contacts_changed(IDS[1:2])
    known.lenders.strangers_found((URLS[7],))
    known.lenders.strangers_found((URLS[7],))
    assert known.lenders.relays == (URLS[1],)
    assert known.lenders.strangers == (URLS[7],)
    assert len(known.told) == 2
