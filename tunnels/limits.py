"""Every bound and timer of tunnels: from the RFC, then our own, each with its reason."""

from typing import Final

# --- From specifications -----------------------------------------------------------------------------------

QUIC_VERSION_1: Final = 0x00000001
"""RFC 9000 §15; the only version spoken."""

MIN_INITIAL_DATAGRAM: Final = 1200
"""Bytes; RFC 9000 §14.1: a smaller datagram that carries an Initial packet is dropped."""

CONNECTION_ID_BYTES: Final = 8
"""Length of the connection ids we issue: 64 random bits, as both engines do by default."""

# --- Connections -------------------------------------------------------------------------------------------

MIN_PATH_MTU: Final = 1200
"""Bytes of UDP payload: what every path carries (RFC 9000 §14), and the largest datagram of a handshake."""

LONG_PATH_PACKET: Final = 2800
"""Bytes of the largest QUIC packet where a round trip is long: two datagrams on a path of 1500 bytes. The engines
pace whole packets, so larger ones would make interactive ones wait."""

SHORT_PATH_PACKET: Final = 8400
"""The same where a round trip is short and the processor is what limits: six datagrams on a path of 1500 bytes, one
on a path of 9000. From 1200 to 8400 an engine's cost of a byte falls to a fifth; beyond, little is gained."""

SHORT_PATH_RTT: Final = 0.005
"""Seconds up to which a round trip counts as short: pacing then costs a packet 2.5 ms at worst."""

SHORT_PATH_WINDOW: Final = 128 * 1024
LONG_PATH_WINDOW: Final = 28_000
"""Bytes of the first congestion window: what a gigabit carries in a millisecond; ten packets, which are twenty
datagrams (RFC 9002 §7.2 has ten, browsers send thirty-two)."""

MAX_DATAGRAM_FRAME: Final = LONG_PATH_PACKET - 50
"""Bytes of one DATAGRAM frame: both engines wedge on one that does not fit a packet, so we never offer it."""

MAX_FRAGMENTS: Final = 16
"""Datagrams that one packet may come in: twice what the largest needs on a path of 1200 bytes."""

MAX_PARTIAL_PACKETS: Final = 32
"""Packets of one connection that are being put together: several reads' worth, each reordered into the others."""

MTU_LADDER: Final = (1280, 1372, 1452, 1472, SHORT_PATH_PACKET)
"""Bytes of UDP payload that are tried beyond `MIN_PATH_MTU`: IPv6's minimum, common tunnels and DSL over IPv6,
Ethernet over IPv6 and IPv4, jumbo frames and this very machine; no packet is larger."""

MTU_PROBES: Final = 3
"""Probes without an answer after which a size counts as too large (MAX_PROBES of RFC 8899 §5.1.2)."""

MTU_PROBE_WAIT: Final = 0.4
"""Seconds an answer to a probe is waited for at least; three round trips where that is longer."""

MTU_RAISE_AFTER: Final = 600.0
"""Seconds after which larger sizes are tried again (PMTU_RAISE_TIMER of RFC 8899 §5.1.1)."""

MTU_RETRY_AFTER: Final = 10.0
"""Seconds after a fallback until larger sizes are tried again: the path may only have been down."""

MTU_CONFIRM_EVERY: Final = 2.0
"""Seconds between probes of the size in use while it is used: a path that shrank is noticed within
`MTU_CONFIRM_EVERY + MTU_PROBES * MTU_PROBE_WAIT`, three seconds and a bit."""

MTU_SUSPECT_PROBES: Final = 2
"""Unanswered QUIC probes in a row on which a path falls back at once: it is down, or it has shrunk."""

PROBE_ANSWERS_PER_SECOND: Final = 50
"""Answers to size probes that one connection gives in a second: more than a search needs, and no flood."""

MAX_STREAMS: Final = 2048
"""Concurrent streams a peer may open: a thousand browsers' worth, twice."""

IDLE_TIMEOUT: Final = 120.0
"""Seconds of silence that end a connection: long enough to outlive a blackout while probes back off."""

KEY_UPDATE_PACKETS: Final = 1 << 22
"""Packets, both directions together, after which the client changes keys: half of what AES-GCM may encrypt with
one (RFC 9001 §6.6), about 5 GB. The engines do not do it by themselves."""

TIMER_RESOLUTION: Final = 0.001
"""Seconds; no timer of a tunnel is set shorter. Time itself is read finer, because round trips on a LAN are."""

