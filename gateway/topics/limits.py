"""Every bound of `gateway.topics`, with its reason; those that other rooms keep to as well stand in `gateway.limits`."""

from typing import Final

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
