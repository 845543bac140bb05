"""Every bound of the gateway, with its reason. Bounds of tunnels and the resolver stand in their own `limits`."""

from typing import Final

SPLICE_WRITE_BUFFER: Final = 64 * 1024
"""Bytes waiting for a slow local socket before reading from the tunnel pauses: one read of the kernel's size."""

SOCKET_PATH_BYTES: Final = 100
"""Longest path of the control socket: sun_path holds 104 bytes on macOS and 108 on Linux, with a zero at the end."""

STATE_FILE_BYTES: Final = 64 * 1024 * 1024
"""Largest state file that is read: a full address book fits, a ticket, all addresses and all groups with each; anything larger
was not written by us."""

CONFIG_FILE_BYTES: Final = 1024 * 1024
"""Largest configuration file: thousands of services fit, and a device or a log given by mistake is told early."""

CONFIG_PROBLEMS: Final = 50
"""Problems listed for one configuration file; more of them teach nobody anything."""

LOG_FILE_BYTES: Final = 4 * 1024 * 1024
"""Where the log file starts anew: some days of a busy gateway at level info."""

LOG_FILES: Final = 3
"""Old log files that are kept; with the newest one 16 MiB in all."""

LOG_LINE_CHARACTERS: Final = 2000
"""Longest message or field of a log line: strangers choose parts of some of them."""

LOG_QUEUE: Final = 10_000
"""Lines that wait for a slow disk or a stopped terminal: a burst of a second or two, about 5 MB."""

HTTP_HEAD_BYTES: Final = 64 * 1024
"""Longest head of an HTTP message: four times what Chromium's cookies for one host need; more is answered with 431."""

HTTP_FIELDS: Final = 256
"""Header fields in one HTTP message: browsers send about 20, and each costs several objects."""

HTTP_CHUNK_LINE_BYTES: Final = 1024
"""Longest chunk-size line with its extensions, which nobody uses and which are dropped."""

HTTP_TRAILER_BYTES: Final = 8 * 1024
"""Trailer section after a chunked body: a digest and a few timings."""

HTTP_PIPELINE_BYTES: Final = 64 * 1024
"""What a client may send ahead (body before the dial has ended, next requests) before reading from it pauses."""

HTTP_IDLE_SECONDS: Final = 120.0
"""Time between two requests of a kept HTTP connection; browsers give theirs up after 115 to 300 s."""

LINGER_SECONDS: Final = 2.0
"""How long a refused client may go on sending before its connection closes, so that it reads our answer first."""

PROXY_CONNECTIONS: Final = 4096
"""Clients of the proxy at once: four times the thousand streams we promise; each costs two descriptors at most."""

PROXY_HANDSHAKES: Final = 1024
"""Clients that have not finished their first request; beyond it the oldest gives way, as honest ones are done in milliseconds."""

PROXY_REFUSALS: Final = 64
"""Clients beyond the cap that are told so at once; further ones are reset unheard."""

PROXY_HANDSHAKE_SECONDS: Final = 10.0
"""From the first byte of a request head to its last; honest clients on loopback need milliseconds."""

LISTEN_BACKLOG: Final = 1024
"""Connections the kernel keeps while we are busy: a page load of a whole browser session."""

UDP_ASSOCIATIONS: Final = 256
"""SOCKS5 UDP associations at once: each costs a socket; a client needs one."""

UDP_FLOWS_PER_ASSOCIATION: Final = 256
"""Destinations of one association; the least recently used gives way (a DNS client asks tens, a game fewer)."""

UDP_FLOW_IDLE_SECONDS: Final = 120.0
"""Silence after which a flow is forgotten: RFC 4787 REQ-5 asks for at least two minutes."""

UDP_FLOW_FAILED_SECONDS: Final = 5.0
"""How long datagrams to a destination that could not be opened are dropped before it is tried again."""

UDP_QUEUE_DATAGRAMS: Final = 16
"""Datagrams kept while a flow opens: the first flight of QUIC or DTLS; older ones would be retransmitted anyway."""

DIRECT_CONNECT_SECONDS: Final = 20.0
"""Time to reach a host outside the overlay: five SYN retransmissions are at 1, 3, 7, 15 and 31 s."""

DIRECT_ADDRESSES: Final = 8
"""Addresses tried of one host name outside the overlay."""

LOG_CLOSE_SECONDS: Final = 2.0
"""How long the end of the gateway waits for the last log lines to be written."""

CONTROL_CONNECTIONS: Final = 64
"""Connections to the control socket at once: a person, some scripts, some followed logs."""

