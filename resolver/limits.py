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
RECORD_TOPICS: Final = 16
"""Topics in a record for the local network: as many as a gateway joins."""
TOPIC_NAME_CHARACTERS: Final = 64
"""The name of a topic is for a line on a terminal; 64 hexadecimal digits are a name that nobody guesses."""
RELAY_BYTES: Final = 250
"""The URL of a beacon in a record: with `r=` it fits into one string of a TXT record, which has at most 255."""
NICKNAME_BYTES: Final = 64
"""A nickname is for a line on a terminal, in UTF-8."""
ZONE_BYTES: Final = 456
"""What the zone and the profile may take of OWN_PACKET_BYTES. The rest always holds the header (12), the frame of `_overlay` (92), the
longest nickname (67) and home (253), and a lent relay that is known by an ip address (114): none of them is left out for the zone, and
the zone for none of them."""
ZONE_ENTRIES: Final = 32
"""Records in a zone; about 15 bytes each is the least, so that ours never has more, and of others' the first are read."""
ZONE_FILE_CHARACTERS: Final = 16384
"""A file with a zone: what fits has a few hundred, the rest is room for comments."""
ZONE_PREFIX_LABELS: Final = 2
"""Labels with an underscore before a label: `_service._protocol` (RFC 2782)."""
ZONE_ALPN: Final = 8
"""Protocols in one HTTPS record; HTTP has three."""
ALIAS_HOPS: Final = 4
"""Aliases followed from one name: nobody means more, and each may cost a question to another endpoint."""
PROFILE_NAME_BYTES: Final = 64
"""A display name is for a line on a terminal, as a nickname is."""
PROFILE_STRING_BYTES: Final = 253
"""A description or URL: with its key it fits into one string of a TXT record, which has at most 255."""
PROFILE_LINKS: Final = 8
"""Links in a profile; 456 bytes have room for a dozen of the shortest."""
MARKS_TOGETHER: Final = 4
"""Marks on one letter in a text for people (UTS 39 §5.4): real languages have fewer."""
RECORD_TTL: Final = 300
"""Seconds; what a pkarr client that caches by TTL shall hold: addresses change with the network."""
TICKET_CHARACTERS: Final = 4096
"""A ticket has at most 1790 characters; the rest is room for the line breaks and quote marks of mail."""
CONTACTS: Final = 16384
"""More than anybody adds by hand, and enough for who lets an organisation join; with a ticket each takes about 3 KB of
memory, 50 MB of a full book, and 700 bytes on disk."""
CONTACT_ADDRESSES: Final = 16
"""Addresses typed by hand for one contact."""
CONTACT_GROUPS: Final = 16
"""Groups that one contact is in: family, friends, a club or two; each is a word that access looks for."""
CONTACT_FILE_CHARACTERS: Final = 32 * 1024 * 1024
"""A file with contacts: a full book with all addresses there may be takes 15 million, and as much again with all groups
of the longest names."""
CACHED_RECORDS: Final = 131_072
"""Records of strangers on disk, at most 1.2 KB each, so 160 MB; the one learned longest ago gives way."""
READY_RECORDS: Final = 4096
"""Endpoints whose records are held in memory, read and ready, about 3 KB each; the least recently used goes first."""

# -- Circles: contacts of contacts --------------------------------------------------------------------------

CIRCLES: Final = 1024
"""Contacts whose circle is known; the one heard longest ago goes first."""
CIRCLE_MEMBERS: Final = 256
"""Endpoints in one circle: a person's acquaintances, and 300 KB of records to send."""
CIRCLES_MEMBERS: Final = 16_384
"""Endpoints in all circles together, each with at most one record: under 20 MB."""
CIRCLE_ASKED_BYTES: Final = 1200
"""A question about a circle: a record, of at most 1104 bytes, and what is around it."""
CIRCLE_TOLD_BYTES: Final = CIRCLE_MEMBERS * 1200
"""A circle as it is told: an id and a record for each member."""
CIRCLE_SECONDS: Final = 86_400.0
"""How long a circle counts after it was told: who is not in it any more is out within a day, reachable or not."""
CONSENTS: Final = 4096
"""Contacts who agreed to be introduced; the one that said so longest ago goes first."""
CONSENT_SECONDS: Final = 7 * 86_400.0
"""How long a consent counts, as long as the record that came with it."""

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