KEEPALIVE: Final = 15.0
"""Seconds between pings of a quiet connection: below the 30 s at which home NATs forget a UDP mapping."""

UNUSED_TIMEOUT: Final = 600.0
"""Seconds without a stream after which a connection is closed: it can be had again in one round trip."""

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds from the first datagram to the proof of the client's id; a server holds no longer for a stranger."""

DIAL_ATTEMPT_TIMEOUT: Final = 5.0
"""Seconds one handshake gets before it is begun anew: the engines can lose a handshake to heavy loss."""

DIAL_PAUSE: Final = 0.2
"""Seconds before a handshake that was answered with an error is begun anew; doubled each time."""

CONNECT_TIMEOUT: Final = 10.0
"""Seconds until an endpoint that does not answer counts as offline."""

SUSPECT_AFTER: Final = 2.0
SUSPECT_PROBES: Final = 3
"""Seconds of silence and QUIC probes without an answer after which a fresh connection is tried beside this one:
a restarted peer is noticed within seconds, and a path that only stalled loses nothing."""

PATH_SILENT_AFTER: Final = 2.0
"""Seconds after which a confirmed path counts as silent while another one is heard."""

SUPERSEDED_LINGER: Final = 5.0
"""Seconds a superseded connection is kept for streams the peer opened before it knew, and to fall silent no more."""

CLOSE_LINGER: Final = 3.0
"""Seconds a closed connection's ids stay known: late datagrams are not taken for new ones, and a peer that missed
the close is told again."""

FAREWELLS: Final = 8
"""How often a close is told again at most (RFC 9000 §10.2.1 asks for a bound): losing all of them is unlikely."""

BACKOFF_FIRST: Final = 1.0
BACKOFF_MAX: Final = 60.0
"""Seconds between attempts to reach an endpoint again: doubling, jittered by half, capped at a minute."""

REDIAL_JITTER: Final = 0.25
"""Seconds at most by which such an attempt is put off further: many endpoints lose a restarted one at once."""

RECONNECT_ATTEMPTS: Final = 10
"""Background attempts after a connection with streams was lost: about six minutes, then on demand only."""

# --- Paths ---------------------------------------------------------------------------------------------------

ROUND_GAPS: Final = (0.033, 0.033, 0.067, 0.133, 0.267, 0.533, 1.067, 2.0)
"""Seconds between the pings of a round: dense at first, because both ends must have sent before either hears, and
about four seconds in all."""

ROUND_PINGS: Final = len(ROUND_GAPS) + 1
"""Pings of one path in a round."""

ROUND_PINGS_MORE: Final = 3
"""Pings after the first that was answered: if one end stopped as soon as it is content, the other might never be."""

VAIN_PINGS: Final = 1
"""Pings in a round, but for the first, to where servers see a peer whose NAT gives each destination another port: it was taken for such by mistake,
or nobody is there, and a router that counts what comes unasked is to have room for knocks that may arrive."""

ROUND_EVERY: Final = 5.0
ROUND_EVERY_MAX: Final = 60.0
"""Seconds between rounds on all candidates while no direct path is found: doubling, up to a minute. News of candidates,
of the network or of silence begins one at once."""

ROUNDS_UNHEARD: Final = 4
"""Rounds after which a peer that never sent a check is taken for one that does not know them."""

SCAN_EVERY: Final = 60.0
SCAN_PINGS: Final = 3
SCAN_GOOD_ENOUGH: Final = 0.010
"""Seconds between looks at the alternatives of a path that works, pings each gets, and the round trip below which
nothing better is looked for."""

PING_ACTIVE: Final = 5.0
PING_IDLE: Final = 15.0
PING_JITTER: Final = 0.2
"""Seconds between pings of the selected path and of the relay beside it, while data flows and while it does not (home
NATs forget after 30 s), and the part by which they vary, so that many connections do not beat in time."""

PING_WHEN_QUIET: Final = 1.0
"""Seconds after data has stopped to come when the path is pinged out of turn: whoever only receives would not notice
otherwise that a NAT forgot him, and the ping itself makes it known to the peer."""

PING_PATIENCE: Final = 0.3
"""Seconds (or three round trips) a ping of the selected path may take before it is asked more insistently."""

ACTIVE_FOR: Final = 45.0
"""Seconds after the last data for which a connection counts as active."""

