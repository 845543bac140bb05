"""People are told of the ladder what the gateway would do."""

from __future__ import annotations

from dataclasses import replace

from gateway.answers.ladders import ladder_with, ladders
from tunnels.crossing.description import NetworkClass, Pair
from tunnels.crossing.history import History
from tunnels.crossing.ladder import ladder
from tunnels.crossing.typical import typical

HOME = typical(NetworkClass.PORT_RESTRICTED)


def test_there_is_a_ladder_with_each_kind_of_peer():
    told = ladders(HOME)
    assert [each.peer for each in told] == [str(kind) for kind in NetworkClass]
    assert all(each.rungs[-1].strategy == "relay" for each in told)


def test_a_rung_is_told_with_its_price():
    theirs = typical(NetworkClass.SEQUENTIAL)
    rungs = ladder(Pair(HOME, theirs), History())
    told = ladder_with(Pair(HOME, theirs), "bob", History())
    assert told.peer == "bob"
    assert [
        (each.strategy, each.success, each.seconds, each.datagrams, each.sockets, each.is_direct)
        for each in told.rungs
    ] == [
        (
            rung.strategy.name,
            round(rung.success, 3),
            rung.cost.seconds,
            rung.cost.datagrams,
            rung.cost.sockets,
            rung.is_direct,
        )
        for rung in rungs
    ]
    assert all(each.why for each in told.rungs)


def test_what_worked_before_is_told_first():
    theirs = replace(typical(NetworkClass.SEQUENTIAL), network=b"theirs")
    pair = Pair(replace(HOME, network=b"mine"), theirs)
    attempts = [rung for rung in ladder(pair, History()) if rung.needs_attempt]
    history = History()
    history.note(b"mine", b"theirs", attempts[1].strategy.code, worked=True)
    assert ladder_with(pair, "bob", history).rungs[0].strategy == attempts[1].strategy.name
