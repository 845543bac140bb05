"""Every bound of `gateway.beacon`, with its reason; those that other rooms keep to as well stand in `gateway.limits`."""

from typing import Final

BEACON_RECORDS: Final = 262_144
"""Records a beacon keeps, about 1.2 KB each, so 300 MB of disk; the one renewed longest ago gives way."""

BEACON_RECORD_SECONDS: Final = 7 * 86400.0
"""How long a beacon keeps a record that nobody renews: over a holiday; gateways renew theirs many times a day."""

BEACON_USERS: Final = 262_144
"""Endpoints whose use in this period is remembered, about 100 B each; the one charged longest ago gives way."""

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
