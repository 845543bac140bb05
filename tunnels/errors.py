"""The errors of tunnels, and who is to blame.

::

    TunnelError
     ├── KeyFileError          the identity file: unreadable, corrupt, unwritable        (ours)
     ├── ConfigurationError    a setting that this machine cannot honour                 (ours)
     ├── Unreachable           no known address of the endpoint answered in time         (nobody)
     │    └── Offline          every beacon where it may be says that it is not there    (nobody)
     ├── NoAllowedPath         none that a lane may use leads to the endpoint            (ours)
     ├── WrongIdentity         somebody else answered at the endpoint's address          (theirs)
     ├── ProtocolViolation     the peer sent what the protocol forbids                   (theirs)
     ├── TunnelClosed          the connection ended; open streams are gone with it       (either)
     │    └── TunnelLost       it ended by silence or breakage, nobody closed it          (nobody)
     ├── TooManyStreams        the connection carries as many streams as it may          (ours)
     ├── TooManyLanes          there are as many side connections as there may be        (ours)
     └── StreamReset           the peer gave the stream up; others on the tunnel live on (theirs)

Foreign exceptions (socket, TLS, QUIC engine) are mapped to these where they arise and nowhere else.
"""


class TunnelError(Exception):
    """Base of every error that tunnels raises on purpose."""


class KeyFileError(TunnelError):
    """The identity file cannot be used; the message names the file and the remedy."""


class ConfigurationError(TunnelError):
    """A setting that this machine cannot honour, such as a port that is taken."""


class Unreachable(TunnelError):
    """No known address of the endpoint answered in time; a later attempt may succeed."""


class Offline(Unreachable):
    """The endpoint is at none of its beacons, and nothing else is known of it; waiting would be in vain."""


class NoAllowedPath(TunnelError):
    """A connection was asked for by certain paths only, and none of these leads to the endpoint; nothing was sent."""


class TooManyLanes(TunnelError):
    """There are as many connections beside the main one as there may be; they end when nobody uses them."""


class WrongIdentity(TunnelError):
    """The endpoint that answered could not prove the id we asked for; nothing was sent to it."""


class ProtocolViolation(TunnelError):
    """The peer sent what the protocol forbids; its connection is closed, others are untouched."""


class TunnelClosed(TunnelError):
    """The connection ended; its streams are gone, a new connection may be opened."""


class TunnelLost(TunnelClosed):
    """The connection ended because the peer fell silent or QUIC broke; nobody closed it on purpose."""


class TooManyStreams(TunnelError):
    """The connection carries as many concurrent streams as it may; existing streams are untouched."""


class StreamReset(TunnelError, ConnectionResetError):
    """The peer gave this stream up with `code`; other streams of the tunnel live on."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the peer reset the stream (code {code})")
        self.code = code