# -- The local network ------------------------------------------------------------------------------------

LAN_DATAGRAM_BYTES: Final = 1152
"""Of a question, whatever it holds: more than the largest answer (1110 bytes), so that nobody gets more out of us than he
put in; and little enough for one packet of IPv6 on any link (1280 bytes)."""
LAN_READ_BYTES: Final = 2048
"""A longer datagram is cut off here, and refused by its length."""
LAN_READS: Final = 32
"""Datagrams taken from a socket at once, before others have their turn of the event loop."""
LAN_STRANGERS: Final = 512
"""Endpoints heard that are no contacts of ours, about 4 KB each: more than a network of one broadcast domain has people. The
one that was silent longest goes; who is looked for is asked anyway. Contacts are kept beside these: their number is bounded."""
LAN_HEARD_SECONDS: Final = 7200.0
"""What is not heard again for so long is forgotten, whatever its record says of its end: it left without a goodbye."""
LAN_REFRESH_SECONDS: Final = 15.0
"""Who looks for an endpoint that was heard longer ago gets what was heard, and a question goes out beside that."""
LAN_VERIFIED_PER_SECOND: Final = 100.0
"""Signed packets of strangers that are looked at: 0.4 ms each, so 4 % of a core in a flood."""
LAN_VERIFIED_BURST: Final = 400.0
"""A large network that starts at once after a power cut."""
LAN_WANTED_PER_SECOND: Final = 100.0
"""The same for those that are looked for, and for contacts: a flood of strangers takes nothing from these."""
LAN_VERIFIED_PER_SOURCE: Final = 20.0
"""A second, of one ip: a machine has one gateway or a few."""
LAN_SOURCES: Final = 1024
"""Ips that are counted; beyond, the one that was silent longest has its whole share again."""
LAN_ANSWERS_PER_SECOND: Final = 20.0
"""Answers to questions for us: at 1110 bytes each, no more than 22 KB/s leave here, whoever asks in whoever's name."""
LAN_ANSWERS_PER_SOURCE: Final = 2.0
"""The same of one ip, which asks thrice for one search."""
LAN_QUESTIONS_PER_SECOND: Final = 20.0
"""Questions to the whole network: they wake every machine on it."""
LAN_QUESTIONS_BURST: Final = 60.0
"""Twenty endpoints looked for at once, thrice each."""
LAN_SEARCHES: Final = 64
"""Endpoints that are asked for at once; a search lasts two seconds, and further ones find only what was heard."""
LAN_QUESTION_TIMES: Final = (0.0, 0.2, 0.8)
"""Seconds from the beginning of a search: a datagram to all of a wireless network is sent once only, and often lost."""
LAN_FIND_SECONDS: Final = 1.6
"""How long answers are waited for: twice as long as it takes to ask thrice, and less than a person wants to wait."""
LAN_MDNS_SEARCHES: Final = 16
"""Questions of ours to multicast DNS that are open at once."""
LAN_MDNS_TEXTS: Final = 4
"""Texts of one name that are looked at, the last that came first: one is right, and anybody can add others that last for years."""
LAN_ANNOUNCE_TIMES: Final = (0.0, 1.0, 4.0)
"""Seconds after a change at which we announce ourselves: one may be lost, and an IPv6 address needs up to two seconds until
it may be used (RFC 4862 §5.4)."""
LAN_ANNOUNCE_JITTER: Final = 0.1
"""Seconds by which each is later, by chance: after a power cut all come at once."""
LAN_ANNOUNCE_SECONDS: Final = 900.0
"""From one announcement to the next when nothing changes, or up to a quarter less: 1.3 bytes a second."""
LAN_NEWCOMER_SECONDS: Final = 0.5
"""Who was never heard before is announced to within this time, by chance when: it does not know us yet."""
LAN_NEWCOMER_GAP: Final = 5.0
"""No announcement for newcomers sooner after any other one: however many strangers there are, or pretend to be."""
LAN_FAREWELLS: Final = 2
"""How often we say goodbye: one may be lost."""
LAN_FAREWELL_GAP: Final = 0.1
"""Seconds between these; multicast DNS says it thrice in 0.25 s."""
LAN_LINKS: Final = 16
"""Networks of this machine that are announced on: nobody's machine has more, and each has sockets of its own."""

