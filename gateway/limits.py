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

DASHBOARD_CONNECTIONS: Final = 64
"""Connections to the dashboard: a browser opens six at most."""

DASHBOARD_KEEPALIVE_SECONDS: Final = 30.0
"""How long an idle connection of a browser stays."""

DASHBOARD_TOKENS: Final = 8
"""Logins that were asked for and not used yet; a person opens one page at a time."""

DASHBOARD_TOKEN_SECONDS: Final = 60.0
"""How long one may be used: a browser starts in this time, and whoever reads the line later gets nothing."""

DASHBOARD_SESSIONS: Final = 16
"""Browsers that are let in at once; the one that asked for nothing for the longest time gives way."""

DASHBOARD_SESSION_SECONDS: Final = 12 * 3600.0
"""How long a browser is let in: a day at work."""

DASHBOARD_VIEWERS: Final = 16
"""Pages that are told news at once: only those that are looked at ask for it."""

DASHBOARD_HISTORY: Final = 180
"""Moments of what moves that a page is told of when it opens: three minutes, which is what it draws."""

DASHBOARD_HISTORY_BYTES: Final = 1024 * 1024
"""All of these together: with hundreds of peers there are fewer moments."""

DASHBOARD_HEARTBEAT_SECONDS: Final = 15.0
"""Silence after which a page is told that we are still there; less than proxies and browsers wait."""

DASHBOARD_WRITE_SECONDS: Final = 10.0
"""How long a page may take nothing before its stream is ended; it asks again when it comes round."""

DASHBOARD_REPORT_SHARE: Final = 0.05
"""Share of our time that looking for changed reports may take: with ten thousand contacts they are looked at more rarely."""

DASHBOARD_QR_CHARACTERS: Final = 4296
"""Text of a QR code: what fits into the largest, in alphanumeric mode (ISO/IEC 18004 table 7)."""

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

BEACON_RECORDS: Final = 262_144
"""Records a beacon keeps, about 1.2 KB each, so 300 MB of disk; the one renewed longest ago gives way."""

BEACON_RECORD_SECONDS: Final = 7 * 86400.0
"""How long a beacon keeps a record that nobody renews: over a holiday; gateways renew theirs many times a day."""

EXPIRED_ROWS: Final = 64
"""Expired rows cleared away with each write: more than a write adds, and too few to be felt."""

BEACON_USERS: Final = 262_144
"""Endpoints whose use in this period is remembered, about 100 B each; the one charged longest ago gives way."""

BEACON_CREDIT_BYTES: Final = 1 << 53
"""Most credit of one endpoint: up to here the numbers of Redis's scripts are exact; 9 PB is enough for anybody."""

VOUCHER_CHARACTERS: Final = 1024
"""A voucher has 273 characters, a receipt 286; the rest is room for the line breaks and quote marks of mail."""

BEACON_SERIAL_SPARE_SECONDS: Final = 7 * 86400
"""How long a redeemed serial is remembered after its voucher expired: no node's clock is wrong by more."""

REDIS_SECONDS: Final = 1.5
"""How long Redis may take over one request, connecting included: it is near, answers in a millisecond, and those who
wait for it wait for nothing else."""

REDIS_PAUSE_SECONDS: Final = 0.5
"""After a request that failed all others fail at once for this long, so that a hung Redis does not gather waiters."""

REDIS_CONNECTIONS: Final = 16
"""Connections of a node to Redis; requests wait for one, and each takes well below a millisecond."""

PRESENCE_SECONDS: Final = 60.0
"""How long an endpoint counts as connected to a node that does not say so again."""

PRESENCE_RENEWAL_SECONDS: Final = 20.0
"""How often a node says again who is connected to it: twice may be lost."""

PRESENCE_BEAT_SECONDS: Final = 1.0
"""How often a node says that it lives, and sees whether Redis has forgotten it: one small request."""

PRESENCE_NODE_SECONDS: Final = 5.0
"""How long a node that says nothing counts as alive: some beats may be late."""

