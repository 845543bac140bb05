"""Every bound of `gateway.traffic`, with its reason; those that other rooms keep to as well stand in `gateway.limits`."""

from typing import Final

LEDGER_ROWS: Final = 65_536
"""Rows of the ledger in all, about 300 B each: a thousand contacts with a dozen services, both ways and on both sides."""

LEDGER_SERVICES: Final = 512
"""Services of one endpoint that are counted apart: all it may have, and as many of ours. A page may name any number of them."""

LEDGER_STRANGERS: Final = 1024
"""Endpoints that are no contacts and are counted apart; ids cost nothing, so all further ones are counted as one."""

RATE_BURST_SECONDS: Final = 0.1
"""Of a rate, what may go at once after silence: it bridges the time for which the event loop is busy with something else, and is
2 % of five seconds."""

SHARE_QUANTUM: Final = 64 * 1024
SHARE_QUANTUM_LEAST: Final = 512
SHARE_QUANTUM_SECONDS: Final = 0.02
"""Octets that one stream moves before it is the next one's turn: 20 ms of the rate, at most one read of the kernel's size."""

SHARE_AWAY_SECONDS: Final = 0.05
"""Who wanted nothing for longer than this comes back at the others' time; a stream that had all it asked for asks again sooner."""

SHARE_LEAD: Final = 64 * 1024
"""Octets by which datagrams may be ahead of what waits in other shares, for they cannot wait: a burst of a video call."""

DATAGRAM_AHEAD_SECONDS: Final = 0.05
"""Of a rate, what datagrams may use before it is there, so that a download beside a call does not take it all."""

SMALL_OCTETS: Final = 64 * 1024
SMALL_SECONDS: Final = 2.0
"""A stream that moves less than this in this time goes first: keystrokes, requests, the answers that people wait for."""

SMALL_FIRST: Final = 8
"""Turns that such streams have before one of the others: nobody stops a download with many small ones."""

LIMIT_FLUSH_SECONDS: Final = 1.0
"""From the last octet of a quota to the reset of its streams: what was let through arrives first."""

LOCAL_LOOK_SECONDS: Final = 2.0
"""How often it is looked who is reached over the local network, where that decides what they share."""

TERMS_KNOWN: Final = 4096
"""Contacts and services of which it is remembered what holds for them; of more, all are looked up again. About 100 B each."""