PING_LOST_AFTER: Final = 5.0
"""Seconds after which a ping counts as lost: a relay over a crowded TCP connection may take some."""

PINGS_PER_SECOND: Final = 100
PONGS_PER_SECOND: Final = 100
"""Pings, and pongs, of one connection: sixteen candidates' first four at once, with room. 9 KB/s, which is no flood."""

STRANGERS_PINGS_PER_SECOND: Final = 200
"""Pings to addresses that never answered, for all connections together whose peers are no contacts and were not dialled:
of ids, and so of connections, a stranger has as many as it likes, and may name anybody's address in each. Two dozen
that come at once are served as contacts are."""

MAX_OUTSTANDING_PINGS: Final = 512
"""Pings remembered for their pongs: `PING_LOST_AFTER` at `PINGS_PER_SECOND`."""

MAX_OUTSTANDING_KNOCKS: Final = 1024
"""Knocks remembered for their pongs, of one connection: two seconds of the most that are sent, longer than a round trip."""

SUSPECT_PING_EVERY: Final = 0.5
"""Seconds between pings of all paths while QUIC hears nothing and somebody waits: how long a healed path stays
unnoticed at most."""

DISTRUST_PROBES: Final = 2
"""Unanswered QUIC probes in a row on which the selected path is trusted no more: one may be an accident."""

REPLAY_WINDOW: Final = 1024
"""Checks that may overtake each other: ten seconds' worth, over paths of any length."""

DECEIVED_TIMES: Final = 3
DECEIVED_WITHIN: Final = 5.0
"""How often within so many seconds the selected path has to be distrusted, though its pings are answered, until data goes
by other paths as well: a path that drops data only. One that died is left after the first time."""

PATH_TRUST: Final = 12.0
"""Seconds after a pong for which data may go by a path alone: two pings of `PING_ACTIVE` may be lost."""

PATH_DEAD_AFTER: Final = 15.0
"""Seconds without a pong, while pings are sent, after which a path is stale."""

PATH_CONSENT: Final = 30.0
"""Seconds after a pong for which bulk may be sent at all (RFC 7675 §5.1)."""

PATH_OPEN_FOR: Final = 30.0
"""Seconds after the last datagram for which what is between is taken to be open: the shortest-lived NATs' time."""

PATH_FAILS_PINGS: Final = 3
PATH_FAILS_AFTER: Final = 1.0
"""Pings in a row without an answer, and seconds since the first of them (or three round trips), for which a path that is
not trusted is left for a worse one."""

PATH_BETTER_BY: Final = 0.005
PATH_BETTER_PART: Final = 0.1
PATH_BETTER_TIMES: Final = 3
"""Seconds, and part of the round trip, by which another path of the same tier must be better, and how often in a row."""

PATH_IPV6_BONUS: Final = 0.003
PATH_PRIVATE_BONUS: Final = 0.2
"""Seconds that IPv6 may be slower (it has no NAT that forgets), and the part that a private address may be."""

PATH_HOLD_DOWN: Final = 10.0
PATH_HOLD_DOWN_MAX: Final = 300.0
PATH_DEATHS_FORGOTTEN: Final = 600.0
"""Seconds after a change before a slightly better path is changed to, and before a path that died is used again, which
doubles with each death up to a maximum; and after which deaths are forgotten."""

PATH_LOSS_PINGS: Final = 20
PATH_LOSS: Final = 0.05
"""The last pings of a path that its loss is judged by, and the part that may be lost."""

PATH_RTT_PERIOD: Final = 60.0
"""Seconds over which the shortest round trip of a path is taken."""

DOUBT_LOOK_EVERY: Final = 0.1
"""Seconds after which it is looked up anew by which paths data goes while the selected one is not trusted."""

STANDBY_PATHS: Final = 4
"""Paths that data goes to at once at most, when none is trusted."""

MAX_PATHS: Final = 32
"""Paths of one connection: the peer's candidates, twice, since NATs give new addresses to old ones."""

AMPLIFICATION: Final = 3
"""What a server may send to an address for each byte from there before it knows who that is (RFC 9000 §8.1)."""

PATH_FORGOTTEN: Final = 60.0
"""Seconds after which a place is forgotten where the peer was heard, and is not any more: sockets that it made to be reached
by one of them, and what its NAT showed it at before."""