PRESENCE_BATCH: Final = 512
"""Endpoints in one request about presence: Redis does nothing else during it, which takes about a millisecond."""

BUS_QUEUE_BYTES: Final = 8 * 1024 * 1024
"""Frames to other nodes that wait for Redis; beyond, they are refused. Tenths of a second of a busy node."""

BUS_MESSAGE_BYTES: Final = 256 * 1024
"""Where a message to a node is full: enough to make the cost of each small, too little to delay others' requests."""

BUS_SILENCE_SECONDS: Final = 5.0
"""Silence after which the connection that listens is questioned; after twice as much it is made anew."""

BEACON_USE_SECONDS: Final = 40 * 86400
"""How long Redis remembers what a period used: the longest period is a month."""

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

# --- The beacon ----------------------------------------------------------------------------------------------

BEACON_LOGIN_SECONDS: Final = 5.0
"""From the connection to the proof of an id: a slow path's handshakes fit, and whoever only holds a place does not."""

BEACON_ANONYMOUS: Final = 4096
"""Connections that have proved no id, requests for records among them: about 15 KB each."""

BEACON_ANONYMOUS_PER_ADDRESS: Final = 256
"""The same from one IPv4 address or one IPv6 /56: an office whose gateways all come back at once fits."""

BEACON_COUNT_EVERY: Final = 0.2
"""Seconds between two looks for connections of these that have ended, when there seem to be too many."""

BEACON_KEEPALIVE_SECONDS: Final = 15.0
"""An HTTP connection without a request ends after this."""

BEACON_BODY_BYTES: Final = 4096
"""Body of a request: signed packets are four times smaller."""

BEACON_PING_AFTER: Final = 45.0
"""Seconds of silence after which a gateway is asked whether it is there; it speaks every 20 s by itself."""

BEACON_SILENT_AFTER: Final = 90.0
"""Seconds of silence after which it is taken for gone."""

BEACON_SWEEP_EVERY: Final = 15.0
"""Seconds between two looks at who is silent: what makes the two above late at most."""

BEACON_WRITE_HIGH: Final = 64 * 1024
"""Bytes in a connection's write buffer from which frames for it are queued: two frames, so that what must be first waits
for no more."""

BEACON_WRITE_MOST: Final = 4 * BEACON_WRITE_HIGH
"""The same from which whoever still asks is cut off: pongs and answers are not queued, and never come near it while they
are read."""

BEACON_QUEUE_BYTES: Final = 1024 * 1024
"""Bytes queued for one slow receiver: 100 ms of 10 MB/s. More would only make what is in it old."""

BEACON_URGENT_BYTES: Final = 64 * 1024
"""Bytes queued beside these of path messages and sealed messages: some dozens; they are small, and their senders repeat."""

BEACON_QUEUES_BYTES: Final = 256 * 1024 * 1024
"""Bytes in all queues together from which each receiver's share is `BEACON_QUEUE_SHARE`."""

BEACON_QUEUE_SHARE: Final = 64 * 1024
"""Two frames: whoever is not slow still gets everything."""

BEACON_REFUSE_EVERY: Final = 1.0
"""Seconds between two notices to one gateway that it is beyond a limit: it needs one, and frames may be thousands."""

BEACON_CHARGE_EVERY: Final = 1.0
"""Seconds between two entries in the accounts; what a beacon that is killed forgets at most."""

BEACON_CHARGES_AT_ONCE: Final = 64
"""Entries on the way to the accounts at once."""

BEACON_BUCKETS: Final = 65536
"""Senders and addresses whose rate is remembered: each is forgotten once it is quiet, about 200 bytes each till then."""

BEACON_ELSEWHERE: Final = 8192
"""Endpoints for which it is remembered on which node they are."""

BEACON_ELSEWHERE_SECONDS: Final = 2.0
"""How long that is believed: an endpoint that moved to another node is found again within this."""

