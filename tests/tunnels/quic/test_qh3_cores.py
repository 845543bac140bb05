"""Facts about two native cores as one connection, told by stand-ins that only take notes."""

from __future__ import annotations

from typing import Any

import pytest

from tunnels import limits
from tunnels.quic.qh3_cores import TwoCores

CLIENT = (True, 1, ("0.0.0.0", 0), ("192.0.2.1", 443), b"our id..", b"first id", *range(22))
SERVER = (False, *CLIENT[1:])


class Core:
    """Keeps what it was asked."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.calls: list[tuple[Any, ...]] = []
        self.smoothed_rtt = 0.001
        self.events: list[Any] = []
        self.packets: list[Any] = []
        self.timer: tuple[str, float] | None = None
        self.received_authenticated_packet = False
        self.pto_count = 0

    def next_event(self):
        return self.events.pop(0) if self.events else None

    def poll_transmit(self, now):
        return self.packets.pop(0) if self.packets else None

    def get_timer(self):
        return self.timer

    def receive_datagram(self, data, address, now, size=None):
        self.calls.append(("receive_datagram", data))
        return (1, len(data), 1, 0, 0, 0)

    def __getattr__(self, name: str):
        return lambda *arguments: self.calls.append((name, *arguments))


def cores(arguments: tuple[Any, ...] = CLIENT) -> TwoCores:
    return TwoCores(Core, arguments)


def long_header(source: bytes) -> bytes:
    return b"\xc0\0\0\0\1\x08our id..\x08" + source + bytes(30)


def completed(arguments: tuple[Any, ...] = CLIENT) -> TwoCores:
    two = cores(arguments)
    two.receive_datagram(long_header(b"their id"), None, 5.0)
    two.handshake_complete()
    return two


def test_a_core_with_other_arguments_than_known_is_refused():
    with pytest.raises(TypeError, match="29 arguments, not the 28"):
        TwoCores(Core, (*CLIENT, 1))


def test_the_handshakes_core_makes_packets_that_fit_every_path():
    assert cores().handshake.arguments[8] == limits.MIN_PATH_MTU


def test_keys_and_parameters_of_the_application_wait_until_the_handshake_is_complete():
    two = cores()
    two.install_packet_key("send", 2, "handshake key")
    two.install_packet_key("send", 3, "application key")
    two.apply_peer_transport_parameters(*range(14))
    assert two.handshake.calls == [("install_packet_key", "send", 2, "handshake key")]
    two.handshake_complete()
    calls = two.application.calls
    assert ("install_packet_key", "send", 3, "application key") in calls
    assert ("apply_peer_transport_parameters", *range(13), limits.SHORT_PATH_PACKET) in calls
    assert calls[-1] == ("handshake_complete",)
    assert {("discard_keys", 0), ("discard_keys", 2)} <= set(calls)  # anybody can make Initial packets


def test_the_applications_core_speaks_to_the_id_the_peer_chose():
    two = completed()
    assert two.application.arguments[5] == b"their id"
    assert two.application.arguments[25] == 0.001  # the handshake's round trip


def test_each_packet_goes_to_the_core_that_has_its_keys():
    two = cores()
    assert two.receive_datagram(b"\x40 too early", None, 5.0)[4] == 1  # dropped
    two.receive_datagram(long_header(b"their id"), None, 5.0)
    two.handshake_complete()
    two.receive_datagram(b"\x40 data", None, 6.0)
    assert ("receive_datagram", b"\x40 data") in two.application.calls
    late = long_header(b"their id")
    two.receive_many_datagrams([late, b"\x40 more"], None, 7.0)
    assert two.handshake.calls[-1] == ("receive_datagram", late)
    assert two.application.calls[-1] == ("receive_many_datagrams", [late, b"\x40 more"], None, 7.0)


def test_a_server_is_done_with_the_handshake_when_it_is_complete_and_a_client_when_it_is_confirmed():
    assert completed(SERVER).handshake is None
    client = completed()
    assert client.handshake is not None
    client.handshake_confirmed()
    assert client.handshake is None
    assert client.receive_datagram(long_header(b"their id"), None, 9.0)[4] == 1
    client.discard_keys(0)  # of what is gone already


def test_packets_events_and_timers_are_those_of_both():
    two = completed()
    two.handshake.packets, two.application.packets = ["finished"], ["data"]
    assert [two.poll_transmit(1.0) for _ in range(3)] == ["finished", "data", None]
    two.handshake.events, two.application.events = ["crypto"], ["stream"]
    two.put_back("again")
    assert [two.next_event() for _ in range(4)] == ["again", "crypto", "stream", None]
    assert two.get_timer() is None
    two.handshake.timer, two.application.timer = ("loss", 5.0), ("idle", 3.0)
    assert two.get_timer() == ("idle", 3.0)
    two.handle_timer(6.0)
    two.close(1, None, b"")
    for core in (two.handshake, two.application):
        assert core.calls[-2:] == [("handle_timer", 6.0), ("close", 1, None, b"")]


def test_a_client_does_not_probe_with_packets_of_the_application_before_it_heard_the_server():
    two = completed()
    two.handshake.timer, two.application.timer = ("loss_detection", 5.0), ("loss_detection", 3.0)
    assert two.get_timer() == ("loss_detection", 5.0)
    two.handle_timer(6.0)
    assert two.handshake.calls[-1] == ("handle_timer", 6.0)
    assert ("handle_timer", 6.0) not in two.application.calls
    two.application.timer = ("pacing", 3.0)  # but it sends what there is to send
    assert two.get_timer() == ("pacing", 3.0)
    two.application.timer = ("loss_detection", 3.0)
    two.application.received_authenticated_packet = True
    assert two.get_timer() == ("loss_detection", 3.0)
    two.handle_timer(7.0)
    assert two.application.calls[-1] == ("handle_timer", 7.0)
    server = completed(SERVER)
    server.application.timer = ("loss_detection", 3.0)
    assert server.get_timer() == ("loss_detection", 3.0)


def test_unanswered_probes_of_the_handshake_count_until_it_is_confirmed():
    two = completed()
    two.handshake.pto_count = 2
    assert two.pto_count == 2
    two.handshake_confirmed()
    assert two.pto_count == 0


def test_tls_messages_go_with_the_packets_of_their_time():
    two = completed()
    two.send_crypto(2, 0, b"finished")
    two.send_crypto(3, 0, b"a ticket")
    assert two.handshake.calls[-1] == ("send_crypto", 2, 0, b"finished")
    assert two.application.calls[-1] == ("send_crypto", 3, 0, b"a ticket")


def test_what_is_not_told_apart_is_the_streams():
    two = completed()
    two.send_stream(0, b"x", False)
    assert two.application.calls[-1] == ("send_stream", 0, b"x", False)