MAX_STRANGERS: Final = 4
STRANGER_PINGS_PER_SECOND: Final = 4
"""Addresses that unauthenticated datagrams came from and that are being asked, and pings to them: whoever forges sources
gets four small datagrams a second sent to others."""

REFRESH_EVERY: Final = 1.0
"""Seconds between questions to STUN servers because of paths in doubt: a peer that complains all day costs them little."""

EARLY_CHECKS: Final = 8
"""Checks that a server keeps while its client has not proved who it is: an offer and the first pings, 10 KB at most."""

OFFERS_NEWS: Final = 16
OFFERS_NEWS_EVERY: Final = 5.0
"""Offers with other candidates than before, or another description, that are taken at once, and seconds until one more is:
a start brings one with each thing that is found out. Who has more news tells the newest again, as it gets no answer."""

BLIND_PER_DESTINATION: Final = 20.0
BLIND_PER_DESTINATION_BURST: Final = 200.0
BLIND_DESTINATIONS: Final = 4096
"""Pings in a second, and at once, to all addresses of one ip that never answered, whichever peers named them: rounds of two
dozen candidates, as of an office full of contacts. And the ips that are counted, which is 2 MB."""

OFFER_RETRY: Final = 0.25
OFFER_RETRY_MAX: Final = 8.0
OFFER_TRIES: Final = 8
"""Seconds until an offer without an answer is sent again, doubling up to a maximum, and how often it is sent."""

TRACE_ENTRIES: Final = 64
"""Decisions that one connection remembers: the last few minutes of a bad day."""

# --- What a stranger can fill ------------------------------------------------------------------------------

MAX_TUNNELS: Final = 1024
"""Connections in all: about 40 KB each in qh3; beyond it the longest unused one makes room, or nobody gets in."""

RETRY_ABOVE: Final = 32
"""Connections begun without a token whose client has not proved its id yet; above it a client must first echo a
token (RFC 9000 §8.1.2), which forged sources cannot."""

MAX_HANDSHAKES: Final = 256
"""The same begun with a token."""

MAX_HANDSHAKES_PER_ADDRESS: Final = 32
"""The same with a token from one IPv4 address or one IPv6 /64: a household behind one NAT still fits, a single
flooder does not fill the table."""

MAX_HANDSHAKES_RELAYED: Final = 128
"""The same of all that come by relays: a beacon that invents senders leaves half of the room to those on direct paths."""

RETRY_TOKEN_LIFETIME: Final = 30.0
"""Seconds a Retry token is good for: clients return it at once."""

MAX_TUNNELS_PER_ENDPOINT: Final = 4
"""Connections with one endpoint: the current one, a superseded one each way, and one being born."""

LANES_PER_ENDPOINT: Final = 4
"""Connections of ours beside the main one with an endpoint: each path policy once, or some users that share none."""

MAX_SIDES_PER_ENDPOINT: Final = 2 * LANES_PER_ENDPOINT + MAX_TUNNELS_PER_ENDPOINT
"""Side connections that an endpoint may have with us: our own lanes, its own, and some that are being replaced."""

LANES: Final = 256
"""Lanes with all endpoints: each costs what a connection does, about 100 KB, and a keepalive four times a minute."""

LANE_LINGER: Final = 60.0
"""Seconds that a lane is kept when nobody uses it: as long as a person reads a page."""

MAX_CANDIDATES: Final = 16
MAX_CANDIDATES_PER_SCOPE: Final = 8
"""Addresses of one endpoint that are tried, in all and of each family and tier: the first flight goes to each of them,
and nobody shall make a gateway ping a whole network."""

MAX_REMOTES: Final = 4096
"""Endpoints whose dial history is remembered; the longest untouched is forgotten first."""

EARLY_STREAM_BYTES: Final = 256 * 1024
"""Bytes on other streams held until the client proved its id: several initial congestion windows."""

EARLY_DATAGRAM_BYTES: Final = 512 * 1024
"""Bytes taken from whoever has not proved its id: the engine may hold them behind a gap, where we do not see them."""

MAX_CONTROL_MESSAGE: Final = 1024
"""Bytes of one control message: the largest has about a hundred, the rest is room for later versions."""

RECEIVE_READS_PER_TURN: Final = 64
RECEIVE_BYTES_PER_TURN: Final = 512 * 1024
"""Socket reads, and bytes read, in one turn of the event loop: a millisecond's work. A flood, or one busy peer, cannot
starve timers and other sockets."""