BEACON_NOWHERE_SECONDS: Final = 0.25
"""The same for one that is on no node: it may connect any moment, and its callers repeat themselves meanwhile."""

BEACON_LOOKUPS: Final = 256
"""Frames that are on their way to other nodes, or wait until it is known to which; beyond it their receivers count as
absent. 8 MB at most."""

BEACON_NAMEPLATE_SECONDS: Final = 600.0
"""How long a spoken code is good: a telephone call. (At most `tunnels.limits.NAMEPLATES` of them wait at once.)"""

BEACON_NAMEPLATES_PER_ENDPOINT: Final = 4
"""Codes of one gateway that wait at once: a person says one, and may have forgotten others."""

BEACON_NAMEPLATES_PER_SECOND: Final = 0.1
BEACON_NAMEPLATE_BURST: Final = 32
"""Codes that one IPv4 address or IPv6 /56 has wait: ids cost nothing, and without this one machine takes all numbers within a
minute and nobody else gets one. With it, it has a hundred, and an office with a gateway on each desk does not notice."""

BEACON_CLAIMS_PER_SECOND: Final = 0.2
BEACON_CLAIM_BURST: Final = 20
"""Looks for spoken codes by one IPv4 address or IPv6 /56: who wants to use up, or guess at, those of others takes a day for
all numbers, and an office on the telephone does not notice."""

BEACON_STORE_SECONDS: Final = 2.0
"""For one answer of the database."""

BEACON_SHUTDOWN_SECONDS: Final = 2.0
"""For requests and closing handshakes at the end."""

LENT_RELAYS: Final = 8
"""Relays lent by contacts that we fall back on: as many as beacons may be configured; each costs an attempt."""

LEND_DRAIN_SECONDS: Final = 0.5
"""What those at a relay that we lend get to look for another one: `overlay down` waits as long, if somebody is there."""

LEND_NAMES: Final = 32
"""Endpoints at a relay that we lend which `overlay status` names; beyond that it is the number that counts."""

# --- Topics -----------------------------------------------------------------------------------------------------------------

TOPICS: Final = 16
"""Topics that a gateway is in: programs that a person runs; as many as a beacon keeps for one."""

MANIFEST_FILE_BYTES: Final = 4096
"""Largest manifest file: everything in it at its longest takes half."""

TOPIC_HELLO_BYTES: Final = 32 * 1024
"""Longest message of two endpoints that compare their topics: the longest manifests of all topics take 25 KB."""

TOPIC_HELLO_SECONDS: Final = 10.0
"""For one message of these: a slow relay's round trip, several times."""

TOPIC_HELLOS_PER_ENDPOINT: Final = 12.0
TOPIC_HELLOS: Final = 120.0
"""How many a minute are answered, to one endpoint and to all together, and at once; each costs a few dozen hashes."""

TOPIC_CHECKS_PER_MINUTE: Final = 30.0
"""Handshakes with strangers that say to be in one of our topics: a flood of them costs no more than a page of a website."""

TOPIC_CHECKS_BURST: Final = 16
"""The same at once: all that one beacon tells of a topic, so that the first peers are there within seconds."""

TOPIC_CHECKS_AT_ONCE: Final = 8
"""Handshakes with strangers under way: each takes a dial's memory for up to ten seconds."""

TOPIC_CHECK_SECONDS: Final = 15.0
"""For one of them: a dial and two round trips."""

TOPIC_WAITING: Final = 256
"""Candidates of one source that wait for a handshake; of more, some by chance are forgotten: they are told of again."""

TOPIC_LEFT_ALONE: Final = 4096
"""Candidates that failed and are not tried for a while, 200 B each; of more, those that failed longest ago are forgotten."""

TOPIC_RETRY_SECONDS: Final = 300.0
TOPIC_RETRY_LONGEST: Final = 4 * 3600.0
"""For which a candidate that failed is left alone, doubled each time."""

