"""Where an endpoint is: all sources at once."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from resolver import limits
from resolver.client import Finding, ResolverClient
from resolver.discovery.base import Scope
from resolver.errors import BadSignature, DiscoveryError, RecordExpired
from resolver.record_cache import CachedRecord, KeptPacket, RecordCache
from resolver.signed_packets import SignedPacket
from tests.lab.resolver_keys import NOW, key, packet, record
from tests.lab.resolver_sources import FakeSource
from tunnels.addresses import Address, BeaconUrl, RelayAddress
from tunnels.identity import EndpointId

ALICE = key(1).endpoint_id
HERE = Address.parse("192.0.2.1:7777")
THERE = Address.parse("192.0.2.2:7777")
OLD = packet(signed_at=NOW, addresses=(str(HERE),))
NEW = packet(signed_at=NOW + 1, addresses=(str(THERE),))


def client(
    *sources: FakeSource,
    typed: tuple[Address, ...] = (),
    seconds: float = 5,
    kept: tuple[SignedPacket, ...] = (),
    on_learned: Callable[[CachedRecord], None] = lambda _: None,
    interfaces: tuple[str, ...] = (),
) -> ResolverClient:
    return ResolverClient(
        sources,
        RecordCache(),
        typed_addresses=lambda endpoint_id: typed,
        clock=lambda: NOW,
        kept=lambda endpoint_id: tuple(map(given, kept)),
        on_learned=on_learned,
        interfaces=lambda: interfaces,
        seconds=seconds,
    )


def given(packet: SignedPacket) -> KeptPacket:
    """As a ticket that was given to us the day before."""
    return KeptPacket(packet, "ticket", NOW - 86400, Scope.GIVEN)


def findings(resolver: ResolverClient, endpoint_id: EndpointId = ALICE) -> dict[str, Finding]:
    return {one.source: one.finding for one in resolver.explain(endpoint_id).findings}


async def test_the_first_valid_record_answers_and_the_newest_is_kept() -> None:
    fast, slow = FakeSource("fast", OLD), FakeSource("slow", NEW, waits=True)
    resolver = client(fast, slow)
    assert await resolver.addresses_of(ALICE) == (HERE,)
    assert findings(resolver) == {"fast": Finding.FOUND, "slow": Finding.ASKING}
    slow.release.set()
    kept = await resolver.refresh(ALICE)
    assert kept is not None
    assert (kept.packet, kept.source) == (NEW, "slow")
    assert await resolver.addresses_of(ALICE) == (THERE,)
    await resolver.close()


async def test_a_known_record_is_used_without_asking_anybody() -> None:
    source = FakeSource("dht", NEW)
    resolver = client(source)
    resolver.learn(OLD, "ticket")
    assert await resolver.addresses_of(ALICE) == (HERE,)
    kept = await resolver.record_of(ALICE)
    assert kept is not None
    assert kept.source == "ticket"
    assert source.asked == []


async def test_typed_addresses_come_first_and_nobody_is_waited_for() -> None:
    slow = FakeSource("slow", NEW, waits=True)
    resolver = client(slow, typed=(HERE,))
    assert await resolver.addresses_of(ALICE) == (HERE,)
    assert slow.asked == []  # the search has been started and has not had its turn
    slow.release.set()
    await resolver.refresh(ALICE)
    assert await resolver.addresses_of(ALICE) == (HERE, THERE)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope.LOCAL, ["[fe80::1%eth0]:7777", "[fe80::1%wlan0]:7777", "192.0.2.1:7777", "169.254.1.1:7777"]),
        (Scope.PUBLIC, ["[fe80::1]:7777", "192.0.2.1:7777", "169.254.1.1:7777"]),
    ],
)
async def test_a_link_local_address_that_was_heard_is_looked_for_on_each_local_network(
    scope: Scope, expected: list[str]
) -> None:
    resolver = client(interfaces=("eth0", "wlan0"))
    told = packet(addresses=("[fe80::1]:7777", "192.0.2.1:7777", "169.254.1.1:7777"))
    resolver.learn(told, "somebody", scope=scope)
    assert list(map(str, await resolver.addresses_of(ALICE))) == expected


async def test_a_zone_that_others_name_is_not_believed_and_interfaces_are_bounded() -> None:
    names = tuple(f"eth{number}" for number in range(limits.LAN_LINKS + 1))
    resolver = client(interfaces=names)
    resolver.learn(packet(addresses=("[fe80::1%lo]:7777",)), "local network", scope=Scope.LOCAL)
    assert list(map(str, await resolver.addresses_of(ALICE))) == [
        f"[fe80::1%{name}]:7777" for name in names[: limits.LAN_LINKS]
    ]


async def test_an_address_known_twice_is_given_once() -> None:
    resolver = client(typed=(HERE,))
    resolver.learn(OLD, "ticket")
    assert await resolver.addresses_of(ALICE) == (HERE,)


async def test_nobody_knowing_anything_is_no_address() -> None:
    assert await client().addresses_of(ALICE) == ()
    resolver = client(FakeSource("one"), FakeSource("two"))
    assert await resolver.addresses_of(ALICE) == ()
    assert await resolver.record_of(ALICE) is None
    assert findings(resolver) == {"one": Finding.NOTHING, "two": Finding.NOTHING}


@pytest.mark.parametrize(
    ("found", "finding", "detail"),
    [
        (DiscoveryError("the beacon is down"), Finding.FAILED, "the beacon is down"),
        (OSError("no route"), Finding.FAILED, "no route"),
        (BadSignature("forged"), Finding.REFUSED, "forged"),
        (packet(2), Finding.REFUSED, f"its record is of another endpoint, {key(2).endpoint_id.short}…"),
        (packet(1, seconds=-5), Finding.REFUSED, "expired on"),
        (None, Finding.NOTHING, ""),
    ],
)
async def test_a_source_that_fails_harms_nobody_and_is_explained(
    found, finding: Finding, detail: str
) -> None:
    resolver = client(FakeSource("bad", found), FakeSource("good", OLD))
    assert await resolver.addresses_of(ALICE) == (HERE,)
    await resolver.close()
    explained = resolver.explain(ALICE)
    assert explained.cached is not None
    assert explained.cached.source == "good"
    bad, good = explained.findings
    assert (bad.finding, good.finding, good.timestamp) == (finding, Finding.FOUND, OLD.timestamp)
    assert detail in bad.detail
    assert bad.seconds >= 0


async def test_a_slow_source_is_given_up() -> None:
    resolver = client(FakeSource("slow", OLD, waits=True), seconds=0.01)
    assert await resolver.addresses_of(ALICE) == ()
    assert findings(resolver) == {"slow": Finding.TOO_SLOW}


async def test_all_who_ask_at_once_share_one_search() -> None:
    source = FakeSource("dht", OLD, waits=True)
    resolver = client(source)
    asking = [asyncio.get_running_loop().create_task(resolver.addresses_of(ALICE)) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    source.release.set()
    assert await asyncio.gather(*asking[1:]) == [(HERE,)] * 4
    assert source.asked == [ALICE]


async def test_searches_and_their_explanations_are_bounded() -> None:
    source = FakeSource("dht", waits=True)
    resolver = client(source, typed=(HERE,))
    for number in range(limits.CONCURRENT_SEARCHES + 10):
        await resolver.addresses_of(EndpointId(number.to_bytes(32)))
    assert f"{limits.CONCURRENT_SEARCHES} searches" in repr(resolver)
    assert await resolver.record_of(ALICE) is None
    source.release.set()
    for number in range(limits.EXPLAINED_SEARCHES + 10):
        await resolver.refresh(EndpointId(number.to_bytes(32)))
    assert len(resolver._findings) == limits.EXPLAINED_SEARCHES


async def test_closing_frees_those_who_wait() -> None:
    resolver = client(FakeSource("slow", OLD, waits=True))
    asking = asyncio.get_running_loop().create_task(resolver.addresses_of(ALICE))
    await asyncio.sleep(0)
    await resolver.close()
    assert await asking == ()


async def test_a_record_that_came_by_itself_is_kept_unless_it_cannot_be_used() -> None:
    resolver = client()
    assert resolver.learn(NEW, "ticket").packet == NEW
    with pytest.raises(RecordExpired):
        resolver.learn(packet(2, seconds=-1), "ticket")


async def test_the_relays_of_a_record_come_after_its_addresses() -> None:
    beacons = (BeaconUrl.parse("https://eu1.example"), BeaconUrl.parse("https://us1.example"))
    resolver = client(typed=(THERE,))
    resolver.learn(replace(record(), relays=beacons).sign(key(1)), "ticket")
    assert await resolver.addresses_of(ALICE) == (
        THERE,
        HERE,
        RelayAddress(beacons[0], ALICE),
        RelayAddress(beacons[1], ALICE),
    )


async def test_what_is_kept_on_disk_answers_at_once_and_sources_are_asked_beside_it() -> None:
    slow = FakeSource("beacon", NEW, waits=True)
    resolver = client(slow, kept=(OLD,))
    assert await resolver.addresses_of(ALICE) == (HERE,)
    slow.release.set()
    await resolver.refresh(ALICE)
    assert await resolver.addresses_of(ALICE) == (THERE, HERE), "the ticket's addresses stay, last"
    assert slow.asked == [ALICE]


async def test_a_kept_record_that_has_expired_or_is_damaged_counts_for_nothing() -> None:
    resolver = client(kept=(packet(signed_at=NOW - 7200),))
    assert await resolver.addresses_of(ALICE) == ()
    assert resolver.known(ALICE) is None


async def test_a_known_record_is_looked_for_again_but_not_at_every_dial() -> None:
    source, time = FakeSource("beacon", OLD), [NOW]
    resolver = ResolverClient((source,), RecordCache(), typed_addresses=lambda _: (), clock=lambda: time[0])
    for _ in range(5):
        await resolver.addresses_of(ALICE)
    assert source.asked == [ALICE]
    time[0] += limits.RECORD_FRESH_SECONDS
    await resolver.addresses_of(ALICE)
    await resolver.refresh(ALICE)
    assert source.asked == [ALICE, ALICE]


async def test_looking_again_waits_for_nobody_and_asks_once_in_a_while_even_if_nothing_is_found() -> None:
    now = [NOW]
    source = FakeSource("beacon", None)
    resolver = ResolverClient((source,), RecordCache(), typed_addresses=lambda _: (), clock=lambda: now[0])
    for _ in range(3):
        resolver.look_again(ALICE)
        await resolver.refresh(ALICE) if not source.asked else await asyncio.sleep(0)
    assert source.asked == [ALICE]
    now[0] += limits.RECORD_FRESH_SECONDS
    source.found = NEW
    resolver.look_again(ALICE)
    await resolver.refresh(ALICE)
    assert source.asked == [ALICE, ALICE]
    assert resolver.known(ALICE) is not None
    await resolver.close()


async def test_news_is_told_once_and_old_news_never() -> None:
    told = []
    resolver = client(FakeSource("beacon", NEW), on_learned=lambda cached: told.append(cached.packet))
    resolver.learn(OLD, "ticket")
    await resolver.refresh(ALICE)
    await resolver.refresh(ALICE)
    resolver.learn(OLD, "ticket")
    assert told == [OLD, NEW]


async def test_sources_may_be_replaced() -> None:
    resolver = client(FakeSource("one"))
    await resolver.refresh(ALICE)
    resolver.set_sources((FakeSource("two", NEW),))
    assert await resolver.addresses_of(ALICE) == (THERE,)
    assert findings(resolver) == {"two": Finding.FOUND}


async def test_a_record_points_nobody_at_their_own_machine() -> None:
    local = BeaconUrl.parse("http://127.0.0.1:631")
    public = BeaconUrl.parse("https://eu1.example")
    tricky = replace(record(addresses=()), relays=(local, BeaconUrl.parse("https://localhost"), public)).sign(
        key(1)
    )
    resolver = client(kept=(tricky,))
    assert await resolver.addresses_of(ALICE) == (RelayAddress(public, ALICE),)
    assert resolver.relays_of(ALICE) == (public,)
    at_home = ResolverClient(
        (),
        RecordCache(),
        typed_addresses=lambda _: (),
        clock=lambda: NOW,
        kept=lambda _: (given(tricky),),
        with_local_relays=lambda: True,
    )
    assert at_home.relays_of(ALICE)[0] == local


async def test_a_lent_relay_on_our_own_machine_is_no_relay() -> None:
    public = BeaconUrl.parse(f"https://192.0.2.9:7443#{ALICE}")
    local = replace(public, host="127.0.0.1")
    assert client(kept=(replace(record(), lends=public).sign(key(1)),)).lent_by(ALICE) == public
    assert client(kept=(replace(record(), lends=local).sign(key(1)),)).lent_by(ALICE) is None
    assert client().lent_by(ALICE) is None


async def test_addresses_of_all_scopes_are_united_and_an_older_local_record_is_no_less_news() -> None:
    told = []
    lan = FakeSource("local network", OLD, scope=Scope.LOCAL)
    resolver = client(FakeSource("beacon", NEW), lan, on_learned=lambda cached: told.append(cached.scope))
    await resolver.refresh(ALICE)
    assert await resolver.addresses_of(ALICE) == (THERE, HERE)
    resolver.learn(packet(signed_at=NOW + 2, addresses=(str(HERE),)), "local network", scope=Scope.LOCAL)
    assert await resolver.addresses_of(ALICE) == (HERE, THERE), "newest first"
    assert told == [Scope.PUBLIC, Scope.LOCAL, Scope.LOCAL]


async def test_a_strangers_record_comes_from_disk_before_anybody_is_asked() -> None:
    asked = []

    async def find_kept(endpoint_id: EndpointId) -> KeptPacket | None:
        asked.append(endpoint_id)
        return KeptPacket(NEW, "https://eu1.example", NOW - 60)

    slow = FakeSource("beacon", OLD, waits=True)
    resolver = ResolverClient(
        (slow,), RecordCache(), typed_addresses=lambda _: (), clock=lambda: NOW, find_kept=find_kept
    )
    assert resolver.known(ALICE) is None, "what costs a look at the disk is not at hand"
    assert await resolver.addresses_of(ALICE) == (THERE,)
    (cached,) = resolver.explain(ALICE).records
    assert (cached.source, cached.learned_at) == ("https://eu1.example", NOW - 60)
    slow.release.set()
    await resolver.refresh(ALICE)
    assert await resolver.addresses_of(ALICE) == (THERE,), "an older record is no news after a restart either"
    assert asked == [ALICE], "what is ready is not fetched again"


async def test_the_addresses_of_an_older_ticket_come_last_and_those_of_the_local_network_do_not() -> None:
    beacon = BeaconUrl.parse("https://eu1.example")
    elsewhere = Address.parse("192.0.2.3:7777")
    ticket = packet(signed_at=NOW - 9, addresses=(str(elsewhere),))
    resolver = client(kept=(ticket,))
    resolver.learn(replace(record(), relays=(beacon,)).sign(key(1)), "beacon")
    resolver.learn(packet(signed_at=NOW - 5, addresses=(str(THERE),)), "local network", scope=Scope.LOCAL)
    assert await resolver.addresses_of(ALICE) == (HERE, THERE, RelayAddress(beacon, ALICE), elsewhere)


async def test_what_is_forgotten_is_news_again() -> None:
    told = []
    resolver = client(on_learned=lambda cached: told.append(cached.packet))
    resolver.learn(OLD, "beacon")
    resolver.forget(ALICE)
    assert resolver.known(ALICE) is None
    resolver.learn(OLD, "beacon")
    assert told == [OLD, OLD]


async def test_a_glance_reads_what_counts_and_drives_nobody_out() -> None:
    resolver = client(kept=(OLD, NEW))
    seen = resolver.glance(ALICE)
    assert seen is not None
    assert seen.addresses == (THERE,)
    assert not resolver.is_ready(ALICE)
    resolver.learn(packet(signed_at=NOW + 5, addresses=(str(HERE),)), "beacon")
    seen = resolver.glance(ALICE)
    assert seen is not None
    assert seen.addresses == (HERE,)
    assert client(kept=(packet(signed_at=NOW - 7200),)).glance(ALICE) is None
    assert client().glance(ALICE) is None
