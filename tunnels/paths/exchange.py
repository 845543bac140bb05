"""The checks of one connection on their way out and in: sealed, within bounds, each pong told apart. Sans-IO."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.addresses import Address, SocketAddress, TurnAddress
from tunnels.bucket import Bucket
from tunnels.paths.checks import TRANSACTION_ID_BYTES, Check, Ping, Pong, Sealer
from tunnels.paths.path import Path, PathState
from tunnels.paths.probing import Outstanding

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from tunnels.addresses import PathAddress
    from tunnels.destinations import Destinations
    from tunnels.paths.candidates import Candidate


class Exchange:
    """Closed until the peer is authenticated; `chance` gives so many random bytes."""

    __slots__ = (
        "_chance",
        "_knocks",
        "_outstanding",
        "_pings",
        "_pongs",
        "_queue",
        "destinations",
        "peer_connection_id",
        "sealer",
        "shared",
    )

    def __init__(self, chance: Callable[[int], bytes]) -> None:
        self.sealer: Sealer | None = None
        """Once the peer is authenticated."""
        self.peer_connection_id = b""
        """Where checks go; empty until the peer's packets can be sent to."""
        self.shared: Bucket | None = None
        """What all connections with strangers have together for pings to where nobody answered yet."""
        self.destinations: Destinations | None = None
        """What all connections have together for such pings, to each ip."""
        self._chance = chance
        self._outstanding = Outstanding()
        self._knocks: dict[bytes, tuple[PathAddress, float]] = {}
        """By transaction id, oldest first: where they went, and when."""
        self._pings = Bucket(limits.PINGS_PER_SECOND)
        self._pongs = Bucket(limits.PONGS_PER_SECOND)
        self._queue: list[tuple[bytes, PathAddress]] = []

    @property
    def is_open(self) -> bool:
        """Whether checks can be sent."""
        return self.sealer is not None and bool(self.peer_connection_id)

    def send(self, check: Check, addresses: Iterable[PathAddress]) -> None:
        """Seal a check, for each of the addresses anew; dropped while none can be sent."""
        if self.sealer is not None and self.peer_connection_id:
            for address in addresses:
                self._queue.append((self.sealer.seal(check, self.peer_connection_id), address))

    def ping(self, path: Path, now: float, *, is_suspect: bool) -> None:
        """Ping on a path, or put it off if there were too many."""
        if not self._pings.take(now) or (path.answered_at == -inf and not self._may_ping_blind(path, now)):
            path.round.put_off(now)
            return
        if path.state is PathState.CLOSED:
            path.open(now)
        transaction_id = self._chance(TRANSACTION_ID_BYTES)
        self.send(Ping(transaction_id, is_suspect), (path.address,))
        self._outstanding.add(transaction_id, path, now)
        path.ping_sent(now)
        path.round.sent(now)

    def _may_ping_blind(self, path: Path, now: float) -> bool:
        """Whether that place, which may be anybody's, is pinged once more, whoever else named it."""
        if self.shared is not None and not self.shared.take(now):
            return False
        to = path.address
        if isinstance(to, SocketAddress | TurnAddress):
            to = to.peer
        if self.destinations is None or not isinstance(to, Address) or to.ip.is_loopback:
            return True
        return self.destinations.take(to.ip, now)

    def knock(self, to: PathAddress | None = None, now: float = 0.0) -> bytes:
        """A ping where there is no path yet: who gets it learns where it came from, and asks us there. Empty if not open.

        Its pong makes a path, if it is known where it is sent `to`."""
        if self.sealer is None or not self.peer_connection_id:
            return b""
        transaction_id = self._chance(TRANSACTION_ID_BYTES)
        if to is not None:
            if len(self._knocks) >= limits.MAX_OUTSTANDING_KNOCKS:
                del self._knocks[next(iter(self._knocks))]
            self._knocks[transaction_id] = (to, now)
        return self.sealer.seal(Ping(transaction_id), self.peer_connection_id)

    def knock_of(self, pong: Pong, now: float) -> tuple[PathAddress, float] | None:
        """Where the knock went that a pong answers, and when; None for one that we know nothing of, or not any more."""
        knock = self._knocks.pop(pong.transaction_id, None)
        return knock if knock is not None and now - knock[1] < limits.PING_LOST_AFTER else None

    def forget_knocks(self, sockets: Collection[int]) -> None:
        """Of these extra sockets, which are closed."""
        gone = [
            transaction_id
            for transaction_id, (to, _) in self._knocks.items()
            if isinstance(to, SocketAddress) and to.socket in sockets
        ]
        for transaction_id in gone:
            del self._knocks[transaction_id]

    def may_answer(self, now: float) -> bool:
        """Whether one more ping or offer of the peer's is answered."""
        return self._pongs.take(now)

    def ping_of(self, pong: Pong) -> tuple[Path, float] | None:
        """The path of the ping that a pong answers, and when it was sent; None for one that we know nothing of."""
        return self._outstanding.take(pong.transaction_id)

    def expire(self, now: float) -> None:
        """Count pings as lost that nobody will answer any more."""
        self._outstanding.expire(now)

    def take(self) -> list[tuple[bytes, PathAddress]]:
        """What is to be put on the wire, each with where to."""
        if not self._queue:
            return []
        queue, self._queue = self._queue, []
        return queue


class Strangers:
    """Addresses that datagrams of the connection came from, and that nobody vouches for."""

    __slots__ = ("_bucket", "_paths")

    def __init__(self) -> None:
        self._paths: dict[PathAddress, Path] = {}
        self._bucket = Bucket(limits.STRANGER_PINGS_PER_SECOND)

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, address: PathAddress) -> bool:
        return address in self._paths

    def ask(self, candidate: Candidate, now: float) -> Path | None:
        """The path on which to ping one of them now; None if that was done just now, or often enough with others.

        Of too many the oldest makes room.
        """
        path = self._paths.get(candidate.address)
        if path is not None and now - path.sent_at < 1 / limits.STRANGER_PINGS_PER_SECOND:
            return None
        if not self._bucket.take(now):
            return None
        if path is None:
            if len(self._paths) >= limits.MAX_STRANGERS:
                del self._paths[next(iter(self._paths))]
            path = self._paths[candidate.address] = Path(candidate)
        return path

    def take(self, address: PathAddress) -> Path | None:
        """It is a stranger no more."""
        return self._paths.pop(address, None)

    def clear(self) -> None:
        """Forget them."""
        self._paths.clear()