TOPIC_PEERS: Final = 64
"""Peers of one topic that proved themselves: an app talks to a few dozen; those who are here keep their places while they
answer, so that no flood of newcomers takes them."""

TOPIC_RECHECK_SECONDS: Final = 900.0
"""After which a peer is asked again whether it is still in the topic; one that does not answer is dropped."""

TOPIC_ROUND_SECONDS: Final = 120.0
"""From one round of announcing and asking to the next, while every topic has peers."""

TOPIC_ROUND_ALONE_SECONDS: Final = 15.0
"""The same while one has none."""

TOPIC_ROUND_FIRST_SECONDS: Final = 2.0
"""The same after a change, doubled each time: sources that have just been started know nobody yet."""

TOPIC_ROUND_GAP_SECONDS: Final = 1.0
"""Least time between two rounds, whatever changes meanwhile."""

TOPIC_SOURCE_SECONDS: Final = 10.0
"""For one source to announce, or to tell who is in a topic."""

TOPIC_DHT_ANNOUNCE_SECONDS: Final = 900.0
"""From one announcement of a topic in the DHT to the next: nodes forget after half an hour."""

TOPIC_DHT_FIRST_SECONDS: Final = 30.0
"""The same after the first, doubled each time: when a gateway starts it knows few nodes, and perhaps not the nearest."""

TOPIC_DHT_FIND_SECONDS: Final = 120.0
TOPIC_DHT_FIND_FIRST_SECONDS: Final = 4.0
"""From one search for a topic in the DHT to the next, each of which asks dozens of nodes; while nobody is found it begins with
the latter, doubled each time."""

TOPIC_PLACES: Final = 1024
"""Endpoints of which it is remembered where a source said that they are."""

FOUND_RELAYS: Final = 4
"""Relays of strangers that we would be at home at, when we have no beacon and no contact lends one."""

FOUND_RELAYS_ASKED: Final = 16
"""Strangers asked in one round for the relay that they lend."""

FOUND_RELAYS_ROUND_SECONDS: Final = 60.0
"""From one search for such relays to the next, while we have no home."""

FOUND_RELAYS_FAILED: Final = 256
"""Relays of strangers that were of no use, and are not tried again for `TOPIC_RETRY_SECONDS`."""

# --- Topics at a beacon ---------------------------------------------------------------------------------------------------

BEACON_TOPIC_ENTRIES: Final = 262_144
"""Members of all topics together at one node, about 200 B each; beyond it nobody new is told of."""

BEACON_TOPIC_MEMBERS: Final = 1024
"""Members of one topic at one node: an answer has sixteen of them, by chance; a newcomer takes the place of one."""

BEACON_TOPIC_PER_ADDRESS: Final = 32
"""Members of one topic from one IPv4 address or one IPv6 /56, whose ids may all be one person's; an office fits."""

BEACON_TOPIC_ASKS_PER_SECOND: Final = 1.0
BEACON_TOPIC_ASKS: Final = 64
"""What is said and asked about topics from one such address: some gateways that come at once ask for each of theirs; who
wants to know everybody in a topic takes long."""

BEACON_TOPIC_SECONDS: Final = 180.0
"""How long Redis believes that somebody is in a topic."""

BEACON_TOPIC_RENEWAL_SECONDS: Final = 60.0
"""How often a node says it again: twice may be lost."""

BEACON_TOPIC_BATCH: Final = 512
"""Members in one request: Redis does nothing else during it, which takes about a millisecond."""

BEACON_TOPIC_MEMBERS_SHARED: Final = 8 * BEACON_TOPIC_MEMBERS
"""Members of one topic that Redis knows of: the most of some nodes."""

# --- A beacon's datagrams to ports that gateways say are open -----------------------------------------------------------

DIAL_BACKS_PER_SECOND: Final = 0.5
DIAL_BACK_BURST: Final = 12
"""For one IPv4 address or IPv6 /56: a gateway asks three times, and again for each of two other ports; four behind one
address may begin at once."""