RECEIVE_BUFFER: Final = 65536
"""Bytes of one read: the kernel joins no more datagrams than fit an IP packet's length."""

GSO_SEGMENTS: Final = 64
GSO_BYTES: Final = 65000
"""Datagrams, and bytes, in one send: UDP_MAX_SEGMENTS of Linux, and what fits an IP packet with its headers."""

BATCH_DATAGRAMS: Final = 32
"""Datagrams read from one of the gateway's own UDP sockets at once; a socket that has so many waiting is busy."""

BATCH_BUFFER: Final = 1024 * 1024
"""Bytes asked of the kernel for receiving on such a socket: a burst must fit until the event loop has turned."""

SEND_QUEUE_DATAGRAMS: Final = 2048
"""Datagrams kept while the kernel's send buffer is full; beyond it they are dropped, and QUIC sends them again."""

SOCKET_BUFFER: Final = 4 * 1024 * 1024
"""Bytes asked of the kernel for each direction of a UDP socket; it may grant less."""

CALL_FRESH: Final = 30.0
"""Seconds for which what an endpoint said in a call is used: as long as its NAT remembers what it opened for us."""

SEARCH_AHEAD: Final = 0.02
"""Seconds that a dial waits for where a peer is before it tries our own home, where many peers are, and goes on to look."""

# --- The relay protocol --------------------------------------------------------------------------------------

RELAY_FRAME: Final = 32 * 1024
"""Bytes of datagrams in one frame between gateway and beacon: a few large packets; what one frame may delay the next by."""

RELAY_MESSAGE: Final = 2048
"""Bytes of one sealed message: sixteen candidates and the envelope, padded."""

NAMEPLATES: Final = 9999
"""Largest number of a spoken code: four digits are the most that people say without a mistake."""

NAMEPLATE_TOKEN: Final = 16
"""Bytes by which two who met at a nameplate know each other's frames."""

RELAY_TEXT: Final = 4096
"""Bytes of one text frame: sixty-four ids."""

OPENER_TTL: Final = 5
"""Routers that a datagram may pass which only opens our own NAT: beyond a home's and its provider's, as in hyperdht."""

CALL_EVERY: Final = 1.0
"""Seconds between two calls of one endpoint that we answer: each makes us send a datagram to some addresses."""

MAX_CALLERS: Final = 1024
"""Callers whose last call is remembered; only contacts' calls are answered at all."""

TURN_AFTER: Final = 2.0
"""Seconds by a relay after which a TURN allocation is asked for: by then a direct path would have been found."""

RELAY_WHO_IDS: Final = 64
"""Ids asked for at once."""

TOPIC_BYTES: Final = 20
"""Bytes of the id of a topic: as many as the DHT's info-hashes have (BEP 5)."""

RELAY_TOPICS: Final = 16
"""Topics that one gateway says it is in at a beacon: programs that it runs, and the relay that it lends."""

RELAY_TOPIC_PEERS: Final = 16
"""Ids in one answer to who is in a topic: by chance, so that the next answer tells of others; within `RELAY_TEXT`."""

IDENTIFY: Final = 5.0
"""Seconds for whoever is at an address to say by a handshake who it is: five round trips of the slowest network."""

# --- Our connections to beacons ------------------------------------------------------------------------------

BEACON_LOGIN: Final = 10.0
"""Seconds from the first packet to the beacon's welcome: TCP, a proxy, TLS and two round trips, with a loss in each."""

BEACON_NEXT: Final = 1.0
"""Seconds after which the next beacon of the list is tried beside one that has not answered."""

BEACON_BACKOFF_FIRST: Final = 1.0
BEACON_BACKOFF_MAX: Final = 60.0
"""Seconds until a beacon that failed is tried again: doubling, jittered by half, so that a beacon that restarts is not
met by all its gateways at once."""

BEACON_STEADY: Final = 10.0
"""Seconds a connection has to last before its end counts as no failure of the beacon, and it is tried again at once."""

BEACON_HEARTBEAT: Final = 20.0
"""Seconds of silence after which a beacon is asked for a sign of life: below the half minute of the strictest NATs."""

BEACON_UNANSWERED: Final = 2.0
"""The same while we are sending: nothing need come back, but a dead connection is to be known before people know it."""

BEACON_PONG: Final = 3.0
"""Seconds such a sign is waited for; together with the above, five until another beacon is looked for."""

