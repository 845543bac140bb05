"""Our connections to beacons: the one to our home, which is searched and kept, and others for as long as they are used."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import msgspec

from tunnels import limits
from tunnels.errors import TunnelError
from tunnels.relay import frames
from tunnels.relay.client import Challenged, Welcomed, one_line
from tunnels.relay.home import HomeSearch, beacon_backoff
from tunnels.relay.status import RelayState, RelayStatus
from tunnels.transports.beacon_connection import BeaconConnection
from tunnels.transports.interfaces import interface_addresses
from tunnels.transports.web import Proxy, refuse_redirects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tunnels.addresses import BeaconUrl
    from tunnels.backoff import Backoff
    from tunnels.identity import EndpointId, SecretKey
    from tunnels.relay.client import RelayEvent
    from tunnels.transports.beacon_connection import Spawn

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class BeaconConnections:
    """All of them. `on_event` gets what a beacon passes on or answers, `on_state` every change of a beacon."""

    def __init__(
        self,
        secret_key: SecretKey,
        *,
        on_event: Callable[[BeaconConnection, RelayEvent], None],
        on_state: Callable[[BeaconUrl, RelayState], None],
        spawn: Spawn,
        proxy: str | None,
        version: str,
    ) -> None:
        self._secret_key = secret_key
        self._on_event = on_event
        self._on_state = on_state
        self._spawn = spawn
        self._proxy = Proxy(proxy) if proxy else None
        self._version = version
        self._session: aiohttp.ClientSession | None = None
        self._connections: dict[BeaconUrl, BeaconConnection] = {}
        self._search = HomeSearch(random.random)
        self._beacons: tuple[BeaconUrl, ...] = ()
        self._lent: tuple[BeaconUrl, ...] = ()
        self._strangers: tuple[BeaconUrl, ...] = ()
        self._own: BeaconUrl | None = None
        self._own_at: str | None = None
        self._backoffs: OrderedDict[BeaconUrl, Backoff] = OrderedDict()
        self._errors: OrderedDict[BeaconUrl, str] = OrderedDict()
        self._ids: OrderedDict[str, EndpointId] = OrderedDict()  # of the beacon at each origin
        self._timer: asyncio.TimerHandle | None = None
        self._tidy_timer: asyncio.TimerHandle | None = None
        self._begun: deque[float] = deque(maxlen=limits.BEACON_CONNECTIONS)  # when, to others' beacons
        self._closed = False

    def set_beacons(
        self,
        urls: Iterable[BeaconUrl],
        lent: Iterable[BeaconUrl] = (),
        strangers: Iterable[BeaconUrl] = (),
    ) -> None:
        """Be at home at the first of these that works, or at a `lent` one; from now on, and whenever it is lost.

        What `strangers` lend comes after that, and is a home whose word is not believed.
        """
        self._strangers = tuple(dict.fromkeys(strangers))
        self._beacons, self._lent = (
            tuple(dict.fromkeys(urls)),
            tuple(dict.fromkeys((*lent, *self._strangers))),
        )
        fallbacks = self._lent if self._own is None else (self._own, *self._lent)
        self._search.set_beacons(self._beacons, fallbacks)
        for url in (*self._beacons, *fallbacks):
            connection = self._connections.get(url)
            if (
                self.home is None
                and connection is not None
                and connection.is_up
                and not connection.is_leaving
            ):
                self._search.connected(url, self._now())
                self._on_state(url, RelayState.CONNECTED)
        self._search_home()

    def set_own(self, url: BeaconUrl, at: str) -> None:
        """We lend this relay ourselves, and are always there; on this machine it listens `at` an origin."""
        self._own, self._own_at = url, at
        own = [url for url in self._lent if url not in self._strangers]
        self.set_beacons(self._beacons, own, self._strangers)

    @property
    def home(self) -> BeaconUrl | None:
        """The beacon where others find us, while it is connected."""
        return self._search.home

    @property
    def home_id(self) -> EndpointId | None:
        """The id that our home proved; None while there is none, or it is a stranger's."""
        if self.home in self._strangers and self.home not in self._beacons:
            return None
        connection = self._connections.get(self.home) if self.home is not None else None
        return connection.beacon_id if connection is not None else None

    def status(self) -> tuple[RelayStatus, ...]:
        """Configured beacons in their order, the relay we lend, others we are connected to, or need and cannot have."""
        own = () if self._own is None else (self._own,)
        needed = [url for url in self._lent if url in self._errors] if self.home is None else []
        told = dict.fromkeys((*self._beacons, *own, *self._connections, *needed))
        return tuple(map(self._status_of, told))

    def _status_of(self, url: BeaconUrl) -> RelayStatus:
        connection = self._connections.get(url)
        is_up = connection is not None and connection.is_up
        if connection is None:
            is_sought = url in self._errors and self.home not in self._beacons
            state = RelayState.WAITING if is_sought else RelayState.CLOSED
        else:
            state = RelayState.CONNECTED if is_up else RelayState.CONNECTING
        return RelayStatus(
            url=url,
            state=state,
            is_home=url == self.home,
            connected_seconds=self._now() - connection.since if connection is not None and is_up else None,
            welcome=connection.welcome if connection is not None else None,
            beacon_id=connection.beacon_id if connection is not None else None,
            bytes_sent=connection.bytes_sent if connection is not None else 0,
            bytes_received=connection.bytes_received if connection is not None else 0,
            error=self._errors.get(url, ""),
        )

    def network_changed(self) -> None:
        """Ask every beacon for a sign of life within a second, and try again at once what failed or was not up yet."""
        self._backoffs.clear()
        self._search.network_changed(self._now())
        own_ips = frozenset(entry.ip for entry in interface_addresses()[0])
        for url, connection in list(self._connections.items()):
            is_old = connection.own_ip is not None and connection.own_ip not in own_ips
            if connection.is_up and not is_old:
                connection.check()
            else:  # it was made, or begun, on another network
                del self._connections[url]
                self._search.given_up(url)
                connection.release("the network changed")
                self._on_state(url, RelayState.CLOSED)
        self._search_home()

    def get(self, url: BeaconUrl, *, may_connect: bool = True) -> BeaconConnection | None:
        """The connection to that beacon, whatever it is called; begun now if need be, None if it must not be."""
        connection = self._connections.get(url) or self.same_beacon(url)
        if connection is not None and not connection.is_wanted:
            connection = None  # it ends in this turn of the event loop
        if connection is not None or self._closed or not may_connect:
            return connection
        now = self._now()
        backoff = self._backoffs.get(url)
        if backoff is not None and backoff.next_attempt > now:
            return None
        if url.scheme != "https" and not any(own.scheme == url.scheme for own in self._beacons):
            return None  # a record must not make us ask things of whatever speaks HTTP on a network of ours
        if url not in self._beacons:
            if (
                len(self._begun) == limits.BEACON_CONNECTIONS
                and now - self._begun[0] < limits.BEACON_BEGIN_PERIOD
            ):
                return None  # a peer may name ever new places, and each would be asked for a connection
            if not self._has_room(now):
                return None
            self._begun.append(now)
        return self._connect(url)

    def _has_room(self, now: float) -> bool:
        """For one more that is not ours; the one that was not used for longest makes way, if it was not used lately."""
        ours = (*self._beacons, self._own, self.home)
        others = [other for url, other in self._connections.items() if url not in ours and other.is_wanted]
        if len(others) < limits.BEACON_CONNECTIONS:
            return True
        oldest = min(others, key=lambda other: other.used_at)
        if not oldest.is_idle or now - oldest.used_at < limits.BEACON_STAYS:
            return False
        oldest.release("others are needed more")
        return True

    def same_beacon(self, url: BeaconUrl) -> BeaconConnection | None:
        """A beacon knows an endpoint by one connection; a second one, by another name, would end the first."""
        beacon_id = url.beacon_id or self._ids.get(url.origin)
        if beacon_id is None:
            return None
        for connection in self._connections.values():
            if connection.beacon_id == beacon_id:
                return connection
        return None

    def error_of(self, url: BeaconUrl) -> str:
        """Why it is not connected, in one line; empty if it never failed."""
        return self._errors.get(url, "")

    # --- connections ------------------------------------------------------------------------------------------

    def _connect(self, url: BeaconUrl) -> BeaconConnection:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                timeout=aiohttp.ClientTimeout(total=None),
                # The beacon keeps a request's headers as long as the connection: a kilobyte for each gateway.
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
                middlewares=(refuse_redirects,),
            )
        connection = BeaconConnection(
            url,
            self._secret_key,
            session=self._session,
            proxy=self._proxy,
            version=self._version,
            spawn=self._spawn,
            on_event=self._received,
            at=self._own_at if url == self._own else None,
        )
        self._connections[url] = connection
        self._tidy_later()
        connection.task = self._spawn(self._run(connection), f"beacon {url.authority}")
        self._on_state(url, RelayState.CONNECTING)
        return connection

    async def _run(self, connection: BeaconConnection) -> None:
        why = "it crashed"
        try:
            await connection.run()
        except TunnelError as error:
            why = str(error)
        except asyncio.CancelledError:  # the gateway stops: nobody is to be connected instead
            self._closed = True
            raise
        finally:
            if self._connections.get(connection.url) is connection:
                del self._connections[connection.url]
                if not self._closed:
                    self._ended(connection, why)

    def _ended(self, connection: BeaconConnection, why: str) -> None:
        url, now = connection.url, self._now()
        if connection.is_wanted:
            lasted = now - connection.since if connection.is_up else 0.0
            if connection.was_replaced:  # by another gateway with our key: taking turns would help neither
                lasted, why = -1.0, self._errors.get(url, why)
            elif connection.fell_silent:  # it may be the network's fault
                lasted = max(lasted, limits.BEACON_STEADY)
            _remember(self._errors, url, why)
            if lasted < limits.BEACON_STEADY:
                backoff = self._backoffs.get(url) or beacon_backoff()
                backoff.failed(now, random.random())  # noqa: S311 - it spreads attempts, it keeps no secret
                _remember(self._backoffs, url, backoff)
            is_silent = connection.fell_silent and not connection.was_checked
            self._search.lost(url, now, lasted, is_silent=is_silent)
        else:
            self._search.given_up(url)
        self._on_state(url, RelayState.WAITING if connection.is_wanted else RelayState.CLOSED)
        self._search_home()

    def _search_home(self) -> None:
        """Connect to what is to be tried now, and come back when more is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._closed:
            return
        now = self._now()
        while (url := self._search.to_connect(now)) is not None:
            connection = self._connections.get(url)
            if connection is None:
                self._connect(url)
            elif connection.is_leaving:
                del self._connections[url]  # a new one takes its place; its peers are told by `on_state`
                connection.release("the beacon is going away")
                self._connect(url)
            elif connection.is_up and self._search.connected(url, now):
                self._on_state(url, RelayState.CONNECTED)
        due = [when for when in (self._search.get_timer(), self._keep_own(now)) if when is not None]
        if due:
            self._timer = asyncio.get_running_loop().call_at(min(due), self._search_home)

    def _keep_own(self, now: float) -> float | None:
        """Be at the relay that we lend, whatever our home is; when to try again, if that is to wait."""
        own = self._own
        if own is None or own in self._connections or self.same_beacon(own) is not None:
            return None
        backoff = self._backoffs.get(own)
        if backoff is not None and backoff.next_attempt > now:
            return backoff.next_attempt
        self._connect(own)
        return None

    def _tidy(self) -> None:
        """Close what nobody uses; come back while there is something to close."""
        self._tidy_timer = None
        now = self._now()
        for url, connection in self._connections.items():
            if (
                url not in (self.home, self._own)
                and url not in self._search.trying
                and connection.is_idle
                and connection.is_up
                and now - connection.used_at >= limits.BEACON_UNUSED
            ):
                connection.release("nobody needs it")
        if self._connections:
            self._tidy_later()

    def _tidy_later(self) -> None:
        if self._tidy_timer is None:
            loop = asyncio.get_running_loop()
            self._tidy_timer = loop.call_later(limits.BEACON_UNUSED / 6, self._tidy)

    async def close(self) -> None:
        """Close every connection; nothing is called back from here on."""
        self._closed = True
        for timer in (self._timer, self._tidy_timer):
            if timer is not None:
                timer.cancel()
        tasks = []
        for connection in self._connections.values():
            connection.release("this gateway stops")
            if connection.task is not None:
                tasks.append(connection.task)
        if tasks:
            await asyncio.wait(tasks)
        if self._session is not None:
            await self._session.close()

    # --- what they say ----------------------------------------------------------------------------------------

    def _received(self, connection: BeaconConnection, event: RelayEvent) -> None:
        if self._closed:
            return
        match event:
            case Challenged(beacon_id):
                self._challenged(connection, beacon_id)
            case Welcomed():
                self._welcomed(connection)
            case frames.Turn(turn=turn) if connection.welcome is not None and connection.awaits_turn:
                connection.awaits_turn = False
                connection.welcome = msgspec.structs.replace(connection.welcome, turn=turn)
                self._keep_turn(connection)
                self._on_state(connection.url, RelayState.CONNECTED)
            case frames.Receipt(limits=granted) if connection.welcome is not None:
                connection.welcome = msgspec.structs.replace(connection.welcome, limits=granted)
            case frames.Refused(code=code, reason=reason):
                if code == "login":
                    connection.was_replaced = True
                _remember(self._errors, connection.url, f"it refuses something: {one_line(reason)}")
            case frames.Leaving():
                self._leaving(connection)
            case _:
                self._on_event(connection, event)

    def _challenged(self, connection: BeaconConnection, beacon_id: EndpointId) -> None:
        """Who it says it is; our login there would end another connection to the same beacon."""
        _remember(self._ids, connection.url.origin, beacon_id)
        other = self._other_of(connection, beacon_id)
        if other is not None and connection.url not in self._search.trying:
            connection.release(f"it is the beacon at {other.url.origin}")

    def _other_of(self, connection: BeaconConnection, beacon_id: EndpointId) -> BeaconConnection | None:
        """An older connection to the beacon of that id."""
        for other in self._connections.values():
            if (
                other is not connection
                and other.is_up
                and not other.is_leaving
                and other.beacon_id == beacon_id
            ):
                return other
        return None

    def _welcomed(self, connection: BeaconConnection) -> None:
        trying = self._search.trying
        if connection.url in trying and connection.beacon_id is not None:
            older = self._other_of(connection, connection.beacon_id)
            if older is not None:  # not before it is proved: no beacon ends our connection to another one
                older.release(f"it is the beacon at {connection.url.origin}")
        self._errors.pop(connection.url, None)
        self._backoffs.pop(connection.url, None)
        if self._search.connected(connection.url, self._now()):
            for other in trying - self._search.trying - {connection.url, self._own}:  # they came second
                loser = self._connections.get(other)
                if loser is not None and not loser.is_up and loser.is_idle:
                    loser.release("another beacon was faster")
        self._keep_turn(connection)
        self._on_state(connection.url, RelayState.CONNECTED)

    def _keep_turn(self, connection: BeaconConnection) -> None:
        """Ask for new TURN credentials while the old ones are still good."""
        turn = connection.welcome.turn if connection.welcome is not None else None
        if turn is not None:
            wait = max(limits.TURN_RENEWAL_SHORTEST, turn.seconds * 0.8)
            loop = asyncio.get_running_loop()
            if connection.turn_timer is not None:
                connection.turn_timer.cancel()
            connection.turn_timer = loop.call_later(wait, self._renew_turn, connection)

    def _renew_turn(self, connection: BeaconConnection) -> None:
        if self._connections.get(connection.url) is connection and not self._closed:
            connection.say(frames.TurnPlease())

    def _leaving(self, connection: BeaconConnection) -> None:
        if connection.is_leaving:
            return
        connection.is_leaving = True
        self._search.leaving(connection.url, self._now())
        self._on_state(connection.url, RelayState.CONNECTED)
        self._search_home()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _remember(
    table: OrderedDict[_Key, _Value], key: _Key, value: _Value, most: int = limits.BEACONS_REMEMBERED
) -> None:
    """Put it in as the newest; the oldest goes where there is no room."""
    table[key] = value
    table.move_to_end(key)
    if len(table) > most:
        table.popitem(last=False)