DIAL_BACKS_PER_SECOND_ALL: Final = 200.0
DIAL_BACKS_BURST: Final = 1000
"""For all together: 20 bytes each, so 4 KB/s at most; a thousand gateways that come back at once are served at once."""

# --- Measuring the network ----------------------------------------------------------------------------------------------

NETCHECK_LIFETIME_SECONDS: Final = 240.0
"""For which the command line waits for a measurement of how long a NAT's mappings live: the longest silence that is tried is
175 s (`tunnels.limits.LIFETIME_WAITS`), with questions before and after it."""

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

# --- Invites ----------------------------------------------------------------------------------------------------------

INVITE_LINKS: Final = 4
"""Links of an invite: its issuer's, and three times passed on; each costs its reader two signatures, and 200 characters."""

INVITE_SERVICES: Final = 16
"""Services that one invite names; beyond that `--allow contacts` is what is meant."""

INVITE_SERVICE_BYTES: Final = 320
"""Their names together: an invite with one link fits one message of a beacon (`tunnels.limits.RELAY_MESSAGE`)."""

INVITE_USES: Final = 1000
"""Endpoints that one invite is good for: a club; each is a contact afterwards."""

INVITE_SKEW_SECONDS: Final = 300.0
"""By which the clocks of two machines may differ without a word: those without a time server drift minutes in months."""

INVITE_BYTES: Final = 4 * 1024
"""The largest invite, in bytes: a full record and four links with sixteen services each."""

INVITE_CHARACTERS: Final = 8 * 1024
"""The same as text (6600 characters), with room for the line breaks and quote marks of mail."""

REDEEM_MESSAGE_BYTES: Final = 6 * 1024
"""One message about an invite that is redeemed: the longest chain, a record and a nickname."""

REDEEM_SECONDS: Final = 10.0
"""For that message to arrive: it is sent with the stream itself."""

REDEEMS_PER_SECOND: Final = 0.5
REDEEM_BURST: Final = 32
"""Invites that one endpoint shows us: each is verified, and the ledger gone through. Who comes back after weeks has several,
and asks again after seconds when it is told to wait."""

REDEEM_CALLERS: Final = 1024
"""Endpoints whose showing of invites is counted: each had to shake hands, which costs more than what is saved here."""

INVITES_ISSUED: Final = 1024
"""Invites that an issuer remembers; those that expired make room, then those that were revoked. Each is about 300 bytes on disk."""

INVITE_REDEMPTIONS: Final = 4096
"""Redemptions that it remembers: as many as there may be contacts."""

INVITES_HELD: Final = 256
"""Invites of others that are kept; those that are over make room. Each is about a kilobyte."""

INVITE_RETRY_SECONDS: Final = 2.0
"""From the first failed attempt to redeem an invite to the next; doubled each time."""

INVITE_ATTEMPTS: Final = 8
"""Invites that are tried at once: each dials an issuer, which may be offline."""

INVITE_RETRY_LONGEST: Final = 300.0
"""Longest time between attempts: an issuer that was offline for days is found minutes after it came back."""

CODES: Final = 4
"""Spoken codes of ours that wait at once, as many as a beacon lets us have."""

CODES_OVER: Final = 16
"""Codes whose end is remembered for whoever asks what became of them."""

CODE_SECONDS: Final = 20.0
"""From the first word of an exchange by a spoken code to its last: a few round trips by way of a beacon, and people wait."""

CODE_POLL_SECONDS: Final = 10.0
"""For which an answer about a spoken code waits for news of it: the command line gives up on an answer after 30 s."""

TAKE_SECONDS: Final = 60.0
"""For which the command line waits for an issuer that is being dialled, beyond what any answer takes."""

GRANTS_LOOK_SECONDS: Final = 30.0
"""Longest time between two looks for grants that have ended: the machine's clock may be set, and timers do not see that."""

# --- doctor --------------------------------------------------------------------------------------------------

