"""The same for programs without asyncio: streams are sockets, with timeouts, files made of them, and whatever takes a socket.

::

    with overlay.sync.Endpoint() as me:
        with me.connect("alice", "chat", timeout=10) as sock:
            sock.sendall(b"hello\\n")
            print(sock.makefile("rb").readline())

        with me.listen("chat", allow=["bob"]) as listener:
            for sock in listener:
                print("from", sock.peer.name)
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from gateway.errors import UsageError
from gateway.flows.framing import Deframer, FramingError, frame
from gateway.home import Home
from gateway.limits import DATAGRAM_BYTES
from gateway.programs.client import ProgramClient
from gateway.programs.destinations import destination
from gateway.programs.messages import Connect, Offer, OpenFlow
from overlay import endpoint
from overlay.attaching import Peer
from overlay.errors import Closed, InvalidRequest, NotRunning, Offline, OverlayError, StreamCut, translated

if TYPE_CHECKING:
    import os
    from collections.abc import Coroutine, Iterable, Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Buffer

    from gateway.programs.client import Lines, Opened
    from gateway.programs.messages import Call
    from overlay.endpoint import Contact, Ping

T = TypeVar("T")


class Stream(socket.socket):
    """A stream as a socket. `recv` gives b"" at its end, and raises StreamCut if there would have been more."""

    peer: Peer

    def __init__(self, client: ProgramClient, opened: Opened) -> None:
        """Made by `Endpoint.connect` and `Listener`."""
        super().__init__(fileno=opened.sock.detach())
        self.peer = Peer(opened.attached.endpoint_id, opened.attached.petname)
        self._client = client
        self._token = opened.attached.stream

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As a socket does."""
        data = super().recv(bufsize, flags)
        if not data and bufsize:
            self._check()
        return data

    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        """As a socket does."""
        count = super().recv_into(buffer, nbytes, flags)
        if not count:
            self._check()
        return count

    def abort(self) -> None:
        """Cut the stream off, so that the other side knows that this was not all."""
        with translated():
            self._client.abort(self._token)
        self.close()

    def __exit__(self, *about: object) -> None:
        """Close it, or cut it off after an error."""
        if about[0] is not None and self.fileno() >= 0:
            with contextlib.suppress(OverlayError):  # the gateway is gone, and the stream with it
                self.abort()
        self.close()

    def _check(self) -> None:
        try:
            with translated():
                report = self._client.ending(self._token)
        except OverlayError as error:
            raise StreamCut(f"the stream was cut off: the gateway is gone ({error})") from None
        if report.state == "cut":
            raise StreamCut(f"the stream was cut off: {report.reason}")


class Datagrams:
    """Datagrams with one endpoint; `settimeout` as with sockets."""

    max_size = DATAGRAM_BYTES
    """The largest that can be sent."""

    def __init__(self, client: ProgramClient, opened: Opened) -> None:
        """Made by `Endpoint.datagrams`."""
        self.peer = Peer(opened.attached.endpoint_id, opened.attached.petname)
        self._client = client
        self._token = opened.attached.stream
        self._sock = opened.sock
        self._deframer = Deframer()
        self._waiting: list[bytes] = []

    def settimeout(self, seconds: float | None) -> None:
        """How long `recv` and `send` wait: TimeoutError after that; None: for ever."""
        self._sock.settimeout(seconds)

    def send(self, data: bytes) -> None:
        """Send one; InvalidRequest if it is larger than `max_size`."""
        if len(data) > self.max_size:
            raise InvalidRequest(
                f"{len(data)} bytes are more than a datagram holds ({self.max_size}); use a stream"
            )
        self._sock.sendall(frame(data))

    def recv(self) -> bytes:
        """The next one; StreamCut when the other side refuses or is gone, Closed when it has closed."""
        while not self._waiting:
            data = self._sock.recv(65536)
            if not data:
                with translated():
                    report = self._client.ending(self._token)
                if report.state == "cut":
                    raise StreamCut(f"the datagrams ended: {report.reason}")
                raise Closed("the other side closed")
            try:
                self._waiting = self._deframer.feed(data)
            except FramingError as error:
                raise StreamCut(f"the datagrams ended: {error}") from None
        return self._waiting.pop(0)

    def close(self) -> None:
        """End it; idempotent."""
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        self.close()


class Listener:
    """A service, from `with` to its end; iterate over it, or `accept`, for its callers."""

    def __init__(self, client: ProgramClient, offer: Offer) -> None:
        """Made by `Endpoint.listen`."""
        self._client, self._offer = client, offer
        self._calls: Lines[Call] | None = None
        self.service = offer.service.lower()
        self.host = ""
        """The name others use, with this endpoint's id in it; once it has started."""
        self.warnings: tuple[str, ...] = ()

    def start(self) -> None:
        """Be the service; InvalidRequest if that cannot be."""
        with translated():
            offered, self._calls = self._client.offer(self._offer)
        self.host, self.warnings = offered.host, offered.warnings

    def accept(self, timeout: float | None = None) -> Stream:
        """The next caller; TimeoutError if none came, Closed when none will come any more."""
        return Stream(self._client, self._next(timeout))

    def _next(self, timeout: float | None) -> Opened:
        while True:
            if self._calls is None:
                raise Closed(f"{self.service}: the listener is closed")
            with translated():
                call = self._calls.next(timeout)
                try:
                    return self._client.accept(call)
                except UsageError:
                    continue  # it did not wait any longer

    def close(self) -> None:
        """Be it no more; streams that were given out stay open. Idempotent, and from any thread."""
        if self._calls is not None:
            self._calls.close()
            self._calls = None

    def __iter__(self) -> Iterator[Stream]:
        while True:
            try:
                yield self.accept()
            except Closed:
                return

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *about: object) -> None:
        self.close()