SERVICE_MEMORY: Final = 1 << 30
"""Bytes at which systemd ends a gateway that it runs: eight times what one with ten thousand contacts takes."""

SERVICE_WATCHDOG_SECONDS: Final = 60
"""Without a sign of life for so long systemd starts it again: nothing here holds the event loop up for a second."""

SERVICE_STOP_SECONDS: Final = 20
"""How long a service may take to end: open streams get a moment, and beacons a goodbye."""

METRICS_CONNECTIONS: Final = 16
"""Connections that fetch metrics: Prometheus has one, and two of it and a person with curl are served as well."""

METRICS_HEAD_SECONDS: Final = 10.0
"""How long a connection for metrics may take to its first request: whoever says nothing would take the place of Prometheus."""

METRICS_KEEPALIVE_SECONDS: Final = 75.0
"""How long an idle connection for metrics stays: Prometheus asks once a minute by default, over the same one."""

FIRST_REQUESTS_KEPT: Final = 128
"""Connections without a request that are known before those that hung up are forgotten: more than any web server of ours lets
in, and nobody fills memory by coming and going, at 2.4 KB a connection."""

CONTROL_BODY_BYTES: Final = 96 * 1024
"""Largest request: a service with a thousand allowed ids, and `contacts-of:` before each."""

IMPORT_CONTACTS: Final = 48
"""Contacts in one request of an import, which makes as many as it takes: with sixteen addresses and groups each they fit into
one body."""

GROUP_CONTACTS: Final = 256
"""Contacts in one command about a group: more than anybody types, and they fit into one body."""

CONTROL_BODY_SECONDS: Final = 5.0
"""How long the body of a request may take: it comes from this machine."""

CONTROL_HEAD_SECONDS: Final = 10.0
"""How long a new connection may take to its first request."""

CONTROL_KEEPALIVE_SECONDS: Final = 15.0
"""How long an idle connection stays; the dashboard polls more often than that."""

CONTROL_SHUTDOWN_SECONDS: Final = 1.0
"""How long `down` waits for requests that are being answered; a followed log never ends by itself."""

CONTROL_LOG_LINES: Final = 10_000
"""Most lines of the log that are told at once."""

CONTROL_REPLY_BYTES: Final = 64 * 1024 * 1024
"""Largest reply a command reads: the status of a gateway with every table full."""


SERVICES: Final = 256
"""Services of one endpoint: more than a person names, and their list fits one answer."""

SERVICE_PORTS: Final = 1024
"""Ports of one service's range: each becomes a listener on the machines that use it."""

SERVICE_ALLOWED: Final = 1024
"""Entries in a service's list of who may use it; beyond that `contacts` or `--public` is what is meant."""

HEADER_BODY_BYTES: Final = 1024
"""Body of a stream header: a name, a reason and room for what later versions add."""

HEADER_REASON_BYTES: Final = 255
"""Reason in an answer: one line, and its length is one byte."""

SERVICE_LIST_BYTES: Final = 64 * 1024
"""The list of another endpoint's services: SERVICES of the longest name take less than half of it."""

HEADER_SECONDS: Final = 10.0
"""For a stream's header to arrive: it is sent with the stream itself, so even a slow path needs one round trip."""

TARGET_CONNECT_SECONDS: Final = 10.0
"""For the target of a service to accept: targets are near, and the caller's own patience ends soon after."""

ANSWER_SECONDS: Final = 25.0
"""For the far side's answer: its header and target deadlines, and round trips over a slow relay."""

STREAMS_PENDING_PER_ENDPOINT: Final = 1024
"""Streams of one endpoint without an answer yet: a burst of a thousand connections is opened at once by real clients."""

STREAMS_PENDING: Final = 4096
"""Streams of all endpoints without an answer yet: about 4 KB each."""

STREAMS_PER_ENDPOINT: Final = 4096
"""Streams that one endpoint holds open to our services: each holds a descriptor here."""

STREAMS: Final = 16384
"""Streams of all endpoints to our services; where the system allows fewer descriptors, it says so first."""

DATAGRAM_BYTES: Final = 65507
"""Largest UDP payload over IPv4: 65535 less the IP and UDP headers."""

FLOW_IDLE_SECONDS: Final = 60.0
"""A UDP flow without a datagram either way ends: above the 30 s that DNS and most games keep quiet, RFC 4787 asks
for 120 s of NATs, whose tables are not so small as a process's descriptors."""