DOCTOR_FREE_BYTES: Final = 64 * 1024 * 1024
"""Less room on the disk is told: the log, the state and a copy of it while it is written are about half of that at most."""

DOCTOR_FREE_FILES: Final = 100
"""The same in files: each save makes one."""

DOCTOR_SKEW_SECONDS: Final = 60.0
"""A clock that is further off is told: invites bear 300 s (INVITE_SKEW_SECONDS), and who notices at 60 can still set it in time."""

DOCTOR_FILES_SHARE: Final = 0.8
"""The share of its descriptors that a gateway may have in use before that is told."""

DOCTOR_PROBE_SECONDS: Final = 2.0
"""For one channel to prove itself: all are on this machine and answer in milliseconds; a busy one gets time."""

DOCTOR_CONTROL_SECONDS: Final = 5.0
"""For the gateway to say how it is: one with ten thousand contacts takes a fraction of one, one that hangs is told of."""

DOCTOR_BEACON_SECONDS: Final = 5.0
"""For a beacon to answer over the Internet, TLS included."""

DOCTOR_REPLY_BYTES: Final = 64 * 1024
"""As much is read of any answer: a DNS message or a PAC file is no larger, and who answers might be anybody."""

DOCTOR_PROCESSES: Final = 4096
"""Processes that are looked at for who has a port; more there are only on machines where that takes too long."""

DOCTOR_LISTENING: Final = 65536
"""Listening sockets that are read from the system."""

DOCTOR_LOG_LINES: Final = 1000
"""The last ones, in a bundle."""

DOCTOR_BUNDLE_BYTES: Final = 16 * 1024 * 1024
"""The largest bundle: status with all contacts is the largest part of it."""

UP_NEWS_SECONDS: Final = 60.0
"""After the start, for which `overlay up` tells what comes late: a beacon far away, a router's port."""

UP_REACH_SECONDS: Final = 1.5
"""For which the first screen waits for beacons and the router: people read the rest meanwhile."""

# -- The system's resolver ----------------------------------------------------------------------------------

SYSTEM_COMMAND_SECONDS: Final = 60.0
"""How long `systemctl restart` or a check of a configuration may take; a resolver that waits for others starts within 30 s."""
SYSTEM_FILE_BYTES: Final = 1 << 20
"""The largest file of the system that is read here: resolver configurations have a few KB, blocklists are not among what we read."""
SYSTEM_PROCESSES: Final = 32_768
"""Processes that are looked at to find out who listens: the default of Linux's pid_max."""
SYSTEM_VERIFY_SECONDS: Final = 6.0
"""How long the system's resolver may take, after it was told, until it finds a name of ours: it may be starting still."""
SYSTEM_LOOKUP_SECONDS: Final = 6.0
"""One question to the system's resolver: glibc asks again after 5 s."""
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

CA_FILE_BYTES: Final = 16 * 1024
"""Largest file of the authority that is read: both have less than 1 KB."""

LEAF_DAYS: Final = 30
"""How long a certificate for a name is good: what is made anew by itself needs no long life; browsers allow 90 days and more."""

LEAVES: Final = 256
"""Certificates for names that are kept, 50 KB each with their TLS context; the one used longest ago gives way."""

LEAF_RATE: Final = 5.0
"""Certificates made in a second: each takes a millisecond, and a page could ask for one name after the other."""

LEAF_BURST: Final = 64.0
"""Certificates made at once: a browser that opens all its tabs again."""

DOH_BODY_SECONDS: Final = 5.0
"""How long the body of a DNS query may take: it comes from this machine."""

TRUST_COMMAND_SECONDS: Final = 60.0
"""How long `certutil` or `update-ca-certificates` may take: the latter reads every certificate of the system, on slow disks too."""

NSS_DATABASES: Final = 32
"""Browser profiles that the authority is put into: each takes a program a tenth of a second."""
# --- Traffic ----------------------------------------------------------------------------------------------------------

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

# --- Usage, and room for everything -------------------------------------------------------------------------------

