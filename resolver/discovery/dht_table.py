"""Our place in the Mainline DHT, by libtorrent: a routing table that it keeps full and fresh. ⚡

libtorrent is an extra (`[dht]`) and is imported only here, when a table is opened. Where we are told that we are
reachable it answers other nodes (else read-only, BEP 43). We search by ourselves: it signs what it puts with a
sequence number of its own, where pkarr has the record's timestamp; and it calls a search done when the last silent
node has had fifteen seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from resolver.discovery.krpc import ID_BYTES, Node
from resolver.errors import DhtMissing, DiscoveryError
from resolver.limits import (
    DHT_BOOTSTRAP_BELOW,
    DHT_EMPTY_TABLE_SECONDS,
    DHT_LIVE_NODES,
    DHT_TABLE_SECONDS,
    DHT_UPLOAD_BYTES_PER_SECOND,
)
from tunnels.addresses import Address

if TYPE_CHECKING:
    from collections.abc import Sequence

INSTALL: Final = "pip install 'overlay-gateway[dht]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSettings:
    """How a table is kept."""

    hosts: Sequence[str]
    """The ips to listen on."""
    port: int = 0
    """UDP port; libtorrent listens on the TCP port of the same number, too, and closes what comes there."""
    bootstrap: Sequence[str] = ()
    """`host:port` of nodes that know others."""
    serves: bool = False
    """Whether we are reachable and answer other nodes."""
    private: bool = False
    """Whether it is a DHT of one's own: what protects on the Internet is left out."""


class DhtTable:
    """A node of the DHT. `open` it, `close` it once."""

    def __init__(self, settings: TableSettings, state: bytes = b"") -> None:
        """`state` is what an earlier `state()` gave: the nodes known then, so that nobody needs to be asked for some."""
        self._settings = settings
        self._state = state
        self._session: Any = None
        self._nodes: tuple[Node, ...] = ()
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start; DhtMissing if libtorrent is not installed, DiscoveryError if it cannot be used."""
        self._session = await asyncio.to_thread(self._make)
        self._read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._write_end = write_end
        loop = asyncio.get_running_loop()
        loop.add_reader(self._read_end, self._alerted)
        self._session.set_alert_fd(write_end)
        self._reading = loop.create_task(self._read_table(), name="DHT table")

    def _make(self) -> Any:  # noqa: ANN401 - libtorrent may be absent
        try:
            import libtorrent
        except ImportError as error:
            raise DhtMissing(f"libtorrent is not installed ({error}); {INSTALL}") from None
        self._lt = libtorrent
        settings, private = self._settings, self._settings.private
        kinds = libtorrent.alert.category_t
        pack: Any = {
            "listen_interfaces": ",".join(
                f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
                for host in settings.hosts
            ),
            "dht_bootstrap_nodes": ",".join(settings.bootstrap),
            "enable_dht": True,
            "dht_read_only": not settings.serves,
            "dht_upload_rate_limit": DHT_UPLOAD_BYTES_PER_SECOND,
            "dht_restrict_routing_ips": not private,
            "dht_restrict_search_ips": not private,
            "dht_prefer_verified_node_ids": not private,
            "dht_ignore_dark_internet": not private,
            "alert_mask": kinds.dht_notification,
            "alert_queue_size": 1000,
            # no torrents: only what a node of the DHT needs
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_incoming_tcp": False,
            "enable_outgoing_tcp": False,
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            "user_agent": "",
        }
        parameters = libtorrent.session_params()
        if self._state:
            # what cannot be read is forgotten: bootstrap nodes give others
            with contextlib.suppress(RuntimeError):
                parameters = libtorrent.read_session_params(
                    self._state, libtorrent.save_state_flags_t.save_dht_state
                )
        parameters.settings = pack
        try:
            return libtorrent.session(parameters)
        except RuntimeError as error:
            raise DiscoveryError(f"the DHT cannot be used: {error}") from None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The live nodes of the table."""
        return self._nodes

    async def state(self) -> bytes:
        """The nodes known now, for the next start."""
        return await asyncio.to_thread(self._save) if self._session is not None else self._state

    def _save(self) -> bytes:
        flag = self._lt.save_state_flags_t.save_dht_state
        return bytes(self._lt.write_session_params_buf(self._session.session_state(flag), flag))

    async def close(self) -> None:
        """End; what libtorrent needs to say goodbye takes a moment."""
        if self._session is None:
            return
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))
        asyncio.get_running_loop().remove_reader(self._read_end)
        session, self._session = self._session, None
        session.set_alert_fd(-1)
        await asyncio.to_thread(_end, [session])
        os.close(self._read_end)
        os.close(self._write_end)

    async def _read_table(self) -> None:
        """Ask for the live nodes, often while there are few."""
        while True:
            for node_id in await asyncio.to_thread(self._own_ids):
                self._session.dht_live_nodes(self._lt.sha1_hash(node_id))
            is_empty = len(self._nodes) < DHT_BOOTSTRAP_BELOW
            await asyncio.sleep(DHT_EMPTY_TABLE_SECONDS if is_empty else DHT_TABLE_SECONDS)

    def _own_ids(self) -> list[bytes]:
        """The ids of our nodes, one for each address that is listened on."""
        flag = self._lt.save_state_flags_t.save_dht_state
        saved = self._lt.write_session_params(self._session.session_state(flag), flag)
        ids = saved.get(b"dht state", {}).get(b"node-id", [])
        return [entry[:ID_BYTES] for entry in ids]

    def _alerted(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_end, 4096)
        live: dict[bytes, tuple[Node, ...]] = {}
        for alert in self._session.pop_alerts():
            if isinstance(alert, self._lt.dht_live_nodes_alert):
                live[alert.node_id.to_bytes()] = tuple(
                    Node(Address.of(*entry["endpoint"]), entry["nid"].to_bytes())
                    for entry in alert.nodes[:DHT_LIVE_NODES]
                    if entry["endpoint"][1]
                )
        if live:
            self._nodes = tuple(node for nodes in live.values() for node in nodes)


def _end(sessions: list[Any]) -> None:
    """Let go of the last reference: only that ends a session, and it blocks."""
    sessions.clear()