BEACON_PONG_LATE: Final = 10.0
"""The same while other frames come: the pong may wait behind megabytes of them on a slow link."""

BEACON_PONG_MOVED: Final = 1.0
"""The same after this machine's addresses changed, when the connection is dead more often than not."""

BEACON_CONNECTIONS: Final = 16
"""Connections to beacons that are not our home, at once: as many as contacts with homes of their own are talked to."""

BEACON_BEGIN_PERIOD: Final = 10.0
"""Seconds in which no more than `BEACON_CONNECTIONS` of them are begun: whoever names ever new places makes no scanner of us."""

BEACON_STAYS: Final = 20.0
"""Seconds without a frame after which one of them makes way for another: longer than a path's keepalive."""

BEACON_UNUSED: Final = 60.0
"""Seconds without a frame after which such a connection is closed: several keepalives of a path that stands by."""

BEACON_ANSWER: Final = 5.0
"""Seconds a beacon's answer to a question is waited for."""

TURN_RENEWAL_SHORTEST: Final = 60.0
"""Seconds between questions for new TURN credentials at least, whatever a beacon says of their life."""

BEACON_CLOSE: Final = 1.0
"""Seconds a closing handshake may take; a beacon that is not there does not answer it."""

BEACONS_REMEMBERED: Final = 256
"""Beacons of which it is remembered that they failed, or who they are; a record can name any."""

RELAY_BUFFER: Final = 1024 * 1024
"""Bytes of datagrams that wait for a beacon's connection; the oldest is dropped then, as on any full path."""

RELAY_URGENT: Final = 256
"""Frames of path messages and sealed messages that wait there, each at most `RELAY_FRAME` bytes and most of them small."""

RELAY_UNSENT: Final = 128 * 1024
"""Bytes the kernel takes ahead of what the network does (TCP_NOTSENT_LOWAT): what a path message may wait behind."""
# --- STUN and TURN ---------------------------------------------------------------------------------------------

NETCHECK_EVERY: Final = 5.0
"""Seconds between measurements at least, whoever asks: what a reflector allows one household is there again then."""

NETCHECK_KEPT: Final = 600.0
"""Seconds for which a measurement is believed by those who do not ask for a new one."""

NETCHECK_SERVERS_WAIT: Final = 5.0
"""Seconds that a measurement waits for a beacon to be connected, which tells of its STUN servers."""

TURN_LOOK_GAP: Final = 0.1
"""Seconds between looks at all connections at least: a peer that changes its mind all the time makes no more of them."""

TURN_LOOK: Final = 5.0
"""Seconds between looks at which connections need an allocation, while one of them does."""

# --- Crossing NATs ---------------------------------------------------------------------------------------------

DESCRIPTION_BYTES: Final = 160
"""Bytes of what the peer is told of our network: with four outside addresses 120."""

EXTRA_SOCKETS: Final = 640
"""Sockets besides the tunnels' own: the largest strategy's, and paths that go by single ones. Systems allow 1024 descriptors."""

# --- News of the network -------------------------------------------------------------------------------------

NETWORK_SETTLES: Final = 0.1
"""Seconds from the first sign of a change until it is looked at: an address and its routes come one after the other."""

NETWORK_LOOK_SHARE: Final = 20
"""A look that took a second is not repeated for as many: a twentieth of the time at most."""

NETWORK_POLL: Final = 5.0
"""Seconds between looks where the kernel does not tell."""

NETWORK_CHANGES_TOLD: Final = 6
"""Changes named in one line."""

NETLINK_BUFFER: Final = 64 * 1024
NETLINK_READS: Final = 64
"""Bytes of one read, and reads in one turn of the event loop: a router that learns a full table makes no more of it."""

SLEEP_TICK: Final = 5.0
SLEEP_NOTICED: Final = 3.0
"""Seconds between looks at the clocks, and beyond them until it counts as a sleep: no busy event loop is that late. One
that was stopped looks at once, and one whose machine slept when the kernel tells of a network, which most wake to."""

# --- Sealed messages -----------------------------------------------------------------------------------------

SEALED_LIFETIME: Final = 30.0
"""Seconds a sealed message is good for: it asks for something now, and a beacon keeps nothing."""

SEALED_CLOCK_ERROR: Final = 30.0
"""Seconds the clocks of two endpoints may differ by; machines without a time server do, and a message is not much worth."""

