"""Every bound of `gateway.secure`, with its reason; those that other rooms keep to as well stand in `gateway.limits`."""

from typing import Final

DOOR_CONNECTIONS: Final = 512
"""Clients of one front door at once: a browser opens six to each name, and one for each WebSocket. Each costs two descriptors."""

DOOR_HANDSHAKE_SECONDS: Final = 10.0
"""How long TLS may take to begin: a browser on this machine needs milliseconds."""

DOOR_SHUTDOWN_SECONDS: Final = 2.0
"""How long we wait for the other side's goodbye in TLS; what was sent is delivered by then."""

DOOR_ACCEPT_PAUSE_SECONDS: Final = 0.2
"""How long no client is accepted after the system had no descriptor for one."""

DOOR_BIND_ATTEMPTS: Final = 16
"""Ports tried for one that is free on 127.0.0.1 and on ::1."""

CA_DAYS: Final = 1825
"""How long the certificate authority of a gateway is good, five years: it can be used for no name of the Internet, and
installing a new one takes a person's time."""

CA_RENEW_DAYS: Final = 60
"""How long before its end `overlay ca install` makes a new authority: twice as long as a certificate of it lives."""

LEAF_DAYS: Final = 30
"""How long a certificate for a name is good: what is made anew by itself needs no long life; browsers allow 90 days and more."""

LEAVES: Final = 256
"""Certificates for names that are kept, 50 KB each with their TLS context; the one used longest ago gives way. As many of
names that nobody in the address book has."""

LEAF_RATE: Final = 5.0
"""Certificates made in a second: each takes a millisecond, and a page could ask for one name after the other."""

LEAF_BURST: Final = 64.0
"""Certificates made at once: a browser that opens all its tabs again."""