FLOWS_PER_ENDPOINT: Final = 1024
"""UDP flows with one endpoint, each a socket at the serving side; the one idle longest makes room for a new one."""

FLOWS: Final = 4096
"""UDP flows with all endpoints."""

FLOW_EARLY_DATAGRAMS: Final = 16
"""Datagrams sent before the answer is there: the first flight of QUIC or DTLS has fewer."""

FLOW_EARLY_BYTES: Final = 32 * 1024
"""Bytes of the datagrams sent before the answer is there."""

LISTENERS: Final = 1024
"""Loopback listeners, a descriptor each; those used longest ago give way."""

LISTENER_CONNECTIONS: Final = 8192
"""Connections accepted by all loopback listeners together: anybody on this machine may connect."""

LISTENER_DIALS: Final = 2048
"""Connections on loopback listeners that wait for the far side to answer."""

LISTENER_SOURCES: Final = 256
"""Sources (address and port) that one UDP listener serves at once; a resolver uses a new port per question."""

LISTENER_SOURCES_TOTAL: Final = 4096
"""Sources that all UDP listeners serve at once."""

REMOTE_SERVICES_KNOWN: Final = 16384
"""Endpoints whose list of services is remembered: all contacts; a list of three services takes about 1 KB of memory."""

REMOTE_SERVICES_REFRESHED: Final = 64
"""Endpoints that are asked anew at once, behind answers from what they told before: most may be offline, and each is dialled."""

REMOTE_SERVICES_FRESH: Final = 60.0
"""Seconds after which a list of services is asked for again; the old one serves meanwhile."""

EXPIRED_ROWS: Final = 64
"""Expired rows cleared away with each write: more than a write adds, and too few to be felt."""

BEACON_CREDIT_BYTES: Final = 1 << 53
"""Most credit of one endpoint: up to here the numbers of Redis's scripts are exact; 9 PB is enough for anybody."""

VOUCHER_CHARACTERS: Final = 1024
"""A voucher has 273 characters, a receipt 286; the rest is room for the line breaks and quote marks of mail."""

CONTACTS_AT_ONCE: Final = 2
"""Contacts told of before whatever else waits has its turn: half a millisecond where their records have to be read first,
and what waits, such as a question for a name, needs some turns."""

DIRECTORY_FACTS: Final = 4096
"""Names whose facts are kept ready; beyond it they are gathered afresh, which costs microseconds each."""

GREETING_SECONDS: Final = 3.0
"""How long `overlay join` waits for the new contact to tell its services; it may well be offline."""

REMOTE_SERVICES_ABSENT: Final = 0.2
"""Seconds for which a service that an endpoint did not tell of counts as absent: it may be exposed any moment, and
asking again costs it one small stream, five times a second at most."""

HELD_VOUCHERS: Final = 64
"""Vouchers that are kept: each is for gigabytes; one that was taken or has expired makes room."""

KEPT_SAVE_SECONDS: Final = 2.0
"""From a change of what is remembered to its being written: records of many contacts come at once, after a start."""

KEPT_RECORDS_UNWRITTEN: Final = 4096
"""Records of strangers that wait for being written, 1 KB each: more than can be asked for in the time until then."""

KEPT_ROWS_UNWRITTEN: Final = 20_000
"""Rows of one table that wait for a disk that is full: one for each contact and service of an address book that is full; beyond
it the oldest are not written."""

SAVE_RETRY_LONGEST_SECONDS: Final = 60.0
"""Longest time between attempts to write to a disk that did not take it: who has freed it waits no longer than this."""

NAT_HISTORY_SAVE_SECONDS: Final = 10.0
"""From an outcome between two networks to its being written: many attempts end together, and little is lost without it."""

NAT_HISTORY_BYTES: Final = 1024 * 1024
"""Largest file of that kind which is read: full of everything it may hold, one is about half as large."""

WHOIS_SECONDS: Final = 3.0
"""How long a person who asks who somebody is waits for a newer record than the one at hand."""

ZONE_WAIT_SECONDS: Final = 1.5
"""How long a name that its owner's zone has waits for the list of services, which wins over it; the DNS server waits 4 s for all."""

ZONES_KNOWN: Final = 4096
"""Zones of others at hand, of 456 bytes on the wire each and some 5 KB here: as many as there are records in memory."""

PUBLISH_EVERY_SECONDS: Final = 3600.0
"""Our record is published again within an hour: stores of strangers, such as the DHT's, forget one after two."""

LOCAL_RECORD_LIFETIME: Final = 600.0
"""Seconds for which our record on the local network may be used: addresses there change when we move."""

