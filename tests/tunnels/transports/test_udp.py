"""Facts about the UDP sockets, told by real ones on loopback."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from tests.lab.endpoints import until
from tunnels import limits
from tunnels.addresses import Address
from tunnels.errors import ConfigurationError
from tunnels.transports import udp
from tunnels.transports.udp import UdpSocket, UdpTransport, buffer_advice, source_address


@pytest.fixture(params=["segments", "plain"])
def io_kind(request, monkeypatch) -> str:
    """Runs of datagrams in one system call, as on Linux, or one by one, as anywhere."""
    if request.param == "plain":
        monkeypatch.setattr(udp, "LINUX", False)
    return request.param


class End:
    """A transport and what it received."""

    def __init__(self, hosts=("127.0.0.1",), port: int = 0) -> None:
        self.received: list[tuple[bytes, object]] = []
        self.batches = 0
        self.transport = UdpTransport(self._take)
        self.transport.bind(hosts, port)

    def _take(self, burst: bytes, segment: int, source: object) -> None:
        self.batches += 1
        self.received += [(burst[start : start + segment], source) for start in range(0, len(burst), segment)]

    @property
    def datagrams(self) -> list[bytes]:
        return [datagram for datagram, _ in self.received]

    @property
    def address(self) -> Address:
        return self.transport.addresses[0]


@pytest.fixture
async def ends(io_kind):
    pair = End(), End()
    yield pair
    for end in pair:
        end.transport.close()


async def test_datagrams_arrive_in_order_with_their_source(ends):
    here, there = ends
    sent = [bytes([number]) * (number * 7 + 1) for number in range(150)]
    here.transport.send(sent, there.address)
    await until(lambda: len(there.received) == len(sent))
    assert there.datagrams == sent
    assert {source_address(source) for _, source in there.received} == {here.address}


async def test_datagrams_of_one_size_are_read_together_where_the_system_can():
    here, there = End(), End()
    try:
        here.transport.send([bytes([number]) * 1000 for number in range(40)], there.address)
        await until(lambda: len(there.received) == 40)
        assert there.batches == 1
    finally:
        here.transport.close()
        there.transport.close()


async def test_a_burst_of_full_size_datagrams_arrives_whole(ends):
    here, there = ends
    sent = [number.to_bytes(2) + bytes(1198) for number in range(100)]
    for _ in range(5):
        here.transport.send(sent, there.address)
        await until(lambda: len(there.received) >= len(sent))
        assert there.datagrams == sent
        there.received.clear()


async def test_the_smallest_and_the_largest_datagrams_pass(ends):
    here, there = ends
    for datagrams in ([b"x"], [b"x", b"yy", b"z"], [b"y" * 65507], [b"z" * 9000, b"."]):
        here.transport.send(datagrams, there.address)
        await until(lambda: len(there.received) == len(datagrams))  # noqa: B023
        assert there.datagrams == datagrams
        there.received.clear()


async def test_one_that_no_socket_takes_is_lost_and_the_next_passes(ends):
    here, there = ends
    assert not here.transport.send([b"x" * 70_000], there.address)
    assert here.transport.send([b"next"], there.address)
    await until(lambda: there.received)
    assert there.datagrams == [b"next"]


async def test_both_families_share_one_port(io_kind):
    here, there = End(("127.0.0.1", "::1")), End(("::1", "127.0.0.1"))
    try:
        for end in (here, there):
            four, six = end.transport.addresses
            assert (four.ip.version, six.ip.version) == (4, 6)
            assert four.port == six.port
        for address in there.transport.addresses:
            here.transport.send([b"hello"], address)
        await until(lambda: len(there.received) == 2)
        assert {source_address(source) for _, source in there.received} == set(here.transport.addresses)
    finally:
        here.transport.close()
        there.transport.close()


async def test_where_the_port_is_taken_in_the_other_family_any_port_does(monkeypatch):
    real, taken = UdpSocket, []

    def first_port_is_taken(host, port, on_burst):
        if ":" in host and port and not taken:
            taken.append(port)
            blocker = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            blocker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            with blocker:
                blocker.bind((host, port))
                return real(host, port, on_burst)
        return real(host, port, on_burst)

    monkeypatch.setattr(udp, "UdpSocket", first_port_is_taken)
    for hosts in (("127.0.0.1", "::1"), ("0.0.0.0", "::")):
        taken.clear()
        end = End(hosts)
        ports = [address.port for address in end.transport.addresses]
        end.transport.close()
        assert taken == ports[:1]
        assert len(set(ports)) == 2


async def test_a_taken_port_is_one_line_that_says_what_to_do():
    first = End()
    try:
        with pytest.raises(ConfigurationError) as caught:
            End(port=first.address.port)
        assert "\n" not in str(caught.value)
        assert f"port {first.address.port} is taken" in str(caught.value)
        assert "[tunnels] port" in str(caught.value)
    finally:
        first.transport.close()


async def test_a_port_taken_in_one_family_only_is_told_and_leaves_nothing_bound():
    six = End(("::1",))
    port = six.address.port
    try:
        with pytest.raises(ConfigurationError, match="is taken"):
            End(("127.0.0.1", "::1"), port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free_again:
            free_again.bind(("127.0.0.1", port))
        with pytest.raises(ConfigurationError, match="is taken"):
            End(("127.0.0.1", "::"), port)
    finally:
        six.transport.close()


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        (("203.0.113.7",), "does not have that address"),
        (("127.0.0.1", "127.0.0.2"), "one address per family"),
        (("::1", "::"), "one address per family"),
    ],
)
async def test_a_bind_that_cannot_be_is_one_line(hosts, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        End(hosts)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("code", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
async def test_a_machine_without_ipv6_does_without_it_unless_an_address_of_it_is_asked_for(monkeypatch, code):
    real = socket.socket

    def without_ipv6(family, *arguments):
        if family == socket.AF_INET6:
            raise OSError(code, "no IPv6 here")
        return real(family, *arguments)

    monkeypatch.setattr(udp.socket, "socket", without_ipv6)
    end = End(("0.0.0.0", "::"))
    assert [address.ip.version for address in end.transport.addresses] == [4]
    end.transport.send([b"lost"], Address.of("::1", 9))
    end.transport.close()
    for hosts in (("127.0.0.1", "::1"), ("::",)):
        with pytest.raises(ConfigurationError):
            End(hosts)


class FullKernel:
    """Stands for `send_run`: a kernel whose buffer takes only so many datagrams until it is emptied."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken: list[tuple[bytes, object]] = []

    def __call__(self, _sock, run, address) -> None:
        if self.room < len(run):
            raise BlockingIOError
        self.room -= len(run)
        self.taken += [(datagram, address) for datagram in run]