class DatagramListener(Listener):
    """The same for datagrams."""

    def accept_datagrams(self, timeout: float | None = None) -> Datagrams:
        """The next who sends."""
        return Datagrams(self._client, self._next(timeout))


class Endpoint:
    """`overlay.Endpoint` without asyncio; arguments and errors are the same. Its methods may be called from any thread."""

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        standalone: bool = False,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """See `overlay.Endpoint`; a gateway of the program's own runs in a thread."""
        self._loop = _Loop()
        self._endpoint = endpoint.Endpoint(home, standalone=standalone, settings=settings)
        self._client: ProgramClient | None = None

    def start(self) -> None:
        """Find the gateway, or start our own."""
        self._loop.start()
        try:
            self._loop.run(self._endpoint.start())
        except BaseException:
            self._loop.close()
            raise
        self._client = ProgramClient(Home(Path(self._endpoint.home)))

    def close(self) -> None:
        """End what was started; idempotent."""
        self._client = None
        if self._loop.is_running:
            self._loop.run(self._endpoint.close())
            self._loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def id(self) -> str:
        """Our endpoint id."""
        return self._endpoint.id

    @property
    def nickname(self) -> str:
        """What we suggest that others call us."""
        return self._endpoint.nickname

    def connect(self, name: str, service: str | int | None = None, *, timeout: float | None = None) -> Stream:
        """Open a stream to a service. `timeout` is for connecting; `Stream.settimeout` for what follows."""
        return Stream(self._running, self._opened(Connect, name, service, timeout))

    def datagrams(
        self, name: str, service: str | int | None = None, *, timeout: float | None = None
    ) -> Datagrams:
        """Exchange datagrams with a service that takes them."""
        return Datagrams(self._running, self._opened(OpenFlow, name, service, timeout))

    def listen(
        self, service: str, *, allow: Iterable[str] = (), public: bool = False, port: int = 0
    ) -> Listener:
        """Be a service; use it with `with`."""
        return Listener(self._running, endpoint.offer_of(service, "tcp", allow, public=public, port=port))

    def listen_datagrams(
        self, service: str, *, allow: Iterable[str] = (), public: bool = False, port: int = 0
    ) -> DatagramListener:
        """The same for datagrams."""
        return DatagramListener(
            self._running, endpoint.offer_of(service, "udp", allow, public=public, port=port)
        )

    def contacts(self) -> tuple[Contact, ...]:
        """Who has a name here."""
        return self._loop.run(self._endpoint.contacts())

    def add_contact(self, petname: str, id_or_ticket: str) -> Contact:
        """Give an endpoint a name."""
        return self._loop.run(self._endpoint.add_contact(petname, id_or_ticket))

    def remove_contact(self, petname: str) -> None:
        """Forget a contact."""
        self._loop.run(self._endpoint.remove_contact(petname))

    def ticket(self) -> str:
        """Where we are, as text for others."""
        return self._loop.run(self._endpoint.ticket())

    def invite(self, *services: str, name: str = "", uses: int = 1, expires_in: float | None = None) -> str:
        """An invite to services of ours, as text."""
        return self._loop.run(self._endpoint.invite(*services, name=name, uses=uses, expires_in=expires_in))

    def join(self, link: str, name: str = "") -> Contact:
        """Take an invite or a ticket."""
        return self._loop.run(self._endpoint.join(link, name))

    def ping(self, name: str, *, timeout: float = 10.0) -> Ping:
        """One round trip to an endpoint."""
        return self._loop.run(self._endpoint.ping(name, timeout=timeout))

    def resolve(self, name: str) -> str:
        """The endpoint id that a name stands for here."""
        return self._loop.run(self._endpoint.resolve(name))

    def _opened(
        self, kind: type[Connect | OpenFlow], name: str, service: str | int | None, timeout: float | None
    ) -> Opened:
        with translated():
            host, port = destination(name, None if service is None else str(service))
            try:
                return self._running.connect(kind(host=host, port=port), timeout=timeout)
            except TimeoutError:
                raise Offline(
                    f"{host} did not answer within {timeout:g} s; see: overlay ping {name}"
                ) from None

    @property
    def _running(self) -> ProgramClient:
        if self._client is None:
            raise NotRunning("this endpoint is not started; use `with overlay.sync.Endpoint() as me`")
        return self._client


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """From `start` to `close`."""
        return self._loop is not None

    def start(self) -> None:
        """Begin."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="overlay", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine; NotRunning before `start`."""
        if self._loop is None:
            coroutine.close()
            raise NotRunning("this endpoint is not started; use `with overlay.sync.Endpoint() as me`")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        """End; idempotent."""
        if self._loop is None or self._thread is None:
            return
        loop, self._loop = self._loop, None
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