PUBLISH_LOCAL_EVERY_SECONDS: Final = 240.0
"""The same for our record on the local network: one may be lost before the last one expires."""

PUBLISH_DEBOUNCE_SECONDS: Final = 0.5
"""From a change to the publication that tells of it, at least, and twice that at most: what changes together is published
together."""

PUBLISH_GAP_SECONDS: Final = 5.0
"""Least time between two publications: a beacon lets nobody write all the time."""

PUBLISH_LOCAL_GAP_SECONDS: Final = 0.5
"""The same on the local network: an address that came a moment after the start is to be known at once."""

PUBLISH_RETRY_SECONDS: Final = 5.0
"""From the first failed publication to the next attempt; doubled each time."""

PUBLISH_RETRY_LONGEST: Final = 900.0
"""Longest time between attempts at a beacon that stays away."""

OPEN_FILES: Final = 65536
"""Descriptors asked of the system: all bounds on connections and listeners together stay below it."""

# --- Relays that gateways lend ----------------------------------------------------------------------------------------

LENT_RELAYS: Final = 8
"""Relays lent by contacts that we fall back on: as many as beacons may be configured; each costs an attempt."""

LEND_DRAIN_SECONDS: Final = 0.5
"""What those at a relay that we lend get to look for another one: `overlay down` waits as long, if somebody is there."""

LEND_NAMES: Final = 32
"""Endpoints at a relay that we lend which `overlay status` names; beyond that it is the number that counts."""

# --- Topics -----------------------------------------------------------------------------------------------------------------

TOPICS: Final = 16
"""Topics that a gateway is in: programs that a person runs; as many as a beacon keeps for one."""

# --- Measuring the network ----------------------------------------------------------------------------------------------

NETCHECK_LIFETIME_SECONDS: Final = 240.0
"""For which the command line waits for a measurement of how long a NAT's mappings live: the longest silence that is tried is
175 s (`tunnels.nat.limits.LIFETIME_WAITS`), with questions before and after it."""

# --- The DHT ------------------------------------------------------------------------------------------------------------

DHT_STATE_BYTES: Final = 256 * 1024
"""Nodes of the DHT on disk: 20 buckets of each family take some 50 KB; a file that was cut is forgotten."""

DHT_SAVE_SECONDS: Final = 1800.0
"""How often they are written, besides at the end: what a gateway that was killed begins with is half an hour old."""

# --- Contacts of contacts -----------------------------------------------------------------------------------------------

CIRCLE_EVERY_SECONDS: Final = 3600.0
"""From one question about a contact's circle to the next, give or take a quarter; a circle counts for a day."""

CIRCLE_GAP_SECONDS: Final = 5.0
"""Least time between two questions to one contact, whatever changes meanwhile."""

CIRCLE_ANEW_SECONDS: Final = 60.0
"""Age of a circle from which its contact is asked again when somebody is looked for."""

CIRCLE_ROUND_SECONDS: Final = 60.0
"""Longest time between two looks at what is due, and at what is too old to be believed."""

CIRCLES_ASKED_AT_ONCE: Final = 8
"""Contacts that are asked at one time: each answer may be 300 KB, and 256 signatures to verify, 20 ms in a thread."""

CIRCLES_REMEMBERED: Final = 16_384
"""Contacts of which it is remembered when they were asked and how often they ask, 300 B each: as many as there may be, so that
none is asked sooner because it was forgotten; the one used longest ago goes."""

CIRCLE_WAIT_SECONDS: Final = 2.0
"""How long a search waits for contacts who are asked anew; what they told before is found without them."""

CIRCLE_TALK_SECONDS: Final = 10.0
"""For a question to arrive, and for a circle to be read by who asked: 300 KB by a slow relay."""

CIRCLE_QUESTIONS: Final = 12.0
"""Questions of one contact that are answered, a minute and at once; who keeps to CIRCLE_GAP_SECONDS asks no more often."""

# --- The first screen -------------------------------------------------------------------------------------------------

UP_NEWS_SECONDS: Final = 60.0
"""After the start, for which `overlay up` tells what comes late: a beacon far away, a router's port."""

UP_REACH_SECONDS: Final = 1.5
"""For which the first screen waits for beacons and the router: people read the rest meanwhile."""

# --- DNS over HTTPS ---------------------------------------------------------------------------------------------------


DOH_BODY_SECONDS: Final = 5.0
"""How long the body of a DNS query may take: it comes from this machine."""
