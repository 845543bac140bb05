"""Every bound and time of the resolver, each with its reason: the specifications' first, then our own."""

from typing import Final

# -- Specifications -------------------------------------------------------------------------------------

LABEL_CHARACTERS: Final = 63
"""RFC 1035 §2.3.4."""
SERVICE_NAME_CHARACTERS: Final = 62
"""One less than a label, because an SRV record writes the name with an underscore in front (RFC 2782)."""
NAME_BYTES: Final = 255
"""RFC 1035 §2.3.4, on the wire."""
SIGNED_PACKET_BYTES: Final = 1000
"""The largest DNS packet that pkarr signs and others may send us."""
OWN_PACKET_BYTES: Final = 996
"""The largest we sign: BEP 44 bounds the *bencoded* value to 1000 bytes, and `996:` is part of it."""
PLAIN_UDP_BYTES: Final = 512
"""A reply to a client without EDNS0 (RFC 1035 §4.2.1)."""
EDNS_UDP_BYTES: Final = 1232
"""The largest UDP reply we send or offer to take: no fragments on any path (DNS flag day 2020)."""
TCP_BYTES: Final = 65535
"""A message behind a two-byte length (RFC 1035 §4.2.2)."""

# -- Records, tickets, contacts ---------------------------------------------------------------------------

RECORD_ADDRESSES: Final = 16
"""Addresses in a record: two families, a few networks and mappings; more only slow the first connection."""
RECORD_SERVICES: Final = 64
"""Public services in a record; the packet's size bounds them earlier, this bounds what is built at all."""
RECORD_RELAYS: Final = 4
"""Beacons in a record: the home and a few to fall back on; whoever dials may have to connect to each."""
RELAY_BYTES: Final = 250
"""The URL of a beacon in a record: with `r=` it fits into one string of a TXT record, which has at most 255."""
NICKNAME_BYTES: Final = 64
"""A nickname is for a line on a terminal, in UTF-8."""
RECORD_TTL: Final = 300
"""Seconds; what a pkarr client that caches by TTL shall hold: addresses change with the network."""
TICKET_CHARACTERS: Final = 4096
"""A ticket has at most 1790 characters; the rest is room for the line breaks and quote marks of mail."""
CONTACTS: Final = 16384
"""More than anybody adds by hand, and enough for who lets an organisation join; with a ticket each takes about 3 KB of
memory, 50 MB of a full book, and 700 bytes on disk."""
CONTACT_ADDRESSES: Final = 16
"""Addresses typed by hand for one contact."""
CACHED_RECORDS: Final = 131_072
"""Records of strangers on disk, at most 1.2 KB each, so 160 MB; the one learned longest ago gives way."""
READY_RECORDS: Final = 4096
"""Endpoints whose records are held in memory, read and ready, about 3 KB each; the least recently used goes first."""

# -- Virtual addresses ------------------------------------------------------------------------------------

VIRTUAL_ADDRESSES: Final = 65536
"""Endpoints and services with an address of their own: 4 for each contact; 1.6 % of 127.64.0.0/10."""
MAPPED_PORT_FIRST: Final = 20000
"""Above what services are known by, and below the ports that systems hand out by themselves."""
MAPPED_PORT_LAST: Final = 31999
"""Linux hands out ports from 32768, others from 49152."""

# -- The DNS server ---------------------------------------------------------------------------------------

NAME_TTL: Final = 30
"""Seconds an answer may be cached: addresses are stable, but a contact may be renamed or removed."""
NEGATIVE_TTL: Final = 5
"""Seconds a negative answer may be cached (RFC 2308): the contact may be added at any moment."""
QUERY_BYTES: Final = 4096
"""A query is one name and options; anything longer is somebody playing."""
CACHED_REPLIES: Final = 2048
"""Whole replies held ready, at most 1232 bytes each: what makes a repeated question cheap."""
CONCURRENT_LOOKUPS: Final = 512
"""Queries waiting for a lookup; each holds a task, a few KB. Beyond, SERVFAIL at once."""
LOOKUP_SECONDS: Final = 4.0
"""A stub resolver asks again after 5 s; by then it shall have our SERVFAIL with the reason."""
UDP_READ_BUFFER: Final = 1 << 20
"""Bytes of queries the kernel may hold while the loop is busy elsewhere."""
TCP_CONNECTIONS: Final = 256
"""DNS over TCP is the exception; beyond, the longest idle connection is closed."""
TCP_CONNECTIONS_PER_CLIENT: Final = 128
"""Half of all, so that one client never has the other half."""
TCP_PIPELINE: Final = 32
"""Unanswered queries on one connection (RFC 7766 §6.2.1.1); beyond, we stop reading from it."""
TCP_IDLE_SECONDS: Final = 10.0
"""From one complete query to the next (RFC 7766 §6.2.3); single bytes do not extend it."""
BIND_ATTEMPTS: Final = 16
"""Tries to find a free port that is free for both UDP and TCP."""

# -- The forwarder and discovery --------------------------------------------------------------------------

FORWARD_SERVERS: Final = 8
"""Upstream servers; a resolv.conf has three."""
FORWARD_CONCURRENT: Final = 256
"""Queries waiting for an upstream server; each holds a socket."""
FORWARD_SECONDS: Final = 1.5
"""How long one upstream server may take before the next is asked."""
DISCOVERY_SECONDS: Final = 10.0
"""How long a record source may take to find a record."""
RECORD_FRESH_SECONDS: Final = 60.0
"""A search younger than this is not repeated when the endpoint is dialled: retries come every second or so."""
BEACON_CONNECT_SECONDS: Final = 5.0
"""For a connection to a beacon, TLS included; the rest of DISCOVERY_SECONDS is for its answer."""
BEACON_CONNECTIONS: Final = 32
"""Connections to beacons for records at once; further questions wait for one."""
BEACON_REASON_BYTES: Final = 200
"""How much of a beacon's words about a refusal is read: one line."""
CONCURRENT_SEARCHES: Final = 256
"""Endpoints searched for at once; each holds a task for each source."""
EXPLAINED_SEARCHES: Final = 1024
"""Endpoints whose last search is remembered for `explain`."""