# -- The DHT ------------------------------------------------------------------------------------------------

DHT_MESSAGE_BYTES: Final = 2048
"""The largest message that is read: an item of 1000 bytes, its key and signature, and 16 nodes of each family."""
DHT_DEPTH: Final = 4
"""Values in each other: a message, its arguments, a list in them and what is in that."""
DHT_TOKEN_BYTES: Final = 64
"""A write token; libtorrent's have 4 bytes, those of others 8 to 20."""
DHT_REASON_BYTES: Final = 100
"""How much of a node's words about a refusal is read: half a line."""
DHT_NODES_PER_ANSWER: Final = 16
"""Nodes read of one answer and family: BEP 5 asks for 8, some give 20; a liar names no more than an honest one."""
DHT_COPIES: Final = 8
"""Nodes that shall keep our record: the number that BEP 5 and BEP 44 choose for everybody."""
DHT_PUTS: Final = 24
"""Nodes asked to keep it, until so many do: three in four of the closest may be liars that refuse."""
DHT_WIDTH: Final = 16
"""Closest nodes whose answers end a search: twice as many as keep a record, because some may lie."""
DHT_WIDEST: Final = 32
"""The same while no valid record was found: whoever hides one must hold all of these."""
DHT_QUERIES: Final = 64
"""Nodes asked in one search, about 100 bytes each: some hops of 8, the width, and as many dead ones again."""
DHT_CANDIDATES: Final = 512
"""Nodes known of in one search: what all its answers may name, and no more."""
DHT_PARALLEL: Final = 8
"""Nodes asked at once in one search: a node that is dead costs its place for a second."""
DHT_SLOW_SECONDS: Final = 1.0
"""Silence after which a node's place is given to the next; nine in ten nodes that live answer in half of it."""
DHT_QUICK_SECONDS: Final = 0.25
"""The same at least, where four times the slowest answer so far is less: on one's own network."""
DHT_TELLERS: Final = 4
"""Of those who named a node, how many are kept in mind: one that is honest is enough."""
DHT_SEARCH_SECONDS: Final = 6.0
"""A whole search: with every second node dead it needs three or four."""
DHT_SETTLE_SECONDS: Final = 0.3
"""After a valid record, how long a newer one is waited for; one that comes later is learnt all the same."""
DHT_SEARCHES: Final = 16
"""Searches at once, those for publishing included; each holds a few dozen nodes."""
DHT_MESSAGES_PER_SECOND: Final = 100
"""Messages that we send for all searches; about 10 KB/s."""
DHT_MESSAGES_BURST: Final = 200
"""The same at once: three searches."""
DHT_PUBLISH_PER_HOUR: Final = 30
"""Publications; each may be 64 questions and 24 copies of a kilobyte. Changes come in bursts, republishing is hourly."""
DHT_UPLOAD_BYTES_PER_SECOND: Final = 8000
"""What libtorrent may send for the DHT, answers to others included."""
DHT_LIVE_NODES: Final = 1000
"""Nodes taken from libtorrent's routing table, which has 20 buckets of at most 128."""
DHT_BOOTSTRAP_BELOW: Final = 8
"""With fewer nodes than that in the table a search asks the bootstrap nodes as well."""
DHT_EMPTY_TABLE_SECONDS: Final = 0.25
"""How often the table is read while it has fewer nodes than that."""
DHT_TABLE_SECONDS: Final = 30.0
"""How often it is read later: its nodes change in minutes."""
DHT_ANNOUNCES_PER_HOUR: Final = 240
"""Announcements of topics: 64 topics, each told again before the half hour after which nodes forget."""
DHT_PEERS: Final = 128
"""Addresses taken of one topic; which of them are endpoints is found out by handshakes, which cost more."""
DHT_PEERS_PER_ANSWER: Final = 32
"""Addresses believed of one answer; of several answers each gets its share of DHT_PEERS, or one liar would fill it."""