SEALED_WINDOW: Final = 64
"""Messages of one run that may overtake another one."""

SEALED_RUNS: Final = 1024
"""Runs of senders whose opened messages are kept in mind, each for a minute and a half; others are refused meanwhile, so that
what is forgotten cannot be replayed."""

SEALED_PEERS: Final = 256
"""Endpoints for which the shared key is kept."""

CALL_CANDIDATES: Final = 16
"""Candidates in one call: as many as an endpoint is believed to have."""

# --- Memory per stream and per connection ------------------------------------------------------------------

STREAM_WINDOW: Final = 512 * 1024
"""Bytes a peer may send on one stream ahead of its reader, once the reader has kept up for a moment; what a stalled
reader holds at most, unless it was faster than this per round trip before."""

MIN_STREAM_WINDOW: Final = 64 * 1024
"""The same before the first grant, when very many streams share a connection, and when the budget is spent."""

MAX_STREAM_WINDOW: Final = 48 * 1024 * 1024
"""The same for the fastest reader: 100 MB/s over 200 ms are 20 MB, and windows are twice that."""

CONNECTION_WINDOW: Final = 64 * 1024 * 1024
"""Bytes the windows of one connection add up to before each stream's share shrinks."""

GATEWAY_WINDOW: Final = 512 * 1024 * 1024
"""Bytes all windows of a gateway add up to, beyond the smallest of each; what readers that were all fast and all
stalled at once can hold."""

WINDOW_RTT: Final = 0.002
"""Seconds of round trip that windows allow for at least: on a short path, that many a busy process takes to look."""

MIN_RTT_PERIOD: Final = 10.0
"""Seconds over which the shortest round trip is taken for the path's own, without queues (as BBR does)."""

SEND_BACKLOG: Final = 512 * 1024
"""Bytes handed to the engine ahead of its congestion window; small, because interactive data queues behind it."""

SEND_QUANTUM: Final = 64 * 1024
"""Bytes one stream may add to the backlog before the next one has its turn, when many wait: long enough for one write
to its client at the other end, where a system call costs more than the bytes."""

INTERACTIVE_WEIGHT: Final = 4
"""Turns of a stream that had no backlog of late, for each turn of one that had: a page gets through beside a disc."""

INTERACTIVE_BYTES: Final = 16 * 1024
"""The largest write that counts as interactive: a request, a page's head, a keystroke."""

BULK_SECONDS: Final = 1.0
"""Seconds for which a stream that had to wait counts as bulk."""

INTERACTIVE_SECONDS: Final = 0.25
"""Seconds after an interactive write during which bulk keeps the queues short: between keystrokes, not between pages."""

SHARED_FLIGHT: Final = 128 * 1024
"""Bytes that bulk keeps in flight then, for each millisecond of the path's round trip: less than a millisecond of
queue where bulk is fast, and more than any path of that length carries otherwise."""

DATAGRAM_BACKLOG: Final = 256 * 1024
"""Bytes of DATAGRAM frames queued while the connection is congested; later ones are dropped, as UDP does."""

WRITE_BUFFER_HIGH: Final = 64 * 1024
"""Bytes a writer may have waiting for credit before it is told to pause."""

QUIC_STREAM_WINDOW: Final = 64 * 1024 * 1024
"""QUIC's own flow control per stream: above our largest credit window, so that it never interferes."""

QUIC_CONNECTION_WINDOW: Final = 96 * 1024 * 1024
"""QUIC's own flow control per connection; we drain the engine at once, so it only bounds what lies behind a gap."""

# --- Files --------------------------------------------------------------------------------------------------

KEY_FILE_BYTES: Final = 4096
"""Largest key file that is read: one line of 80 characters, and room for stray white space."""

# --- NAT64: IPv4 for a machine that has IPv6 only ------------------------------------------------------------------------

NAT64_WAIT: Final = 5.0
"""Seconds that the system's resolver gets, which asks another server after five."""

NAT64_TRIES: Final = 3
NAT64_RETRY: Final = 5.0
"""How often a network is asked that it has come to, and seconds between, twice as many the second time."""

# --- Port mappings ---------------------------------------------------------------------------------------------

UPNP_SEARCH: Final = 2.0
"""Seconds that a router has to answer an SSDP search; it is asked with MX 1."""

