"""Services by name, for Python programs: connect to those of others, and be one.

::

    async with overlay.Endpoint() as me:  # the gateway that runs here; or standalone=True
        async with await me.connect("alice", "chat") as stream:
            stream.write(b"hello\\n")
            print(await stream.readline())

        async with me.listen("chat", allow=["bob"]) as listener:
            async for stream in listener:
                print("from", stream.peer.name)

Streams are asyncio's own, so that whatever takes a reader and a writer takes them. `overlay.sync` is the same without asyncio.
Every error is an `OverlayError`, and a reason that one may want to tell apart has a class of its own.
"""

from gateway import __version__
from overlay.attaching import Peer
from overlay.datagrams import Datagrams
from overlay.endpoint import Contact, Endpoint, Ping
from overlay.errors import (
    Closed,
    ConnectError,
    Forbidden,
    InvalidRequest,
    InviteRefused,
    LimitReached,
    NameTaken,
    NoService,
    NotRunning,
    Offline,
    OverlayError,
    StreamCut,
    TargetDown,
    UnknownName,
)
from overlay.listening import Listener
from overlay.streams import Stream

__all__ = [
    "Closed",
    "ConnectError",
    "Contact",
    "Datagrams",
    "Endpoint",
    "Forbidden",
    "InvalidRequest",
    "InviteRefused",
    "LimitReached",
    "Listener",
    "NameTaken",
    "NoService",
    "NotRunning",
    "Offline",
    "OverlayError",
    "Peer",
    "Ping",
    "Stream",
    "StreamCut",
    "TargetDown",
    "UnknownName",
    "__version__",
]