USAGE_LOOK_SECONDS: Final = 1.0
"""How often the ledger is looked at: what moved in between is put down to one kind of path."""

USAGE_SAVE_SECONDS: Final = 2.0
"""From an octet that was seen to its being on disk: with the look above, a crash loses three seconds."""

USAGE_ROWS: Final = 32_768
"""Rows of accounts in one month, each a contact's service by one kind of path; 100 B each on disk. Beyond it all are one row."""

USAGE_STRANGERS: Final = 1024
"""Endpoints in one month that are no contacts and have rows of their own: ids cost nothing, so all further ones are one."""

USAGE_MONTHS: Final = 25
"""Months that are kept: this one, and two years to compare it with."""

HEADROOM_LOOK_SECONDS: Final = 1.0
"""How often memory and disk are looked at: at full speed a second fills some hundred megabytes."""

MEMORY_DEFAULT_BYTES: Final = 1_000_000_000
"""What may be resident if nobody says: an address book of ten thousand, and a thousand streams with full buffers, take half."""

MEMORY_LEAST_BYTES: Final = 150_000_000
"""Below this a gateway with nothing to do would refuse everything."""

MEMORY_PART_OF_GROUP: Final = 0.8
"""Of the limit of a control group, beyond which the kernel kills: page tables and socket buffers count there, too."""

MEMORY_PART_OF_MACHINE: Final = 0.5
"""Of a small machine's memory: others live there, too."""

MEMORY_RELIEVED: Final = 0.95
"""Memory is short until this part of what may be resident is: what is freed does not all go back to the system."""

SHRINK_SECONDS: Final = 10.0
"""How often caches are made smaller while memory is short: going through all objects takes a tenth of a second."""

DESCRIPTORS_RESERVED: Final = 128
"""Descriptors kept for what must go on: commands, databases, logs, look-ups, and refusals; or an eighth, if there are few."""

HEADROOM_REFUSALS: Final = 16
"""Clients of the proxy that are told at once that there is no room; each holds a descriptor of those that are kept for a while."""

DISK_RESERVED_BYTES: Final = 1_000_000
"""Below this much free disk what is saved may not find room: the largest file of an ordinary gateway is smaller."""

LIMITS_BY_COMMAND: Final = 4096
"""Contacts, groups and services that have limits by command: beyond that a group of contacts is what is meant."""

TERMS_KNOWN: Final = 4096
"""Contacts and services of which it is remembered what holds for them; of more, all are looked up again. About 100 B each."""

# --- Programs ---------------------------------------------------------------------------------------------------------

PROGRAM_LINE_BYTES: Final = 16 * 1024
"""Longest line on a program's connection: a service with 128 allowed ids."""

PROGRAM_STREAMS: Final = 4096
"""Streams and flows of programs at once, with those being opened: as many as clients of the proxy, two descriptors each."""

PROGRAM_HELD: Final = 128
"""Services of programs and sets of forwarded ports at once: half of the services there may be."""

PROGRAM_FORWARDS: Final = 64
"""Local ports that one `overlay forward` opens: more than anybody types, and they fit into one line."""

PROGRAM_WAITING: Final = 128
"""Callers of one program that wait to be taken by it, as many as a listening socket keeps by habit; more are told to come later."""

PROGRAM_TOLD_BYTES: Final = 64 * 1024
"""Lines that wait for a program which does not read them: some hundreds. A caller beyond them is told to come later."""

PROGRAM_ENDS: Final = 1024
"""Streams that are over whose end is remembered: a program asks within milliseconds, once it has read all."""

PROGRAM_DATAGRAM_BYTES: Final = 256 * 1024
"""Datagrams that wait for a program which does not read them, about what a UDP socket keeps; more are dropped, as there."""

PROGRAM_FLOW_PAUSE_SECONDS: Final = 1.0
"""Before a program's flow that ended by itself is opened again: without a pause each datagram would ask again."""
