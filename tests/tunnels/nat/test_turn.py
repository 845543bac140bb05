"""Facts about the TURN client: an allocation's life, channels, permissions, and servers that do not behave."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.turn import MAPPED, PASSWORD, RELAYED, SERVER, USER, FakeTurn
from tunnels.addresses import Address
from tunnels.nat import limits, stun
from tunnels.nat.channels import HEAD_BYTES
from tunnels.nat.stun import Class, Method
from tunnels.nat.turn import TurnClient, TurnState

ALICE, CAROL = Address.parse("192.0.2.1:7777"), Address.parse("192.0.2.2:7777")


def make_client() -> TurnClient:
    return TurnClient(SERVER, USER, PASSWORD, Random(1).randbytes)


def ready(server: FakeTurn, now: float = 0.0) -> TurnClient:
    client = make_client()
    client.allocate(now)
    server.serve(client, now)
    assert client.state is TurnState.READY, client.failure
    return client


def run(client: TurnClient, server: FakeTurn, now: float, until: float) -> float:
    """Let time pass."""
    while (at := client.get_timer()) is not None and at <= until:
        now = max(now, at)
        server.serve(client, now)
    return until


def say(client: TurnClient, server: FakeTurn, peer: Address, datagrams: list[bytes], now: float) -> None:
    for datagram in client.send(peer, datagrams, now):
        server.receive(datagram)
    server.serve(client, now)


def channel_data(client: TurnClient, peer: Address, datagram: bytes) -> bytes:
    return struct.pack("!HH", client._channels.get(peer).number, len(datagram)) + datagram


def data_indication(peer: Address, datagram: bytes) -> bytes:
    attributes = {"XOR-PEER-ADDRESS": peer, "DATA": datagram}
    return stun.encode(Method.DATA, Class.INDICATION, bytes(12), attributes)


def test_an_allocation_is_asked_for_with_credentials_and_gives_an_address():
    server, client = FakeTurn(), make_client()
    assert client.state is TurnState.IDLE
    assert client.get_timer() is None
    client.allocate(5.0)
    assert client.state is TurnState.ALLOCATING
    assert client.get_timer() == 5.0
    assert client.take_changed()
    server.serve(client, 5.0)
    assert client.state is TurnState.READY
    assert (client.relayed, client.mapped) == (RELAYED, MAPPED)
    assert client.take_changed()
    assert not client.take_changed()
    [(method, attributes)] = server.requests
    assert method is Method.ALLOCATE
    assert attributes["REQUESTED-TRANSPORT"] == 17 << 24
    assert repr(client) == "<TurnClient ready at 198.51.100.1:3478, 0 peers>"


def test_it_is_refreshed_a_minute_before_its_end_for_as_long_as_it_is_held():
    server = FakeTurn()
    client = ready(server)
    assert client.get_timer() == 540.0
    run(client, server, 0.0, 6000.0)
    assert server.count(Method.REFRESH) == 11
    assert client.state is TurnState.READY


@pytest.mark.parametrize(("lifetime", "after"), [(30, 15.0), (0, 10.0), (2**32 - 1, 540.0), (100, 50.0)])
def test_a_lifetime_of_the_servers_liking_makes_neither_a_flood_nor_an_end(lifetime, after):
    client = ready(FakeTurn(lifetime=lifetime))
    assert client.get_timer() == after


def test_the_first_datagrams_wait_for_the_channel_and_the_others_do_not():
    server = FakeTurn()
    client = ready(server)
    assert client.send(ALICE, [b"one", b"two"], 1.0) == []
    assert client.get_timer() == 1.0
    server.serve(client, 1.0)
    assert server.arrived == [(ALICE, b"one"), (ALICE, b"two")]
    [datagram] = client.send(ALICE, [b"three"], 2.0)
    assert len(datagram) == HEAD_BYTES + 5
    server.receive(datagram)
    assert server.arrived[2:] == [(ALICE, b"three")]
    assert server.count(Method.CHANNEL_BIND) == 1


def test_a_bounded_number_of_datagrams_waits_and_the_first_ones_are_kept():
    server = FakeTurn()
    client = ready(server)
    for number in range(1000):
        assert client.send(ALICE, [b"%d" % number, b"x"], 1.0) == []
    server.serve(client, 1.0)
    assert len(server.arrived) == limits.TURN_HELD
    assert server.arrived[0] == (ALICE, b"0")


def test_what_comes_through_a_channel_is_its_peers():
    server = FakeTurn()
    client = ready(server)
    say(client, server, ALICE, [b"x"], 1.0)
    say(client, server, CAROL, [b"x"], 1.0)
    for peer in (ALICE, CAROL):
        for datagram in (b"", b"answer", bytes(1472)):
            assert client.receive(channel_data(client, peer, datagram), 2.0) == (peer, datagram)
            assert client.receive(channel_data(client, peer, datagram) + b"\0\0", 2.0) == (peer, datagram), (
                "padded"
            )


def test_channel_data_of_no_channel_or_cut_short_is_nothing():
    server = FakeTurn()
    client = ready(server)
    assert client.receive(b"\x40\x00\x00\x01x", 1.0) is None
    say(client, server, ALICE, [b"x"], 1.0)
    assert client.receive(channel_data(client, ALICE, b"answer")[:-1], 2.0) is None
    assert client.receive(b"\x4f\xff\x00\x01x", 2.0) is None
    assert client.receive(b"\x40\x00\x00", 2.0) is None
    assert client.receive(b"", 2.0) is None


def test_a_peer_that_is_let_in_is_heard_before_anything_was_sent_to_it():
    server = FakeTurn()
    client = ready(server)
    assert client.receive(data_indication(ALICE, b"hello"), 1.0) is None, "not let in"
    client.set_permitted([ALICE.ip], 1.0)
    assert client.get_timer() == 1.0
    server.serve(client, 1.0)
    assert server.requests[-1][0] is Method.CREATE_PERMISSION
    assert client.receive(data_indication(ALICE, b"hello"), 1.0) == (ALICE, b"hello")
    assert client.receive(data_indication(CAROL, b"hello"), 1.0) is None
    client.set_permitted([], 2.0)
    assert client.receive(data_indication(ALICE, b"hello"), 2.0) is None


def test_permissions_are_renewed_and_bounded():
    server = FakeTurn()
    client = ready(server)
    client.set_permitted([ip_address(0x0A000000 + number) for number in range(1000)], 0.0)
    server.serve(client, 0.0)
    assert server.count(Method.CREATE_PERMISSION) == limits.TURN_PEERS
    run(client, server, 0.0, 481.0)
    assert server.count(Method.CREATE_PERMISSION) == 3 * limits.TURN_PEERS
    client.set_permitted([ip_address(0x0A000000), ip_address("2001:db8::1")], 482.0)
    server.serve(client, 482.0)
    assert server.count(Method.CREATE_PERMISSION) == 3 * limits.TURN_PEERS, (
        "one that it has, one that it cannot have"
    )


def test_a_channel_is_renewed_while_used_either_way_and_then_forgotten():
    server = FakeTurn()
    client = ready(server)
    say(client, server, ALICE, [b"x"], 0.0)
    run(client, server, 0.0, 241.0)
    assert server.count(Method.CHANNEL_BIND) == 2
    late = channel_data(client, ALICE, b"heard")
    assert client.receive(late, 400.0) == (ALICE, b"heard")
    run(client, server, 400.0, 481.0)
    assert server.count(Method.CHANNEL_BIND) == 3
    run(client, server, 481.0, 2000.0)
    assert server.count(Method.CHANNEL_BIND) == 3
    assert len(client._channels) == 0
    assert client.receive(late, 2000.0) is None
    say(client, server, ALICE, [b"again"], 2000.0)
    assert server.arrived[-1] == (ALICE, b"again")
    assert len(server.channels) == 1, "a channel stays its peer's"


def test_a_bounded_number_of_peers_has_channels_the_longest_unused_gives_way():
    server = FakeTurn()
    client = ready(server)
    peers = [Address.of("192.0.2.1", port) for port in range(1, 2 * limits.TURN_PEERS + 1)]
    for number, peer in enumerate(peers):
        say(client, server, peer, [b"x"], float(number))
        say(client, server, peers[0], [b"y"], float(number))
    assert len(client._channels) == limits.TURN_PEERS
    assert client._channels.get(peers[0]) is not None
    assert client._channels.get(peers[1]) is None
    assert server.arrived[-2:] == [(peers[-1], b"x"), (peers[0], b"y")]


def test_when_all_channel_numbers_are_given_others_get_none_and_those_who_have_one_keep_it():
    server = FakeTurn()
    client = ready(server)
    peers = [Address.of("192.0.2.1", port) for port in range(1, 4099)]
    for peer in peers:
        client.send(peer, [b"x"], 1.0)
        server.serve(client, 1.0)
    assert len(server.arrived) == len(server.channels) == 4096
    assert max(server.channels) == 0x4FFF
    say(client, server, peers[0], [b"still"], 2.0)
    assert server.arrived[-1] == (peers[0], b"still")


def test_a_peer_that_the_server_refuses_is_left_alone_for_a_minute():
    server = FakeTurn(errors={Method.CHANNEL_BIND: 403})
    client = ready(server)
    say(client, server, ALICE, [b"x"], 1.0)
    for now in (2.0, 30.0, 60.0):
        say(client, server, ALICE, [b"x"], now)
    assert server.count(Method.CHANNEL_BIND) == 1
    server.errors.clear()
    say(client, server, ALICE, [b"at last"], 62.0)
    assert server.arrived == [(ALICE, b"at last")]


def test_a_peer_of_the_other_family_is_not_reached():
    server = FakeTurn()
    client = ready(server)
    say(client, server, Address.parse("[2001:db8::1]:7777"), [b"x"], 1.0)
    assert server.count(Method.CHANNEL_BIND) == 0


def test_without_an_allocation_nothing_is_sent():
    assert make_client().send(ALICE, [b"x"], 0.0) == []


@pytest.mark.parametrize(
    ("server", "says"),
    [
        (FakeTurn(passwords={USER: "another"}), "does not take our credentials"),
        (FakeTurn(errors={Method.ALLOCATE: 486}), "gives us no more allocations"),
        (FakeTurn(errors={Method.ALLOCATE: 508}), "has no relay address left"),
        (FakeTurn(errors={Method.ALLOCATE: 599}), "refuses with error 599"),
        (FakeTurn(errors={Method.ALLOCATE: 437}), "has no allocation of ours"),
        (FakeTurn(silent=True), "does not answer"),
        (FakeTurn(relayed=None), "does not say which address it gave us"),
        (FakeTurn(relayed=Address.parse("0.0.0.0:1")), "does not say which address it gave us"),
        (FakeTurn(relayed=Address.parse("127.0.0.1:22")), "does not say which address it gave us"),
    ],
)
def test_why_there_is_no_allocation_is_said_in_one_line(server, says):
    client = make_client()
    client.allocate(0.0)
    run(client, server, 0.0, 60.0)
    assert client.state is TurnState.FAILED
    assert client.failure == f"the TURN server at 198.51.100.1:3478 {says}"
    assert client.relayed is None
    assert client.get_timer() is None
    assert client.take_changed()


def test_after_a_failure_other_credentials_may_do():
    server, client = FakeTurn(), TurnClient(SERVER, USER, "wrong", Random(1).randbytes)
    client.allocate(0.0)
    server.serve(client, 0.0)
    assert client.state is TurnState.FAILED
    client.set_credentials(USER, PASSWORD)
    client.allocate(1.0)
    server.serve(client, 1.0)
    assert client.state is TurnState.READY
    assert client.failure is None


def test_an_allocation_of_an_earlier_run_is_ended_first():
    server = FakeTurn(stale=True)
    ready(server)
    assert [method for method, _ in server.requests] == [Method.ALLOCATE, Method.REFRESH, Method.ALLOCATE]


@pytest.mark.parametrize("method", [Method.REFRESH, Method.CHANNEL_BIND, Method.CREATE_PERMISSION])
def test_a_server_that_forgot_the_allocation_makes_it_fail(method):
    server = FakeTurn()
    client = ready(server)
    server.errors[method] = 437
    client.set_permitted([CAROL.ip], 1.0)
    client.send(ALICE, [b"x"], 1.0)
    run(client, server, 1.0, 541.0)
    assert client.state is TurnState.FAILED
    assert client.failure.endswith("has no allocation of ours")
    assert client.send(ALICE, [b"x"], 542.0) == []


def test_a_server_that_falls_silent_makes_it_fail_at_the_refresh():
    server = FakeTurn()
    client = ready(server)
    server.silent = True
    run(client, server, 0.0, 560.0)
    assert client.state is TurnState.FAILED


def test_closing_gives_it_back():
    server = FakeTurn()
    client = ready(server)
    say(client, server, ALICE, [b"x"], 1.0)
    client.close(2.0)
    assert client.state is TurnState.CLOSED
    assert client.relayed is None
    server.serve(client, 2.0)
    assert not server.allocated
    assert client.get_timer() is None
    assert client.send(ALICE, [b"x"], 3.0) == []
    again = make_client()
    again.close(0.0)
    assert again.datagrams_to_send(0.0) == []


def test_allocating_anew_forgets_the_old_one():
    server = FakeTurn()
    client = ready(server)
    say(client, server, ALICE, [b"x"], 1.0)
    old = channel_data(client, ALICE, b"late")
    client.allocate(2.0)
    assert client.relayed is None
    assert client.receive(old, 2.0) is None
    server.serve(client, 2.0)
    assert client.state is TurnState.READY


@given(
    st.binary(max_size=100), st.binary(max_size=80), st.sampled_from([0x0001, 0x0017, 0x0103, 0x0113, 0x0109])
)
def test_junk_from_the_servers_address_does_nothing(junk, attributes, kind):
    server = FakeTurn()
    client = ready(server)
    client.set_permitted([CAROL.ip], 1.0)
    header = kind.to_bytes(2, "big") + len(attributes).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + bytes(12)
    for datagram in (junk, header + attributes):
        assert client.receive(datagram, 1.0) is None
    assert client.state is TurnState.READY


def test_a_forged_answer_ends_no_allocation():
    server = FakeTurn()
    client = ready(server)
    client.send(ALICE, [b"x"], 1.0)
    [request] = client.datagrams_to_send(1.0)
    txid = stun.decode(request).transaction_id
    forged = stun.encode(Method.CHANNEL_BIND, Class.ERROR, txid, {"ERROR-CODE": (437, "")}, key=b"guessed")
    assert client.receive(forged, 1.0) is None
    assert client.state is TurnState.READY
    client.receive(server.receive(request), 1.0)
    assert client._channels.get(ALICE).bound
