"""Two looks make a rate; a restart, a new peer and a first look make none."""

from __future__ import annotations

import pytest

from gateway.control.live import LiveReport, PeerLiveReport, ProcessReport
from gateway.rates import SORTS, rates


def look(moment: float, *peers: PeerLiveReport, started: float = 0.0, cpu: float = 0.0) -> LiveReport:
    return LiveReport(
        moment=moment,
        started=started,
        process=ProcessReport(cpu_seconds=cpu),
        peers=peers,
        sent=sum(peer.sent for peer in peers),
        received=sum(peer.received for peer in peers),
    )


def peer(name: str, sent: int, received: int, **more: float | int) -> PeerLiveReport:
    return PeerLiveReport(endpoint_id=name, petname=name, sent=sent, received=received, **more)  # type: ignore[arg-type]


def test_what_moved_between_two_looks_is_a_rate() -> None:
    found = rates(look(10, peer("a", 100, 1000)), look(12, peer("a", 300, 9000), cpu=1.0))
    assert (found.peers[0].up, found.peers[0].down, found.up, found.down) == (100, 4000, 100, 4000)
    assert found.cpu == 0.5


def test_the_first_look_and_the_first_after_a_restart_have_no_rates() -> None:
    after = look(12, peer("a", 300, 9000), started=11)
    for before in (None, look(10, peer("a", 100, 1000)), look(13, peer("a", 0, 0), started=11)):
        found = rates(before, after)
        assert (found.up, found.down, found.cpu, found.peers[0].down) == (0, 0, None, 0)


def test_who_has_just_come_has_no_rate_yet() -> None:
    found = rates(look(10), look(11, peer("a", 300, 9000)))
    assert found.peers[0].down == 0


@pytest.mark.parametrize(
    ("sort", "order"),
    [("rate", "cab"), ("name", "abc"), ("rtt", "bca"), ("bytes", "acb"), ("streams", "bac")],
)
def test_rows_are_sorted_by_what_is_asked_for(sort: str, order: str) -> None:
    before = look(0, peer("a", 900, 0), peer("b", 0, 0), peer("c", 0, 0))
    after = look(1, peer("a", 900, 5), peer("b", 1, 0, rtt=0.1, streams=3), peer("c", 1, 100, rtt=0.2))
    assert "".join(row.name for row in rates(before, after, sort).peers) == order
    assert sort in SORTS