UPNP_REQUEST: Final = 5.0
UPNP_BODY: Final = 256 * 1024
"""Seconds and bytes of one HTTP answer: descriptions have up to 50 KB, and slow routers need seconds."""

UPNP_ANSWERS: Final = 16
"""Answers to a search that are looked at: a router gives one for each of its services."""

# --- TCP paths ---------------------------------------------------------------------------------------------------

TCP_OPEN_SECONDS: Final = 10.0
"""Seconds for which both ends connect to each other; who does not succeed then does not at all, as others found."""

TCP_OPEN_ASK: Final = 7.0
"""Seconds that the beacon may take to tell where it sees our port: a connection, TLS, and a lost packet."""

TCP_OPEN_GAP: Final = 0.15
TCP_OPEN_EAGER: Final = 1.5
TCP_OPEN_LATER: Final = 0.7
"""Seconds between tries to connect; and those after which there are fewer: then the other side has begun as well. With two
places to try the gaps are twice as long. A try whose SYN is dropped lasts, and the kernel repeats it; only what is refused
is tried anew."""

TCP_OPEN_JITTER: Final = 0.3
"""The part by which gaps vary, so that two ends do not refuse each other in time."""

TCP_PLACES: Final = 2
"""Addresses of one peer that are tried: where its NAT shows its port, and where it does if it keeps ports."""

TCP_LEAST_PORT: Final = 1024
"""Ports below are services', which no peer of ours shall have us knock at; no NAT shows clients there."""

TCP_UNPROVEN_BYTES: Final = 4096
"""Bytes that are read of a TCP connection before a check of the peer's came: it is 88 bytes of the first read."""

TCP_UNPROVEN: Final = 16
"""TCP connections that proved nothing yet; of more the oldest makes room, as any stranger can connect while we listen."""

TCP_ACCEPTED: Final = 4
"""Connections that one port accepts within `TCP_PROVE`: the peer's, and it may try again."""

TCP_PROVE: Final = 5.0
"""Seconds within which the peer's first check has to come: both ends send one as soon as they are connected."""

TCP_CONNECTIONS: Final = 256
"""TCP connections that are paths: 4 MB with what the kernel buffers while they are idle, 300 MB if all are slow."""

TCP_DATAGRAM: Final = 16_384
"""Bytes of one datagram: twice the largest packet of a connection. What a receiver keeps of one that is not whole yet."""

TCP_BUFFER: Final = 1024 * 1024
TCP_URGENT: Final = 64
"""Bytes of data, and path messages, that wait for one TCP connection; the oldest is dropped then, as on any full path."""

TCP_WRITE: Final = 32 * 1024
TCP_UNSENT: Final = 64 * 1024
"""Bytes given to the kernel at once, and those it takes ahead of what the network does (TCP_NOTSENT_LOWAT): what a path
message may wait behind."""

TCP_SILENT: Final = 50.0
"""Seconds of silence after which a TCP connection is closed: three pings of an idle path (`PING_IDLE`)."""

TCP_LOOK: Final = 2.5
"""Seconds between looks for TCP connections that are silent, or that nobody uses."""

TCP_ASK_EVERY: Final = 8.0
"""Seconds between questions to the beacon where it sees our port: a beacon ends idle connections after 15."""

TCP_SEEN_BYTES: Final = 512
"""Bytes of its answer."""

# --- Without any server ------------------------------------------------------------------------------------------

PWNAT_ECHO_EVERY: Final = 20.0
"""Seconds between two echoes of who waits: Linux forgets one after 30 s, RFC 5508 §3.2 allows that after 60 s."""

PWNAT_AFTER: Final = 1.5
PWNAT_AGAIN: Final = 2.0
"""Seconds that a dial gets to succeed in any other way before a summons is sent, and until the next one is."""

PWNAT_PLACES: Final = 4
"""Addresses of one endpoint that are summoned, and IPv6 addresses of our own that echoes are sent from."""

PWNAT_SUMMONSES_PER_SECOND: Final = 8
"""Summonses that we send, whomever we dial."""

PWNAT_OPENERS: Final = (0.0, 0.7, 2.5)
"""Seconds after a summons at which an opener is sent: one is enough, some are lost. Together they have no more bytes than the
summons, so that nobody gains by having us send them elsewhere."""

PWNAT_READS: Final = 32
PWNAT_PAUSE: Final = 0.5
"""Messages that are read from a raw socket at once; if there are more, the rest is left to the kernel for so many seconds."""
