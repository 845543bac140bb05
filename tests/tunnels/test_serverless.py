"""Who waits echoes and answers; who dials summons: two sides joined by raw sockets in memory."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from tunnels import limits, serverless
from tunnels.addresses import Address, BeaconUrl, RelayAddress
from tunnels.calling import OPENER
from tunnels.errors import ConfigurationError
from tunnels.identity import SecretKey
from tunnels.nat import pwnat
from tunnels.paths.candidates import Candidate, CandidateKind
from tunnels.serverless import OFF, ON, Serverless

ALICE, BOB = (SecretKey(bytes([seed]) * 32).endpoint_id for seed in (1, 2))
TARGETS = ip_address("192.0.2.1"), ip_address("100::1")
HOME, HOME6 = Address.parse("203.0.113.10:41641"), Address.parse("[2001:db8::10]:41641")
BOUND = Address.parse("0.0.0.0:7777"), Address.parse("[::]:7777")


class FakeIcmp:
    """What `RawIcmp` is, with a list for the network."""

    refuses = ""

    def __init__(self, version, received) -> None:
        if self.refuses:
            raise ConfigurationError(self.refuses)
        self.version, self.received = version, received
        self.sent: list[tuple] = []
        self.is_closed = False

    def send(self, message, to, source=None) -> bool:
        self.sent.append((message, to, source))
        return True

    def close(self) -> None:
        self.is_closed = True


class Side:
    """One endpoint's, and what it sent."""

    def __init__(self, endpoint_id, *, targets=TARGETS, own=()) -> None:
        self.openers: list[tuple] = []
        self.it = Serverless(
            endpoint_id,
            targets,
            bound=lambda: BOUND,
            candidates=lambda: tuple(Candidate(Address.parse(one), CandidateKind.HOST) for one in own),
            send=lambda datagram, to: self.openers.append((datagram, to)),
        )
        self.it.start()

    def sent(self, version: int = 4) -> list[tuple]:
        return self.it._sockets[version].sent

    def summonses(self, version: int = 4) -> list[tuple]:
        return [one for one in self.sent(version) if one[0][0] == pwnat.TIME_EXCEEDED[version]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(serverless, "RawIcmp", FakeIcmp)
    monkeypatch.setattr(limits, "PWNAT_AFTER", 0.01)
    monkeypatch.setattr(limits, "PWNAT_AGAIN", 0.01)
    monkeypatch.setattr(limits, "PWNAT_OPENERS", (0.0, 0.01, 0.02))


@pytest.fixture
async def sides():
    made: list[Side] = []

    def make(*arguments, **options) -> Side:
        made.append(Side(*arguments, **options))
        return made[-1]

    yield make
    for side in made:
        side.it.close()


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - of another side's doing there is no event
            await asyncio.sleep(0.005)


async def test_where_it_is_off_nothing_is_sent(sides):
    side = sides(ALICE, targets=())
    side.it.summon(BOB, [HOME], lambda: False)
    side.it.network_changed()
    await asyncio.sleep(0.05)
    assert side.it.state == OFF
    assert side.it.missing is None
    assert not side.it._sockets


async def test_where_raw_sockets_are_refused_it_says_why_and_nothing_is_sent(sides, monkeypatch):
    monkeypatch.setattr(FakeIcmp, "refuses", "it needs raw sockets")
    side = sides(ALICE)
    side.it.summon(BOB, [HOME], lambda: False)
    await asyncio.sleep(0.05)
    assert side.it.state == "it needs raw sockets"
    assert side.it.missing == "pwnat stays off: it needs raw sockets"


async def test_who_waits_echoes_at_once_and_again_and_in_a_new_network(sides, monkeypatch):
    monkeypatch.setattr(limits, "PWNAT_ECHO_EVERY", 0.02)
    side = sides(ALICE)
    assert side.it.state == ON
    ((message, to, source),) = side.sent()
    assert (message[0], to, source) == (pwnat.ECHO[4], TARGETS[0], None)
    await until(lambda: len(side.sent()) >= 3)
    monkeypatch.setattr(limits, "PWNAT_ECHO_EVERY", 1000)
    side.it.network_changed()
    count = len(side.sent())
    side.it.network_changed()
    assert len(side.sent()) == count + 1


async def test_for_ipv6_each_public_address_of_ours_echoes(sides):
    side = sides(
        ALICE, own=("[2001:db8::10]:7777", "[fd00::1]:7777", "192.168.1.10:7777", "[2001:db8::11]:7777")
    )
    assert [str(source) for _, _, source in side.sent(6)] == ["2001:db8::10", "2001:db8::11"]


@pytest.mark.parametrize(
    ("version", "home", "dialler"), [(4, HOME, "198.51.100.7"), (6, HOME6, "2001:db8:1::7")]
)
async def test_a_summons_makes_who_waits_send_openers_to_the_dialler(sides, version, home, dialler):
    alice, bob = sides(ALICE), sides(BOB)
    bob.it.summon(ALICE, [home], lambda: bool(bob.summonses(version)))
    await until(lambda: bob.summonses(version))
    (message, to, _) = bob.summonses(version)[0]
    assert to == home.ip
    alice.it._sockets[version].received(message, ip_address(dialler))
    await until(lambda: len(alice.openers) == len(limits.PWNAT_OPENERS))
    assert set(alice.openers) == {(OPENER, Address.of(dialler, BOUND[0].port))}
    await asyncio.sleep(0.05)
    assert len(alice.openers) == len(limits.PWNAT_OPENERS)
    assert len(bob.summonses(version)) == 1, "it was over then"


async def test_a_dialler_that_knows_where_its_nat_shows_it_says_so(sides):
    alice, bob = sides(ALICE), sides(BOB, own=("192.168.8.10:7777", "203.0.113.99:5555"))
    bob.it.summon(ALICE, [HOME], lambda: False)
    await until(bob.summonses)
    alice.it._sockets[4].received(bob.summonses()[0][0], ip_address("192.168.8.10"))
    await until(lambda: alice.openers)
    assert alice.openers[0][1] == Address.parse("203.0.113.99:5555")


async def test_a_dial_that_succeeds_by_itself_summons_nobody(sides):
    side = sides(BOB)
    side.it.summon(ALICE, [HOME], lambda: True)
    await asyncio.sleep(0.05)
    assert not side.summonses()


async def test_only_public_addresses_are_summoned_and_not_too_many(sides):
    side = sides(BOB)
    beacon = RelayAddress(BeaconUrl.parse("https://beacon.example"), ALICE)
    private = [Address.parse(text) for text in ("192.168.1.1:7", "127.0.0.1:7", "224.0.0.1:7")]
    public = [Address.parse(f"203.0.113.{number}:7777") for number in range(20)]
    side.it.summon(ALICE, [beacon, *private, *public, *public], lambda: bool(side.summonses()))
    await until(side.summonses)
    assert [to for _, to, _ in side.summonses()] == [one.ip for one in public[: limits.PWNAT_PLACES]]


async def test_however_many_are_dialled_summonses_are_few(sides):
    side = sides(BOB)
    for number in range(50):
        side.it.summon(ALICE, [Address.parse(f"203.0.113.{number}:7777")], lambda: False)
    begun = asyncio.get_running_loop().time()
    await asyncio.sleep(0.5)
    seconds = asyncio.get_running_loop().time() - begun
    assert len(side.summonses()) >= limits.PWNAT_SUMMONSES_PER_SECOND
    assert len(side.summonses()) <= limits.PWNAT_SUMMONSES_PER_SECOND * (1 + seconds) + 1


async def test_after_the_end_nothing_is_sent(sides, monkeypatch):
    monkeypatch.setattr(limits, "PWNAT_ECHO_EVERY", 0.01)
    side = sides(BOB)
    sockets = list(side.it._sockets.values())
    side.it.summon(ALICE, [HOME], lambda: False)
    side.it.close()
    counts = [len(one.sent) for one in sockets]
    await asyncio.sleep(0.05)
    assert [len(one.sent) for one in sockets] == counts
    assert all(one.is_closed for one in sockets)
