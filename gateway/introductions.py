"""Contacts of contacts, between gateways: whom contacts introduce to us, and whom we introduce to them. ⚡

A contact is asked for its circle if a service of ours is open to whom it introduces, and told at the same time whether it may
introduce us. `AskPlan` decides when (sans-IO); `Introductions` asks, answers and remembers. What is said is in `resolver.circles`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.dialing import DialError, Failure
from gateway.errors import StateError
from gateway.expose.access import NO_CIRCLE
from gateway.late_saver import LateSaver
from gateway.limits import (
    CIRCLE_ANEW_SECONDS,
    CIRCLE_EVERY_SECONDS,
    CIRCLE_GAP_SECONDS,
    CIRCLE_QUESTIONS,
    CIRCLE_ROUND_SECONDS,
    CIRCLE_WAIT_SECONDS,
    CIRCLES_ASKED_AT_ONCE,
    CIRCLES_REMEMBERED,
    KEPT_SAVE_SECONDS,
)
from gateway.stream_header import Answer, Status
from resolver.circles import Circles, decode_circle, decode_question, encode_circle, encode_question
from resolver.errors import InvalidState, RecordError
from resolver.limits import CONTACTS
from tunnels.bucket import Bucket
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable

    from gateway.config.settings import SocialSettings
    from gateway.home import Home
    from resolver.signed_packets import SignedPacket

_logger = logging.getLogger(__name__)

_STATE: Final = "circles"
_TOO_OFTEN: Final = Answer(Status.OVERLOADED, "you ask for our circle too often; try again later")


@dataclass(slots=True)
class _Times:
    asked: float = float("-inf")
    next: float = float("-inf")
    turn: float = float("-inf")
    """What `next` is if nothing happens."""
    failed: bool = False
    has_news: bool = False


class AskPlan:
    """When to ask which contact. Times are seconds of one clock that never goes back; bounded."""

    __slots__ = ("_chance", "_times")

    def __init__(self, chance: Callable[[], float]) -> None:
        """`chance` gives numbers in [0, 1): contacts shall not all be asked at once."""
        self._chance = chance
        self._times: OrderedDict[EndpointId, _Times] = OrderedDict()

    def __len__(self) -> int:
        return len(self._times)

    def due(self, who: EndpointId) -> float:
        """When to ask it in its turn: never sooner than CIRCLE_GAP_SECONDS after the last time."""
        times = self._times.get(who, _Times())
        return max(times.next, times.asked + CIRCLE_GAP_SECONDS)

    def may_ask_again(self, who: EndpointId, now: float) -> bool:
        """Whether to ask it out of turn, because somebody is looked for; who did not answer well is not."""
        times = self._times.get(who, _Times())
        usual = CIRCLE_EVERY_SECONDS if times.failed else CIRCLE_ANEW_SECONDS
        return now - times.asked >= (CIRCLE_GAP_SECONDS if times.has_news else usual)

    def asked(self, who: EndpointId, now: float) -> None:
        """It is being asked."""
        times = self._of(who)
        times.has_news = False
        times.asked = now
        times.turn = times.next = now + CIRCLE_EVERY_SECONDS * (0.75 + self._chance() / 2)

    def answered(self, who: EndpointId, *, well: bool) -> None:
        """What came of it; a good answer is all that was wanted meanwhile, unless there has been news since it was asked."""
        times = self._of(who)
        times.failed = not well
        if well and not times.has_news:
            times.next = times.turn

    def soon(self, who: EndpointId) -> None:
        """Ask it as soon as that may be."""
        self._of(who).next = float("-inf")

    def has_news(self, who: EndpointId) -> None:
        """Its circle is another: the same, and whenever somebody is looked for."""
        times = self._of(who)
        times.next, times.has_news = float("-inf"), True

    def all_soon(self) -> None:
        """What we say is another thing than before."""
        for times in self._times.values():
            times.next, times.has_news = float("-inf"), True

    def _of(self, who: EndpointId) -> _Times:
        times = self._times.setdefault(who, _Times())
        self._times.move_to_end(who)
        if len(self._times) > CIRCLES_REMEMBERED:
            self._times.popitem(last=False)
        return times


class Introductions:
    """All of it; `start` it when the tunnels are up, `close` it before the state is."""

    def __init__(
        self,
        home: Home,
        settings: SocialSettings,
        *,
        ask: Callable[[EndpointId, bytes], Awaitable[bytes]],
        introducers: Callable[[], Collection[EndpointId]],
        connected: Callable[[], Iterable[EndpointId]],
        is_contact: Callable[[EndpointId], bool],
        own_packet: Callable[[], SignedPacket | None],
        on_change: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        """Read what is kept, from a thread that may wait; what is damaged is asked for again.

        `ask` puts a question to an endpoint, connecting if need be, and gives the answer or raises DialError; `introducers`
        are the contacts whose circles services are open to; `connected` are endpoints that a tunnel is up with. `own_packet`
        is our record as anybody may have it. `on_change` is called when a contact introduces others than before. `clock`
        gives unix seconds.
        """
        self._home = home
        self._settings = settings
        self._ask_endpoint = ask
        self._introducers = introducers
        self._connected = connected
        self._is_contact = is_contact
        self._own_packet = own_packet
        self._on_change = on_change
        self._spawn = spawn
        self._clock = clock
        self._plan = AskPlan(chance)
        self._asking: dict[EndpointId, asyncio.Task[None]] = {}
        self._listeners: OrderedDict[EndpointId, Bucket] = OrderedDict()
        """Contacts who asked us lately, and how often they may."""
        self._news: dict[EndpointId, None] = {}
        """Those of them who are to hear that our circle is another."""
        self._woken = asyncio.Event()
        self._has_started = False
        self._saver = LateSaver(
            lambda: self._save(),
            KEPT_SAVE_SECONDS,
            "save circles",
            spawn,
            lost="contacts are asked for their circles again after a restart",
        )
        self._circles, self._agreed = self._load()
        self._told_circle = self._own_circle()

    def __repr__(self) -> str:
        return f"<Introductions {self._circles!r}>"

    # --- what it knows ----------------------------------------------------------------------------------

    def is_introduced(self, introducer: EndpointId, endpoint_id: EndpointId) -> bool:
        """Whether a contact has introduced the endpoint, and not too long ago."""
        return self._circles.is_member(introducer, endpoint_id, self._clock())

    def has_members(self, introducer: EndpointId) -> bool:
        """Whether a contact has introduced anybody."""
        return self._circles.has_members(introducer)

    def packet_of(self, endpoint_id: EndpointId) -> SignedPacket | None:
        """The newest record of an endpoint that a contact passed on."""
        return self._circles.packet_of(endpoint_id, self._clock())

    # --- what others tell it ----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to ask."""
        self._has_started = True
        self._spawn(self._run(), "ask for circles")

    async def close(self) -> None:
        """Write what is not written yet."""
        await self._saver.close()

    def configure(self, settings: SocialSettings) -> None:
        """[social] is another."""
        if settings.introducible != self._settings.introducible:
            self._plan.all_soon()
        self._settings = settings
        if not settings.introduce:
            self._circles.refuse_all()
            self._saver.changed()
        self._tell_news()
        self._woken.set()

    def contacts_changed(self) -> None:
        """Other contacts, or other services: who is no contact is forgotten, who is named now is asked."""
        for who in [who for who in self._listeners if not self._is_contact(who)]:
            del self._listeners[who]
        if self._circles.keep_only(self._is_contact):
            self._saver.changed()
        self._tell_news()
        self._woken.set()

    def opened(self, endpoint_id: EndpointId) -> None:
        """A tunnel with an endpoint is up."""
        if self._is_contact(endpoint_id) or endpoint_id in self._agreed:
            self._plan.soon(endpoint_id)
        self._woken.set()

    # --- answering --------------------------------------------------------------------------------------

    def refusal(self, caller: EndpointId) -> Answer | None:
        """What to answer a caller who may not ask, or not so often."""
        if not self._is_contact(caller):
            return NO_CIRCLE
        bucket = self._listeners.setdefault(caller, Bucket(CIRCLE_QUESTIONS / 60, CIRCLE_QUESTIONS))
        self._listeners.move_to_end(caller)
        if len(self._listeners) > CIRCLES_REMEMBERED:
            self._listeners.popitem(last=False)
        return None if bucket.take(asyncio.get_running_loop().time()) else _TOO_OFTEN

    def answer(self, caller: EndpointId, question: bytes) -> bytes | None:
        """Our circle as a caller may be told it, None if it may not; RecordError if its question cannot be read."""
        if not self._is_contact(caller):  # it may have been removed since it began to ask
            return None
        asked, now = decode_question(question, caller), self._clock()
        if asked.has_news:
            self._plan.has_news(caller)
            self._woken.set()
        if not self._settings.introduce:
            return None
        if asked.asker is not None:
            self._circles.consented(asked.asker, now)
        else:
            self._circles.refused(caller)
        self._saver.changed()
        self._tell_news(besides=caller)
        return encode_circle(self._circles.own(caller, now))

    def _own_circle(self) -> frozenset[EndpointId]:
        return self._circles.agreed(self._clock()) if self._settings.introduce else frozenset()

    def _tell_news(self, *, besides: EndpointId | None = None) -> None:
        """If our circle is another one, those who know it from us are to ask again; `besides` hears it now."""
        circle = self._own_circle()
        if circle != self._told_circle:
            self._told_circle = circle
            self._news = dict.fromkeys(who for who in self._listeners if who != besides)
            self._woken.set()

    # --- asking -----------------------------------------------------------------------------------------

    async def ask_again(self) -> None:
        """Somebody is looked for: ask contacts that are connected and have not been asked lately, for a moment."""
        if not self._has_started:
            return
        now = asyncio.get_running_loop().time()
        waited = [self._asking[who] for who in self._asking]
        for who in dict.fromkeys(self._connected()):
            if len(self._asking) >= CIRCLES_ASKED_AT_ONCE:
                break
            if who not in self._asking and self._is_contact(who) and self._plan.may_ask_again(who, now):
                waited.append(self._begin(who, now))
        if waited:
            await asyncio.wait(waited, timeout=CIRCLE_WAIT_SECONDS)

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            if self._circles.expire(self._clock()):
                self._on_change()
            self._tell_news()
            pause = self._round(asyncio.get_running_loop().time())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    def _round(self, now: float) -> float:
        """Begin all questions that are due; seconds until the next one is."""
        pause = CIRCLE_ROUND_SECONDS
        for who in self._wanted():
            wait = self._plan.due(who) - now
            if who in self._asking:
                continue  # we are woken when it is done
            if wait > 0:
                pause = min(pause, wait)
            elif len(self._asking) < CIRCLES_ASKED_AT_ONCE:
                self._begin(who, now)
        return pause

    def _wanted(self) -> dict[EndpointId, None]:
        """Whom to ask in turn: whom services name, and of those who are connected, who is to know something of us."""
        connected = dict.fromkeys(self._connected())
        wanted = dict.fromkeys(self._introducers())
        for who in connected:
            if who in self._news:
                self._plan.soon(who)
                wanted[who] = None
            elif who in self._agreed or (self._settings.introducible and self._is_contact(who)):
                wanted[who] = None
        return wanted

    def _begin(self, who: EndpointId, now: float) -> asyncio.Task[None]:
        self._plan.asked(who, now)
        task = self._asking[who] = self._spawn(self._ask(who), f"circle of {who.short}")
        task.add_done_callback(lambda _: self._asked(who))
        return task

    def _asked(self, who: EndpointId) -> None:
        self._asking.pop(who, None)
        self._woken.set()

    async def _ask(self, who: EndpointId) -> None:
        agrees = self._settings.introducible and self._is_contact(who)
        packet = self._own_packet() if agrees else None
        has_news = self._news.pop(who, "") is None
        if agrees:  # before it is sent: whether it arrived may never be known
            self._remember_consent(who)
        try:
            data = await self._ask_endpoint(
                who, encode_question(introducible=agrees, packet=packet, has_news=has_news)
            )
            members = await asyncio.to_thread(decode_circle, data)
        except DialError as error:
            _logger.debug("%s does not tell its circle: %s", who.short, error)
            self._plan.answered(who, well=False)
            if error.failure is not Failure.FORBIDDEN:
                if has_news:
                    self._news[who] = None
                return
            members = ()  # it introduces nobody (any more), or not to us
        except RecordError as error:
            _logger.warning("%s does not tell its circle: %s", who.short, error)
            self._plan.answered(who, well=False)
            return
        else:
            self._plan.answered(who, well=True)
        if not agrees and self._agreed.pop(who, "") is None:
            self._saver.changed()
        if not self._is_contact(who):
            return
        before = self._circles.has_members(who)
        changed = self._circles.told(who, members, self._clock())
        self._saver.changed()
        if changed and (before or members):
            self._on_change()

    def _remember_consent(self, who: EndpointId) -> None:
        if who not in self._agreed:
            self._agreed[who] = None
            if len(self._agreed) > CONTACTS:
                del self._agreed[next(iter(self._agreed))]
            self._saver.changed()

    # --- on disk ----------------------------------------------------------------------------------------

    def _load(self) -> tuple[Circles, dict[EndpointId, None]]:
        """What is kept: circles and consents, and the contacts to whom we agreed, who are told if we do no more."""
        try:
            saved = self._home.load_state(_STATE, dict, dict)
            circles = Circles.from_json({key: saved[key] for key in ("circles", "consents") if key in saved})
            agreed = [EndpointId.parse(str(text)) for text in list(saved.get("agreed", ()))[:CONTACTS]]
        except (StateError, InvalidState, ValueError, TypeError) as error:
            _logger.warning("%s; contacts are asked for their circles again", error)
            return Circles(), {}
        return circles, dict.fromkeys(agreed)

    async def _save(self) -> None:
        saved = {**self._circles.to_json(), "agreed": list(map(str, self._agreed))}
        await asyncio.to_thread(self._home.save_state, _STATE, saved)
