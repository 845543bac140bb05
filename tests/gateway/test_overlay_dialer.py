"""Names become streams and flows to services; each way to fail is a DialError that names the remedy."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from gateway.dialing import DialError, Failure
from gateway.expose.incoming import Refused
from gateway.flows.keeper import FlowKeeper
from gateway.limits import FLOW_EARLY_DATAGRAMS
from gateway.overlay_dialer import OverlayDialer
from gateway.splice import splice
from gateway.stream_header import Answer, Status
from gateway.traffic.terms import Terms
from resolver.names import OverlayName
from tests.lab.serving import Contacts, metered, serving, tcp_server, udp_server, until
from tests.lab.streams import ALICE, BOB, Recorder, take, tcp_pair
from tunnels.errors import (
    ProtocolViolation,
    StreamReset,
    TooManyStreams,
    TunnelClosed,
    TunnelError,
    Unreachable,
    WrongIdentity,
)


@pytest.mark.parametrize(
    "host", ["web.alice.overlay", "WEB.Alice.Overlay.", f"web.{ALICE}.overlay", "alice.overlay"]
)
async def test_a_name_opens_a_stream_to_its_service(host: str) -> None:
    async with tcp_server() as port, serving() as world:
        world.expose("web", str(port))
        opened = await world.dialer.open_stream(host, 80, user="anybody")
        seen = take(opened.transport)
        opened.transport.write(b"hello")
        await seen.until(lambda r: r.data == b"hello")


def test_what_a_service_says_first_is_not_lost_on_uvloop() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_what_a_service_says_first_is_early_or_read_later())


async def test_what_a_service_says_first_is_early_or_read_later() -> None:
    class _Banner(asyncio.Protocol):
        def connection_made(self, transport) -> None:
            transport.write(b"SSH-2.0-lab\r\n")
            transport.close()

    async with tcp_server(_Banner) as port, serving() as world:
        world.expose("ssh", str(port))
        opened = await world.dialer.open_stream("ssh.alice.overlay", 22)
        assert not opened.transport.is_reading()
        near, far = await tcp_pair()
        seen = take(near)
        task = world.tasks.spawn(_spliced(far, opened), "splice")
        await seen.ends()
        assert seen.data == b"SSH-2.0-lab\r\n"
        near.close()
        await task


async def _spliced(far, opened) -> None:
    await splice(far, opened.transport, from_second=opened.early)


@pytest.mark.parametrize(
    ("host", "port", "failure", "says"),
    [
        ("web.nobody.overlay", 80, Failure.UNKNOWN_NAME, "overlay contacts add nobody"),
        ("a.b.alice.overlay", 80, Failure.UNKNOWN_NAME, "is not a name"),
        ("example.org", 80, Failure.UNKNOWN_NAME, "does not end in .overlay"),
        ("none.alice.overlay", 80, Failure.NO_SERVICE, "nothing is exposed"),
        ("alice.overlay", 81, Failure.NO_SERVICE, "alice.overlay:81"),
        ("secret.alice.overlay", 80, Failure.FORBIDDEN, "--allow"),
        ("dead.alice.overlay", 80, Failure.TARGET_REFUSED, "not running"),
        ("lost.alice.overlay", 80, Failure.TARGET_UNREACHABLE, "does not answer"),
    ],
)
async def test_failures_say_what_and_what_to_do(host, port, failure, says) -> None:
    async with serving() as world:
        world.expose("secret", "9000", allow=())
        world.expose("dead", "unix:/nowhere", port=7000)
        world.expose("lost", "no-host.invalid:7001")
        with pytest.raises(DialError) as caught:
            await world.dialer.open_stream(host, port)
        assert caught.value.failure is failure
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
async def test_every_status_is_a_failure_and_carries_what_the_far_side_adds(status: Status) -> None:
    async with serving() as world:
        world.tunnel.acceptors[ALICE] = lambda _: Refused(Answer(status, "so there"))
        with pytest.raises(DialError, match=r"^alice.overlay:80: ") as caught:
            await world.dialer.open_stream("alice.overlay", 80)
        adds = status in (
            Status.FORBIDDEN, Status.OVERLOADED, Status.LIMITED, Status.BAD_REQUEST, Status.WRONG_VERSION,
        )  # fmt: skip
        assert ("so there" in str(caught.value)) is adds


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (Unreachable("no path"), Failure.OFFLINE),
        (WrongIdentity("no"), Failure.OFFLINE),
        (TunnelClosed("no"), Failure.OFFLINE),
        (TunnelError("no"), Failure.OFFLINE),
        (TooManyStreams("no"), Failure.OVERLOADED),
        (ProtocolViolation("no"), Failure.TARGET_UNREACHABLE),
        (StreamReset(7), Failure.TARGET_UNREACHABLE),
    ],
)
async def test_every_error_of_tunnels_is_a_failure(error: TunnelError, failure: Failure) -> None:
    async with serving() as world:
        world.tunnel.failure = error
        with pytest.raises(DialError) as caught:
            await world.dialer.open_stream("alice.overlay", 80)
        assert caught.value.failure is failure
        with pytest.raises(DialError):
            await world.dialer.open_flow("alice.overlay", 80, print, print)
        with pytest.raises(DialError):
            await world.dialer.list_services(ALICE)


class _Answering(asyncio.Protocol):
    """The far end of a stream that answers with fixed bytes and then does something to it."""

    wire = b""
    then = "stay"

    def connection_made(self, transport) -> None:
        transport.write(self.wire)
        if self.then != "stay":
            getattr(transport, self.then)()


@pytest.mark.parametrize(
    ("wire", "then", "says"),
    [
        (b"HTTP/1.1 400", "stay", "did not understand"),
        (b"OV\x09", "stay", "update overlay"),
        (b"OV\x01", "close", "without an answer"),
        (b"", "abort", "without an answer"),
        (b"OV\x01\x00", "stay", "did not answer within"),
    ],
)
async def test_a_far_side_that_does_not_answer_well_is_told_apart(wire, then, says) -> None:
    async with serving() as world:
        protocol = type("_A", (_Answering,), {"wire": wire, "then": then})
        world.tunnel.acceptors[ALICE] = lambda _: protocol()
        dialer = OverlayDialer(world.tunnel.open_transport, world.names.get, answer_seconds=0.2)
        with pytest.raises(DialError, match=says) as caught:
            await dialer.open_stream("alice.overlay", 80)
        assert caught.value.failure is (Failure.OFFLINE if "without" in says else Failure.TARGET_UNREACHABLE)
        assert world.tunnel.opened[-1].is_closing()


async def test_cancelling_a_dial_resets_its_stream() -> None:
    async with serving() as world:
        world.tunnel.acceptors[ALICE] = lambda _: asyncio.Protocol()
        task = asyncio.get_running_loop().create_task(world.dialer.open_stream("alice.overlay", 80))
        await until(lambda: len(world.tunnel.opened) == 1)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert world.tunnel.opened[0].is_closing()


@pytest.mark.parametrize(
    "wire", [b"\xff\xff", b"\x91\x95\xa3web\x50\x4f\x91\xa3tcp\xc3", b"x" * 300_000, b""]
)
async def test_a_list_that_cannot_be_read_is_a_failure(wire: bytes) -> None:
    async with serving() as world:
        protocol = type("_A", (_Answering,), {"wire": Answer(Status.OK).encode() + wire, "then": "close"})
        world.tunnel.acceptors[ALICE] = lambda _: protocol()
        with pytest.raises(DialError, match=r"list of services|ports of service"):
            await world.dialer.list_services(ALICE)
        assert world.tunnel.opened[0].is_closing()


# --- flows ---------------------------------------------------------------------------------------------------


class _Inbox:
    def __init__(self) -> None:
        self.datagrams: list[bytes] = []
        self.closed = 0

    def on_closed(self) -> None:
        self.closed += 1


async def test_datagrams_of_all_sizes_go_both_ways() -> None:
    async with udp_server() as (port, echo), serving() as world:
        world.expose("dns", f"{port}/udp")
        inbox = _Inbox()
        flow = await world.dialer.open_flow("dns.alice.overlay", 53, inbox.datagrams.append, inbox.on_closed)
        flow.send(b"")  # asyncio before 3.12 cannot answer with one
        await until(lambda: echo.received == 1)
        for size in (1, 1100, 1101, 9000, 65507):
            before = len(inbox.datagrams)
            flow.send(b"a" * size)
            await until(lambda n=before: len(inbox.datagrams) > n)
            assert inbox.datagrams[-1] == b"A" * size
        flow.send(b"a" * 65508)  # no UDP datagram is this large
        assert world.tunnel.opened[0].datagrams_sent >= 2  # those sent after the answer that fit a frame
        flow.close()
        flow.close()
        await until(lambda: world.acceptor.status.streams == 0)
        assert world.acceptor.status.flows == 0
        assert inbox.closed == 0


async def test_the_first_datagrams_do_not_wait_for_the_answer_and_are_bounded() -> None:
    server = Recorder()
    async with serving() as world:
        world.tunnel.acceptors[ALICE] = lambda _: server
        flow = await world.dialer.open_flow("alice.overlay", 53, print, lambda: None)
        for _ in range(FLOW_EARLY_DATAGRAMS + 5):
            flow.send(b"early")
        await server.until(lambda r: r.data.count(b"\0\5early") == FLOW_EARLY_DATAGRAMS)
        flow.close()
        await server.ends()
        assert server.data.count(b"early") == FLOW_EARLY_DATAGRAMS


async def test_replies_that_overtake_the_answer_are_kept() -> None:
    class _Hasty(asyncio.Protocol):
        def connection_made(self, transport) -> None:
            for _ in range(FLOW_EARLY_DATAGRAMS + 5):
                transport.send_datagram(b"reply")
            asyncio.get_running_loop().call_later(
                0.02, transport.write, Answer(Status.OK).encode() + b"\0\2ok"
            )

    async with serving() as world:
        world.tunnel.acceptors[ALICE] = lambda _: _Hasty()
        inbox = _Inbox()
        await world.dialer.open_flow("alice.overlay", 53, inbox.datagrams.append, inbox.on_closed)
        await until(lambda: len(inbox.datagrams) > FLOW_EARLY_DATAGRAMS)
        assert inbox.datagrams == [b"reply"] * FLOW_EARLY_DATAGRAMS + [b"ok"]


async def test_without_room_for_a_flow_the_dial_fails() -> None:
    async with udp_server() as (port, _), serving() as world:
        world.dialer._flows = FlowKeeper(total=0)
        world.expose("dns", f"{port}/udp")
        with pytest.raises(DialError, match="too many UDP flows") as caught:
            await world.dialer.open_flow("dns.alice.overlay", 53, print, print)
        assert caught.value.failure is Failure.OVERLOADED
        await until(lambda: world.acceptor.status.streams == 0)


async def test_a_list_cut_short_by_a_reset_is_a_failure() -> None:
    class _Cut(asyncio.Protocol):
        def connection_made(self, transport) -> None:
            transport.write(Answer(Status.OK).encode())
            asyncio.get_running_loop().call_later(0.02, transport.abort)

    async with serving() as world:
        world.tunnel.acceptors[ALICE] = lambda _: _Cut()
        with pytest.raises(DialError, match="list of services"):
            await world.dialer.list_services(ALICE)


async def test_a_refused_flow_ends_by_itself() -> None:
    async with serving() as world:
        inbox = _Inbox()
        flow = await world.dialer.open_flow("alice.overlay", 53, inbox.datagrams.append, inbox.on_closed)
        await until(lambda: inbox.closed == 1)
        flow.send(b"into the void")
        flow.close()
        assert inbox.closed == 1


@pytest.mark.parametrize("wire", [b"HTTP", Answer(Status.OK).encode() + b"\xff\xff"])
async def test_a_flow_whose_stream_makes_no_sense_ends(wire: bytes) -> None:
    async with serving() as world:
        protocol = type("_A", (_Answering,), {"wire": wire})
        world.tunnel.acceptors[ALICE] = lambda _: protocol()
        inbox = _Inbox()
        await world.dialer.open_flow("alice.overlay", 53, inbox.datagrams.append, inbox.on_closed)
        await until(lambda: inbox.closed == 1)


async def test_a_stalled_stream_drops_large_datagrams_instead_of_queueing() -> None:
    async with serving() as world:

        class _Stalled(asyncio.Protocol):
            def connection_made(self, transport) -> None:
                transport.pause_reading()
                transport.write(Answer(Status.OK).encode())

        world.tunnel.acceptors[ALICE] = lambda _: _Stalled()
        flow = await world.dialer.open_flow("alice.overlay", 53, print, lambda: None)
        await asyncio.sleep(0.02)
        world.tunnel.opened[0].peer.pause_reading()
        for _ in range(500):
            flow.send(b"b" * 60_000)
            await asyncio.sleep(0)
        assert world.tunnel.opened[0].get_write_buffer_size() < 64 * 1024 + 60_002
        flow.close()


async def test_closing_the_dialer_ends_its_flows() -> None:
    async with udp_server() as (port, _), serving() as world:
        world.expose("dns", f"{port}/udp")
        inbox = _Inbox()
        await world.dialer.open_flow("dns.alice.overlay", 53, inbox.datagrams.append, inbox.on_closed)
        assert repr(world.dialer) == "OverlayDialer(1 flows)"
        world.dialer.close()
        assert inbox.closed == 1
        assert repr(world.dialer) == "OverlayDialer(0 flows)"


async def test_a_thousand_streams_at_once() -> None:
    async with tcp_server() as port, serving() as world:
        world.expose("web", str(port))

        async def one(number: int) -> None:
            opened = await world.dialer.open_stream("web.alice.overlay", 80)
            seen = take(opened.transport)
            opened.transport.write(b"%d" % number)
            await seen.until(lambda r: r.data == b"%d" % number)

        async with asyncio.TaskGroup() as group:
            for number in range(1000):
                group.create_task(one(number))
        assert world.acceptor.status.streams == 1000


async def test_a_tunnel_that_ends_before_the_answer_is_replaced_once() -> None:
    async with tcp_server() as port, serving() as world:
        world.expose("web", str(port))
        ended = 0

        async def open_transport(endpoint_id, factory):
            nonlocal ended
            if ended >= deaths:
                return await world.tunnel.open_transport(endpoint_id, factory)
            ended += 1
            near, far = await tcp_pair()
            far.close()
            protocol = factory()
            protocol.connection_made(near)
            asyncio.get_running_loop().call_soon(protocol.connection_lost, TunnelClosed("it restarted"))
            near.close()
            return near, protocol

        dialer = OverlayDialer(open_transport, lambda _: ALICE)
        deaths = 1
        opened = await dialer.open_stream("web.alice.overlay", 80)
        opened.transport.abort()
        await asyncio.sleep(0)
        deaths, ended = 2, 0
        with pytest.raises(DialError, match="it restarted") as refusal:
            await dialer.open_stream("web.alice.overlay", 80)
        assert refusal.value.failure is Failure.OFFLINE


@pytest.mark.parametrize("host", ["www.alice.overlay", f"blog.{ALICE}.overlay"])
async def test_an_alias_leads_to_the_service_it_stands_for(host: str) -> None:
    async with tcp_server() as port, serving() as world:
        world.expose("web", str(port))
        world.aliases = {"blog": OverlayName.parse("www.alice.overlay"), "www": OverlayName(ALICE, "web")}
        opened = await world.dialer.open_stream(host, 80)
        seen = take(opened.transport)
        opened.transport.write(b"hello")
        await seen.until(lambda r: r.data == b"hello")


@pytest.mark.parametrize(
    ("aliases", "says"),
    [
        (
            {"www": "router.example.org"},
            "www.alice.overlay stands for router.example.org, which is outside of .overlay",
        ),
        (
            {"www": OverlayName.parse("web.bob.overlay")},
            "www.alice.overlay stands for web.bob.overlay, which is somebody else's",
        ),
        (
            {"www": OverlayName(ALICE, "blog"), "blog": OverlayName(BOB, "web")},
            "which is somebody else's",
        ),
        ({"www": OverlayName(ALICE, "www")}, "in a circle"),
        ({"www": OverlayName(ALICE, "a"), "a": OverlayName.parse("www.alice.overlay")}, "in a circle"),
        (
            {"www": OverlayName(ALICE, "a0")} | {f"a{n}": OverlayName(ALICE, f"a{n + 1}") for n in range(9)},
            "over more than",
        ),
    ],
)
async def test_an_alias_that_leads_nowhere_or_outside_is_not_followed(aliases, says: str) -> None:
    async with serving() as world:
        world.aliases = aliases
        with pytest.raises(DialError) as caught:
            await world.dialer.open_stream("www.alice.overlay", 80)
        assert caught.value.failure is Failure.NO_SERVICE
        assert says in str(caught.value)
        with pytest.raises(DialError):
            await world.dialer.open_flow("www.alice.overlay", 80, print, print)
        assert not world.tunnel.opened


# --- invites --------------------------------------------------------------------------------------------------------


async def test_what_is_said_of_an_invite_reaches_its_issuer_and_the_answer_comes_back() -> None:
    said = []

    async def redeem(caller: object, message: bytes) -> bytes:
        said.append((caller, message))
        return len(b"granted").to_bytes(2) + b"granted"

    async with serving(redeem=redeem) as world:
        message = bytes(range(250)) * 20
        assert await world.dialer.redeem(ALICE, len(message).to_bytes(2) + message) == b"granted"
        assert said == [(BOB, message)]
        await until(lambda: world.acceptor.status.streams == 0)


async def test_an_endpoint_that_takes_no_invites_says_so() -> None:
    async with serving() as world:
        with pytest.raises(DialError, match="no invites are taken here"):
            await world.dialer.redeem(ALICE, b"\0\1x")


@pytest.mark.parametrize("message", [b"\xff\xff" + bytes(100), b""])
async def test_what_is_too_long_or_does_not_come_is_refused(
    message: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.expose.incoming.REDEEM_SECONDS", 0.05)

    async def redeem(*_: object) -> bytes:
        raise AssertionError("nothing whole was said")

    async with serving(redeem=redeem) as world:
        with pytest.raises(DialError, match=r"at most|did not come"):
            await world.dialer.redeem(ALICE, message)


@pytest.mark.parametrize("answer", [b"", b"\0\7gran", b"\xff\xff"])
async def test_an_answer_that_is_cut_short_or_too_long_is_told(answer: bytes) -> None:
    async def redeem(*_: object) -> bytes:
        return answer

    async with serving(redeem=redeem) as world:
        with pytest.raises(DialError):
            await world.dialer.redeem(ALICE, b"\0\1x")


async def test_invites_are_redeemed_before_anything_else_is_asked() -> None:
    asked = []

    async def before(endpoint_id: object) -> None:
        asked.append(endpoint_id)
        if len(asked) > 3:
            raise DialError(Failure.OFFLINE, "alice does not answer")

    async with tcp_server() as port, udp_server() as (udp_port, _), serving() as world:
        world.expose("web", str(port))
        world.expose("game", str(udp_port), protocols=("udp",))
        dialer = OverlayDialer(world.tunnel.open_transport, world.names.get, answer_seconds=5, before=before)
        (await dialer.open_stream("web.alice.overlay", 80)).transport.abort()
        (await dialer.open_flow("game.alice.overlay", udp_port, lambda _: None, lambda: None)).close()
        await dialer.list_services(ALICE)
        assert asked == [ALICE] * 3
        with pytest.raises(DialError, match="does not answer"):
            await dialer.open_stream("web.alice.overlay", 80)
        dialer.close()


async def test_a_grant_that_ends_resets_the_stream_that_uses_it() -> None:
    class Grants:
        names = ("web",)

        def granted(self, caller: object, service: str) -> bool:
            return service in self.names

    grants = Grants()
    async with tcp_server() as port, serving(grants=grants) as world:
        world.expose("web", str(port), allow=())
        opened = await world.dialer.open_stream("web.alice.overlay", 80)
        seen = take(opened.transport)
        assert world.acceptor.recheck() == 0
        grants.names = ()
        assert world.acceptor.recheck() == 1
        await seen.ends()
        with pytest.raises(DialError):
            await world.dialer.open_stream("web.alice.overlay", 80)


async def test_a_limit_of_our_own_is_told_before_anybody_is_dialled() -> None:
    async with tcp_server() as port, serving() as world:
        world.expose("web", str(port))
        traffic = metered(Contacts(alice=ALICE), {"contacts.alice": Terms(connections=1)})
        dialer = OverlayDialer(world.tunnel.open_transport, world.names.get, traffic=traffic)
        await dialer.open_stream("web.alice.overlay", 80)
        opened = len(world.tunnel.opened)
        for attempt in (
            dialer.open_stream("web.alice.overlay", 80),
            dialer.open_flow("web.alice.overlay", 80, lambda _: None, lambda: None),
        ):
            with pytest.raises(
                DialError, match=r"alice \(by a limit of your own gateway\) has 1 conn"
            ) as caught:
                await attempt
            assert caught.value.failure is Failure.LIMITED
        assert len(world.tunnel.opened) == opened
        traffic.set_terms("contacts.alice", Terms(connections=2))
        with pytest.raises(DialError, match="nothing is exposed"):
            await dialer.open_stream("nothing.alice.overlay", 80)
        assert len(traffic) == 1
        dialer.close()