async def test_while_the_kernel_is_full_a_bounded_number_waits_and_leaves_in_order(monkeypatch):
    full = FullKernel(room=3)
    monkeypatch.setattr(udp, "send_run", full)
    monkeypatch.setattr(limits, "GSO_SEGMENTS", 1)
    sock = UdpSocket("127.0.0.1", 0, lambda *_: None)
    places = [Address.of("127.0.0.1", port) for port in (7, 9)]
    try:
        sent = [number.to_bytes(3) for number in range(limits.SEND_QUEUE_DATAGRAMS + 500)]
        for start in range(0, len(sent), 10):
            assert sock.send(sent[start : start + 10], places[start // 10 % 2])
        assert len(sock._queue) == limits.SEND_QUEUE_DATAGRAMS
        assert sock.dropped == 500 - 3
        full.room = 10**9
        await until(lambda: not sock._queue)
        kept = 3 + limits.SEND_QUEUE_DATAGRAMS
        assert [datagram for datagram, _ in full.taken] == sent[:kept]
        assert {address[1] for _, address in full.taken} == {7, 9}
        sock.send([b"now"], places[0])
        assert full.taken[-1][0] == b"now"
    finally:
        sock.close()


async def test_a_device_without_segmentation_gets_datagrams_one_by_one(monkeypatch):
    sent: list[bytes] = []

    def no_segmentation(_sock, run, _address) -> None:
        if len(run) > 1:
            raise OSError(errno.EIO, "no checksums here")
        sent.extend(run)

    monkeypatch.setattr(udp, "send_run", no_segmentation)
    sock = UdpSocket("127.0.0.1", 0, lambda *_: None)
    assert sock.send([b"aa", b"bb", b"cc"], Address.of("127.0.0.1", 9))
    assert sent == [b"aa", b"bb", b"cc"]
    assert sock._segments == 1
    sock.close()


async def test_datagrams_too_large_for_the_interface_are_told_and_runs_stay_in_use(monkeypatch):
    def small_interface(_sock, run, _address) -> None:
        if len(run[0]) > 1472:
            raise OSError(errno.EINVAL if len(run) > 1 else errno.EMSGSIZE, "too large")

    monkeypatch.setattr(udp, "send_run", small_interface)
    sock = UdpSocket("127.0.0.1", 0, lambda *_: None)
    assert not sock.send([b"x" * 8400] * 3, Address.of("127.0.0.1", 9))
    assert sock.send([b"x" * 1472] * 3, Address.of("127.0.0.1", 9))
    assert sock._segments == limits.GSO_SEGMENTS
    sock.close()


async def test_one_turn_of_the_loop_reads_a_bounded_amount(monkeypatch):
    monkeypatch.setattr(limits, "RECEIVE_BYTES_PER_TURN", 10_000)
    here, there = End(), End()
    try:
        for _ in range(20):
            here.transport.send([bytes(1000)] * 4, there.address)
        (sock,) = there.transport._sockets
        sock._readable()
        assert 10_000 <= sum(map(len, there.datagrams)) < 14_000
    finally:
        here.transport.close()
        there.transport.close()


async def test_what_the_kernel_granted_is_told(monkeypatch):
    monkeypatch.setattr(limits, "SOCKET_BUFFER", 32768)
    end = End()
    assert end.transport.buffer_bytes == (32768, 32768)
    end.transport.close()
    assert end.transport.buffer_bytes == (0, 0)


def test_buffers_that_the_kernel_clamped_are_told_with_the_remedy():
    assert buffer_advice(limits.SOCKET_BUFFER, limits.SOCKET_BUFFER) is None
    for granted in ((212_992, limits.SOCKET_BUFFER), (limits.SOCKET_BUFFER, 212_992), (212_992, 212_992)):
        advice = buffer_advice(*granted)
        assert "208 KB" in advice
        assert f"sysctl -w net.core.rmem_max={limits.SOCKET_BUFFER}" in advice
        assert "\n" not in advice


async def test_a_real_kernel_buffer_that_is_full_loses_nothing_of_a_bounded_burst(monkeypatch, io_kind):
    monkeypatch.setattr(limits, "SOCKET_BUFFER", 4096)
    here, there = End(), End()
    try:
        for number in range(200):
            here.transport.send([number.to_bytes(2) + bytes(1198)] * 4, there.address)
            await until(lambda: not here.transport._sockets[0]._queue)
        assert here.transport._sockets[0].dropped == 0
        await until(lambda: there.received)
    finally:
        here.transport.close()
        there.transport.close()


async def test_nobody_listening_disturbs_nothing(ends):
    """The kernel may tell of it (ICMP port unreachable) by an error on a later call about somebody else."""
    here, there = ends
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        gone = Address.of(*nobody.getsockname())
    for _ in range(20):
        here.transport.send([b"anybody?"], gone)
        here.transport.send([b"hello"], there.address)
        await asyncio.sleep(0)
    await until(lambda: len(there.received) == 20)


@pytest.mark.parametrize("code", sorted(udp._IGNORED))
async def test_an_error_about_one_peer_is_not_the_sockets(code, monkeypatch):
    def unlucky(*_):
        raise OSError(code, "about somebody else")

    monkeypatch.setattr(udp, "send_run", unlucky)
    sock = UdpSocket("127.0.0.1", 0, lambda *_: None)
    sock.send([b"x", b"y"], Address.of("127.0.0.1", 9))
    real, sock._socket = sock._socket, type("Unlucky", (), {"recvmsg": unlucky, "recvfrom": unlucky})()
    sock._readable()
    assert not sock._queue
    sock._socket = real
    sock.close()


async def test_a_datagram_to_a_link_that_is_not_there_is_lost(io_kind):
    end = End(("::1",))
    end.transport.send([b"x"], Address.of("fe80::1%nolink0", 9))
    end.transport.close()


async def test_a_link_local_address_keeps_its_interface(io_kind):
    end = End(("::1",))
    try:
        end.transport.send([b"to myself"], Address.of("::1%lo", end.address.port))
        await until(lambda: end.received)
    finally:
        end.transport.close()
    assert source_address(("fe80::1", 7, 0, socket.if_nametoindex("lo"))) == Address.of("fe80::1%lo", 7)
    assert source_address(("fe80::1%lo", 7, 0, 1)) == Address.of("fe80::1%lo", 7)
    assert source_address(("fe80::1", 7, 0, 987654321)) is None


def test_a_source_that_cannot_be_answered_is_none():
    assert source_address(("127.0.0.1", 0)) is None
    assert source_address(("127.0.0.1", 5)) == Address.of("127.0.0.1", 5)
    assert source_address(("::ffff:127.0.0.1", 5, 0, 0)) == Address.of("127.0.0.1", 5)


async def test_after_close_the_port_is_free_and_sending_is_nothing(io_kind):
    end = End()
    address = end.address
    end.transport.close()
    end.transport.close()
    end.transport.send([b"x"], address)
    assert end.transport.addresses == ()
    End(port=address.port).transport.close()
