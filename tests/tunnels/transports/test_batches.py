"""Facts about reading and writing many datagrams at once, told by real sockets on loopback."""

from __future__ import annotations

import errno
import socket

import pytest

from tunnels import limits
from tunnels.transports import batches
from tunnels.transports.batches import BatchSocket, run_end


@pytest.fixture
def pair():
    """Two bound sockets, the first connected to the second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            for sock in (one, other):
                sock.setblocking(False)
                sock.bind(("127.0.0.1", 0))
            one.connect(other.getsockname())
            yield one, other


@pytest.fixture(params=["segments", "plain"])
def kind(request, monkeypatch) -> str:
    if request.param == "plain":
        monkeypatch.setattr(batches, "LINUX", False)
    return request.param


@pytest.mark.parametrize(
    ("sizes", "segments", "end"),
    [
        ([5], 64, 1),
        ([5, 5, 5], 64, 3),
        ([5, 5, 3, 5], 64, 3),  # the shorter one is the last of its run
        ([5, 6], 64, 1),
        ([5, 0], 64, 1),  # an empty one is no end of a run
        ([0, 0], 64, 1),
        ([5, 5, 5], 2, 2),
        ([5, 5, 5], 1, 1),
        ([40_000, 40_000], 64, 1),
        ([1000] * 100, 64, 64),
        ([1200] * 100, 64, 54),
    ],
)
def test_a_run_is_of_one_size_and_fits_one_call(sizes, segments, end):
    assert run_end([bytes(size) for size in sizes], 0, segments) == end


def test_what_one_sends_the_other_reads_in_order_with_its_source(pair, kind):
    one, other = pair
    sent = [bytes([number]) * (1 + number % 3 * 100) for number in range(100)]
    BatchSocket(one).send(sent)
    reader, read = BatchSocket(other), []
    while batch := reader.receive():
        assert len(batch) <= max(limits.BATCH_DATAGRAMS, 64)
        read += batch
    assert [data for data, _ in read] == sent
    assert {source for _, source in read} == {one.getsockname()}
    BatchSocket(other).send([b"answer"], one.getsockname())
    assert BatchSocket(one).receive() == [(b"answer", other.getsockname())]


def test_a_busy_socket_goes_on_being_read_when_the_helper_takes_over(pair):
    one, other = pair
    reader, writer = BatchSocket(other), BatchSocket(one)
    writer.send([b"x" * 200] * limits.BATCH_DATAGRAMS)
    assert len(reader.receive()) == limits.BATCH_DATAGRAMS
    assert reader._helper is not None
    writer.send([b"y" * 200] * 40)
    read = []
    while batch := reader.receive():
        read += batch
    assert [data for data, _ in read] == [b"y" * 200] * 40
    assert reader.receive() == []


def test_once_closed_a_busy_socket_holds_its_port_no_longer(pair):
    one, other = pair
    reader, place = BatchSocket(other), other.getsockname()
    BatchSocket(one).send([b"x" * 200] * limits.BATCH_DATAGRAMS)
    reader.receive()
    assert reader._helper is not None
    reader.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(place)


def test_without_the_helper_a_busy_socket_is_read_as_ever(pair, monkeypatch):
    monkeypatch.setattr(batches, "_helper", lambda _: None)
    one, other = pair
    BatchSocket(one).send([b"x"] * 100)
    reader = BatchSocket(other)
    read = []
    while batch := reader.receive():
        read += batch
    assert len(read) == 100


def test_what_cannot_be_sent_as_a_run_is_sent_one_by_one(pair, monkeypatch):
    real = batches.send_run

    def no_runs(sock, run, address):
        if len(run) > 1:
            raise OSError(errno.EIO, "no checksums here")
        real(sock, run, address)

    monkeypatch.setattr(batches, "send_run", no_runs)
    one, other = pair
    BatchSocket(one).send([b"a", b"b", b"c"])
    assert [data for data, _ in BatchSocket(other).receive()] == [b"a", b"b", b"c"]


def test_the_answer_to_an_earlier_datagram_costs_the_next_nothing():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            place = gone.getsockname()
        one.setblocking(False)
        one.connect(place)
        writer = BatchSocket(one)
        writer.send([b"nobody is there"])  # the kernel keeps the refusal for the next call
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
            back.bind(place)
            back.setblocking(False)
            writer.send([b"here again"])
            assert back.recv(100) == b"here again"


def test_a_full_kernel_loses_the_rest_and_raises_nothing(pair, monkeypatch):
    def full(*_):
        raise BlockingIOError

    monkeypatch.setattr(batches, "send_run", full)
    BatchSocket(pair[0]).send([b"a", b"b"])


def test_an_error_is_told_to_the_reader_unless_there_was_something_to_read():
    class Scripted:
        def __init__(self, *script):
            self.script = list(script)

        def setsockopt(self, *_):
            pass

        def recvfrom(self, _):
            step = self.script.pop(0)
            if isinstance(step, Exception):
                raise step
            return step

    refused = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    reader = BatchSocket(Scripted((b"x", "source"), refused, refused, BlockingIOError()))
    assert reader.receive() == [(b"x", "source")]
    with pytest.raises(ConnectionRefusedError):
        reader.receive()
    assert reader.receive() == []
