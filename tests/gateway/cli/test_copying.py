"""Standard input and output on a socket: ends, crashes, and nobody is held up who reads what has come."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

import pytest

from gateway.cli.copying import Copying, Cut
from gateway.programs.messages import EndingReport


class Copied:
    """A copying in a thread, with pipes or files as its input and output."""

    def __init__(self, *, source: int | None, sink: int, state="ended", half_close: bool = True) -> None:
        near, self.far = socket.socketpair()
        self.far.settimeout(10)
        self.done = threading.Event()
        self.error: Exception | None = None
        self.copying = Copying(
            near,
            source=source,
            sink=sink,
            ending=lambda: EndingReport(state=state, reason="it crashed"),
            done=self.done.set,
            half_close=half_close,
        )
        self._near = near
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.copying.run()
        except Exception as error:  # noqa: BLE001 - for the test to look at
            self.error = error
        finally:
            self._near.close()

    def wait(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.far.close()


@pytest.fixture
def pipes():
    """An input and an output, as a shell gives them: read end, write end, of each."""
    ends = [*os.pipe(), *os.pipe()]
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):  # the test closed it
            os.close(end)


def test_what_has_come_is_read_while_more_may_come(pipes):
    source, into, outof, sink = pipes
    copied = Copied(source=source, sink=sink)
    for number in range(5):
        copied.far.sendall(b"%d" % number)
        assert os.read(outof, 10) == b"%d" % number
        os.write(into, b"answer")
        assert copied.far.recv(10) == b"answer"
    os.close(into)
    assert copied.far.recv(10) == b""
    assert copied.done.is_set()
    copied.far.shutdown(socket.SHUT_WR)
    copied.wait()
    assert copied.error is None
    assert os.read(outof, 10) == b""


@pytest.mark.parametrize("more", [b"", b"more"])
def test_a_reader_who_is_gone_before_the_end_is_said_has_missed_only_what_came_after(pipes, more):
    source, into, outof, sink = pipes
    copied = Copied(source=source, sink=sink)
    copied.far.sendall(b"all")
    assert os.read(outof, 10) == b"all"
    os.close(outof)
    copied.far.sendall(more)
    copied.far.shutdown(socket.SHUT_WR)
    os.close(into)
    copied.wait()
    assert isinstance(copied.error, BrokenPipeError) == bool(more)


def test_much_goes_both_ways_whole(pipes):
    source, into, outof, sink = pipes
    copied, data = Copied(source=source, sink=sink), os.urandom(5_000_000)

    def feed() -> None:
        with os.fdopen(into, "wb") as file:
            file.write(data)

    def send() -> None:
        copied.far.sendall(data)
        copied.far.shutdown(socket.SHUT_WR)

    threads = [threading.Thread(target=each) for each in (feed, send)]
    for thread in threads:
        thread.start()
    with os.fdopen(os.dup(outof), "rb") as out:
        received: list[bytes] = []
        reading = threading.Thread(target=lambda: received.append(out.read()))
        reading.start()
        there = b"".join(iter(lambda: copied.far.recv(65536), b""))
        copied.wait()
        os.dup2(os.open(os.devnull, os.O_WRONLY), sink)
        reading.join(10)
    for thread in threads:
        thread.join(10)
    assert there == data
    assert received == [data]


def test_files_are_copied_too(tmp_path):
    (tmp_path / "in").write_bytes(b"x" * 3_000_000)
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as sink:
        copied = Copied(source=source.fileno(), sink=sink.fileno())
        copied.far.sendall(b"came")
        copied.far.shutdown(socket.SHUT_WR)
        assert sum(len(data) for data in iter(lambda: copied.far.recv(65536), b"")) == 3_000_000
        copied.wait()
    assert (tmp_path / "out").read_bytes() == b"came"


def test_what_is_cut_off_is_an_error(pipes):
    source, _, _, sink = pipes
    copied = Copied(source=source, sink=sink, state="cut")
    copied.far.shutdown(socket.SHUT_WR)
    copied.wait()
    assert isinstance(copied.error, Cut)
    assert "it crashed" in str(copied.error)


@pytest.mark.parametrize("state", ["cut", "ended"])
def test_what_has_come_is_kept_when_the_other_side_goes_with_more_of_ours_unread(pipes, state):
    source, into, out, sink = pipes
    copied = Copied(source=source, sink=sink, state=state)
    os.write(into, b"unread" * 1000)
    os.close(into)
    copied.far.recv(1)  # the rest of it is on its way
    copied.far.sendall(b"the last words")
    copied.far.close()  # the kernel tells the other end a reset, not an end
    copied.wait()
    assert os.read(out, 100) == b"the last words"
    assert isinstance(copied.error, Cut) is (state == "cut")
    assert not isinstance(copied.error, OSError)


def test_the_end_of_the_input_is_told_only_at_the_end_if_so_asked(pipes):
    source, into, _, sink = pipes
    copied = Copied(source=source, sink=sink, half_close=False)
    os.write(into, b"question")
    os.close(into)
    assert copied.far.recv(10) == b"question"
    copied.far.settimeout(0.2)
    with pytest.raises(TimeoutError):
        copied.far.recv(10)
    copied.far.shutdown(socket.SHUT_WR)
    copied.far.settimeout(10)
    assert copied.far.recv(10) == b""
    copied.wait()
    assert copied.done.is_set()
