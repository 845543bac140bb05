"""Every bound and timer of crossing NATs, each with its reason; those that others share are in `tunnels.limits`."""

from typing import Final

from tunnels.limits import OPENER_TTL
from tunnels.nat.limits import EXTERNAL_IPS

# --- Crossing NATs ---------------------------------------------------------------------------------------------

NETWORK_LABEL_BYTES: Final = 8
"""Of the label by which a network is known again: two of a person's networks never share one, and it tells nothing."""

READY_PLACES: Final = 32
"""Places one strategy names to the peer: as many sockets as knock at predicted ports."""

READY_BYTES: Final = 512
"""Bytes of what one strategy tells the peer's side of it: thirty-two places."""

READY_CHANGES: Final = 32
"""How often that may change in one attempt: several tries, each in a few steps."""

CROSS_PATIENCE: Final = 0.4
CROSS_PATIENCE_TRIPS: Final = 3
"""Seconds, and round trips by the path that works, that pings have to find a direct path before a strategy is tried."""

CROSS_UNKNOWN_ROUND_TRIP: Final = 0.3
"""Seconds that a round trip counts as before one was measured."""

CROSS_PREPARE: Final = 4.0
"""Seconds that an attempt may last beyond what its strategy takes: to agree on it, over a relay with losses."""

CROSS_LOOK_AGAIN: Final = 0.1
"""Seconds after which it is looked at again how things stand, though nothing was told: a spray's timer fires 400 times a second."""

CROSS_RETELL: Final = 0.15
"""Seconds after which what the peer did not confirm is told again."""

CROSS_UNPROVEN: Final = 24
"""Datagrams that an attempt sends to ips that nobody attests: as many as pings to a peer's candidates are."""

CROSS_UNPROVEN_IPS: Final = EXTERNAL_IPS
"""Ips that they go to: no home has more, and what attempts send to is counted for a bounded number of ips."""

CROSS_ATTEMPTS: Final = 16
CROSS_ATTEMPT_EVERY: Final = 5.0
"""Attempts of one connection that may begin at once, and seconds until there may be one more: twice up the ladder, and
as long as a short one takes. A peer that begins them without end has no more of us than one that means it."""

CROSS_WORDS: Final = 100
"""Messages about attempts that are read of one connection in a second: thirty, sent by three paths at once. The others are
passed over, as if they were lost."""

CROSS_ATTESTS: Final = 4
CROSS_ATTEST_EVERY: Final = 60.0
"""Times that one connection's peer may have us ask for an attestation at a place of its choice, and seconds until once more:
a connection takes one, and one more in five minutes, or if either's home beacon is another one."""

CROSS_PROOFS: Final = 5
CROSS_PROOFS_PER_SECOND: Final = 0.5
"""Attestations of one connection's peer that are looked at: a signature is verified for each ip that it names, 2 ms in all."""

CROSS_KEPT: Final = 4
"""Sockets of attempts that one connection keeps for its paths, as data goes by no more than four at once."""

CROSS_NETWORKS: Final = 8
"""Networks of one connection's peer of which is remembered what worked: it roams, but not through hundreds."""

TCP_CONNECTS: Final = CROSS_UNPROVEN
"""Tries of one attempt in all, to both places: a SYN or a few each. Who gets no UDP has nothing attested, so they go to the
peer's word alone; the times above add up to no more."""

CROSS_BACKOFF: Final = (1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 300.0, 900.0)
"""Seconds until the ladder is gone up again after the last rung failed; the last one stays. What failed for minutes between
two networks fails as long as they are what they are, and a change of ours begins anew."""

CROSS_DOUBTS: Final = (15.0, 60.0, 300.0, 900.0)
"""Seconds without a direct path, though data flows, after which what is known of our network is doubted, and between the next
times; the last one stays. The ladder was gone up once by then, as a rule; measuring takes mappings."""

NETWORK_FLOWS: Final = 16
"""Mappings that measuring the network takes: it waits until our router has room for so many beside those of attempts."""

SMALL_NETWORKS: Final = 16
"""Networks that are remembered to have a router with little room, while the gateway runs: nobody is in more of them in turn."""

NETWORK_CREDIBLE: Final = 60.0
"""Seconds for which what was measured of our network is believed all the same."""

CROSS_WAIT_MOST: Final = 60.0
"""Seconds that a peer which is busy may have us wait."""

CROSS_WAIT_SHORT: Final = 1.0
"""Seconds for which a peer that is busy is waited for, instead of trying something else: its clock is one way behind ours."""

CROSS_REFUSALS: Final = 3
"""How often we come again at the time that a peer names which is busy; then it is as after a failure."""

CROSS_LINGER: Final = 3.0
"""Seconds that an attempt's sockets are kept after it: knocks are under way, and both ends must hear of the path."""

CROSS_LOOK: Final = 30.0
"""Seconds between looks whether a path still goes by a socket that was kept."""

CROSS_ASKED: Final = 4096
"""Questions to STUN servers whose answers are waited for, for all connections: more than the sockets there are."""

SAMPLING_SENDS: Final = 3
"""How often a STUN server is asked where one of a strategy's sockets is seen, `STUN_RESEND` apart."""

SAMPLING_WAIT: Final = 0.8
"""Seconds after the last time that the answer is waited for: with those before, a second, as long as any round trip."""

CROSSING_PER_SECOND: Final = 600
CROSSING_BURST: Final = 256
"""Datagrams of attempts in a second, whoever they are for, and at once: less than a megabit, and 30 KB. A provider's router that
sees more new flows than that from one home may take it for a flood, and cut off the home; as many as this at once are what
hyperdht opens for each peer behind such a NAT."""

CROSSING_DESTINATION_PER_SECOND: Final = 100
CROSSING_DESTINATION_BURST: Final = 5000
"""The same to one ip, whichever peers named it: the largest attempt, 6144 datagrams in 13 seconds, gets through once, and
ten peers that name one victim get no more than that out of us together."""

CROSSING_UNPROVEN_PER_SECOND: Final = 0.4
CROSSING_UNPROVEN_BURST: Final = 4 * CROSS_UNPROVEN
"""The same to one ip that nobody attests: four attempts' at once, and then 24 in a minute. Attempts that follow each other
for hours, with however many peers, send whoever they name 36 bytes a second."""

CROSSING_DESTINATIONS: Final = 256
"""Ips whose share is counted; to others nothing is sent meanwhile, so that nobody's count is forgotten early."""

CROSSING_BLIND: Final = 56
CROSSING_BLIND_LEAST: Final = 24
"""Mappings that attempts, and measurements of the network, make while nobody knows whether our router has room for them, within as
many seconds as it keeps them; and how many there have to be left for an attempt to begin that would take more. That there is no
room shows when it is full, and then everybody in the home waits until it forgets some, as nothing makes it forget ours: so
in a router with room for a hundred, 35 are left to others, and nine are for the tunnels' own socket."""

CROSSING_MAPPINGS: Final = 6400
CROSSING_MAPPING_SECONDS: Final = 30.0
"""Entries that attempts make in the table of our own NAT within as many seconds as it keeps them (Linux: 30 s until an
answer comes): one of the largest attempts, and some small ones beside it. Most home routers have room for more; where one
was seen to have less, large attempts are not made (`SMALL_NETWORK_MAPPINGS`)."""

CROSSING_SOCKETS: Final = 640
"""Sockets of attempts at once: two of the largest kind, and below the 1024 files that a process may have open."""

CROSSING_ATTEMPTS: Final = 32
"""Attempts at once, with as many peers."""

CROSSING_GUESS_REST_PER_SECOND: Final = 230
CROSSING_GUESS_REST_LEAST: Final = 1.0
"""How many datagrams of an attempt that guesses ports make a second of rest between its end and the next one, whoever that is
with, and the least of it in seconds; one is made at a time. Whoever asks for them without end gets no more than 167 datagrams
in a second out of us; the largest attempts rest for 27 s, hyperdht for 20 s after each, and after small ones it is soon tried again."""

CROSSING_GRACE: Final = 5.0
"""Seconds beyond what it said it takes, after which an attempt that nobody ended counts as ended."""

HISTORY_PAIRS: Final = 1024
"""Pairs of networks of which it is known what worked: a few networks of ours and some hundred of others; 50 KB."""

HISTORY_STRATEGIES: Final = 24
"""Strategies that are remembered for one pair: there are twenty."""

HISTORY_COUNT: Final = 1000
"""As far as successes and failures are counted."""

HISTORY_GIVEN_UP: Final = 3
"""Failures in a row after which what once worked between two networks is no longer believed to."""

LADDER_FAILED: Final = 0.5
"""What each failure in a row between two networks leaves of a strategy's promise, when it is asked what is tried first there."""

LADDER_SURE: Final = 0.9
"""What works by pings alone this likely needs nothing expensive beside it: where it fails all the same, the relay serves."""

LADDER_CHEAP_DATAGRAMS: Final = 64
"""Datagrams up to which an attempt is cheap enough to be made even so."""

LADDER_LEAST: Final = 0.02
"""Chances below this are not worth a try."""

LADDER_UNKNOWN: Final = 0.5
"""How much of its success is left to a strategy where a network is only assumed to be what it takes."""

LADDER_DATAGRAMS: Final = 100
"""Datagrams that weigh as much as a second of waiting, when it is asked what a chance costs: few knocks that take their time
come before many quick ones."""

SMALL_NETWORK_MAPPINGS: Final = 48
"""Mappings of one attempt in a network whose router was seen to run out of them: half of a router's with room for 100."""

# --- Crossing NATs: openers first, and predicted ports ----------------------------------------------------------

OPENER_TTL_LEAST: Final = 2
OPENER_TTL_MOST: Final = 8
"""Bounds for openers that are to get one router beyond our outermost NAT: our own router, and one in a provider's network."""

OPENER_TTLS: Final = (OPENER_TTL, 3, 8)
"""In the rounds of one attempt: the peer may be a neighbour, or our own NAT a provider's and far away."""

OPENER_TTLS_SEEN: Final = (3, OPENER_TTL, 8)
"""Where we see which of them did not come as far as our own NAT: as few as will do."""

OPENERS: Final = 2
OPENER_GAP: Final = 0.02
"""Openers to one place, for one may be lost on the way to the NAT, and seconds between them."""

OPEN_WAIT: Final = 0.5
"""Seconds after which we knock although the peer did not say that it sent its openers."""

TWO_STAGE_ROUND: Final = 1.5
TWO_STAGE_TRIPS: Final = 2
TWO_STAGE_TRIP_MOST: Final = 0.5
"""Seconds one round takes: pings for more than a second, and round trips by the relay, as far as they are not longer than
this."""

PREDICT_SOCKETS: Final = 8
"""Sockets that knock side by side: others' mappings come between them, and hardly take each place where we look."""

PREDICT_BURST: Final = 10
PREDICT_SAFE_PER_SECOND: Final = 8.0
PREDICT_SAFE: Final = 18
"""Knocks at predicted ports at once, a second after them, and how many until there may be more: the flood guards of
routers that have one let 20 unsolicited datagrams pass in a second."""

PREDICT_PER_SECOND: Final = 50.0
PREDICT_PASSES: Final = 2
"""Knocks in each second thereafter, and at each port in all, as one may be lost."""

PREDICT_ALIVE: Final = 1.0
"""Seconds after which openers at predicted ports are sent again: a mapping that nobody answered may be short-lived."""

PREDICT_SECONDS: Final = 5.0
"""What an attempt takes that does not succeed: two passes over 32 ports, which are told within a second or two."""

MEETING_SOCKETS: Final = 32
"""Sockets that are opened to have one of them at a port that was told before: others' mappings may be half as many more
or less than expected, which is three standard deviations at a hundred a second and a quarter of a second."""

MEETING_FEW: Final = 12
MEETING_OTHERS: Final = 4
"""As many where others' mappings are expected to be no more than this: up to eleven may come between, which more than four
do in one case of a hundred if they come by chance. With pings to where servers see the peer, a dozen knocks are less than
what flood guards let pass."""

MEETING_ROUNDS: Final = 3
MEETING_SECONDS: Final = 6.0
"""Rounds of an attempt in which both ends' ports are predicted, and seconds that it takes at most."""

MEETING_NOISE_SECONDS: Final = 0.05
"""How much what was measured before counts, in seconds of what is measured now: it is minutes old, and NATs get busy."""

MEETING_ROUND: Final = 1.2
MEETING_KNOCKS: Final = 0.3
MEETING_TRIP_MOST: Final = 0.4
"""Seconds from the beginning of a round, and from the first knock in it, after which there is a new one; the round trip
by the relay comes on top, as far as it is not longer than this."""

MEETING_DOUBTS: Final = 8
"""Sockets that may be the one at the port that was told: more would be too many knocks that nobody waits for."""

# --- Guessing ports --------------------------------------------------------------------------------------------

GUESS_OPENERS_PER_SECOND: Final = 320
GUESS_OPENERS_BURST: Final = 8
"""How fast sockets are opened for knocks at guessed ports, and how many at once: eighty in a quarter of a second. Routers
take new mappings every 5 ms (RFC 8445 §14.2); no datagram of these gets to the peer's."""

GUESS_OPENERS_EVERY: Final = 10.0
"""Seconds after which a mapping is used again, so that our NAT keeps it: it forgets after 30 s, and two may be lost."""

NAT_FORGETS: Final = 30.0
"""Seconds after which a NAT forgets a mapping that was not answered (Linux; 34 home routers have it as the least)."""

GUESS_PLACE_WAIT: Final = 0.3
"""Seconds that the peer has to ask where it is seen before what it told earlier is believed, besides a round trip."""

GUESS_ROUND_TRIP: Final = 1.0
"""Seconds of a round trip to the peer that are waited for at most."""

GUESS_LOWEST: Final = 1024
"""No NAT gives out ports below: they are services'."""

GUESS_ENOUGH: Final = 4.6
"""Hits that are to be expected where no more than one attempt in a hundred shall fail: -ln(0.01)."""

GUESS_LINGER: Final = 1.0
"""Seconds after the last knock until it is in vain to wait, besides a round trip."""

SPRAY_SOCKETS: Final = CROSSING_BLIND
"""Sockets that wait for knocks: as many as any router bears. Right after our network was measured it is forty."""

SPRAY_KNOCKS: Final = 6000
SPRAY_PER_SECOND: Final = 560
SPRAY_BURST: Final = 8
SPRAY_SECONDS: Final = 10.8
"""Knocks at random ports, at once where the clock comes late: of 64512 one in 1152 is open, so half of all attempts take 800 or
fewer, and one in two hundred fails. That is 1.4 s, and 0.7 megabits; with forty sockets it is 2.0 s, and one in forty fails. As
many as may go to one ip."""

SLOW_SOCKETS: Final = 512
SLOW_STEP: Final = 64
"""Sockets that wait for slow knocks, and how many are opened before it is seen whether the router has room for more."""

SLOW_KNOCKS: Final = 900
SLOW_PER_SECOND: Final = 15
SLOW_SECONDS: Final = 60.0
"""Knocks where routers may block who sends more than twenty unasked datagrams in a second: one in 126 ports is open, half
of all attempts take 87 or fewer, and one in a thousand fails."""

SMALL_SOCKETS: Final = 40
"""Sockets that wait where a router was seen to have little room, or nobody can say whether it has."""

KNOCKS_LOOK: Final = 32
"""Knocks, or combinations, after which it is seen whether our own router has room for more, then after twice as many each time: some
count each place that is knocked at, and remember it for half a minute. Until it is known of those, no more than as many again
are made, or half as many."""

CANARY_WAIT: Final = 0.5
"""Seconds after which a router that let a question out before, and does not now, counts as full: it was asked three times."""

BLOCK_SOCKETS: Final = CROSSING_BLIND
BLOCK_SHARE: Final = 8
"""Sockets that wait in a block of ports, and of how many ports one of them is at most: a provider's customer has 500 to
4000 in all, and others in the home need theirs."""

BLOCK_KNOCKS: Final = 400
BLOCK_AT_ONCE: Final = 3
"""Knocks at the ports of a block, and how many of them at once: with pings to where servers see the peer it is no more than 20
in any second, which is what some routers allow. With 56 sockets in 1024 ports half of all attempts take 13 or fewer, with forty 18;
in 4096 one in two hundred fails, or one in fifty."""

PAIR_COMBINATIONS: Final = 2048
PAIR_SOCKETS: Final = 32
"""Combinations of a socket of ours and a port of the peer's, where both NATs choose random ports of a block, and how many
sockets they share. For two blocks of 1024 four are expected to meet: one attempt in fifty fails."""

PAIR_EXPECTED: Final = 4.0
"""Combinations that shall meet: in smaller blocks fewer do."""

COMBINATIONS_PER_SECOND: Final = 560
COMBINATIONS_BURST: Final = 8
"""How fast combinations are tried, and at once where the clock comes late: a little below what a budget has for all attempts."""

COMBINATIONS_FIRST: Final = 224
COMBINATIONS_FIRST_PER_SECOND: Final = 2000
"""The first ones, and how fast these are tried: a little below what a budget has at once."""

COMBINATIONS_LOOK: Final = 512
"""Combinations after which it is seen whether our router has room for more, once there are as many: half of a provider's block."""

PREDICT_BLOCK_RUNS: Final = 4
PREDICT_BLOCK_RUN: Final = 10
"""Runs of ports that the side with ports in order opens at most, and ports of each: at once, between two questions to a STUN
server that show whether a stranger got one of them. With these questions they are no more than any router bears
(`CROSSING_BLIND`); right after our network was measured it is three runs."""

PREDICT_BLOCK_SOCKETS: Final = 240
"""Sockets from which the other side tries each of these ports, at most: enough for two runs."""

PREDICT_BLOCK_COMBINATIONS: Final = 4900
"""Combinations of a socket and one of these ports at most, in 9 s: in a block of 1024 one attempt in a hundred fails, in
one of 4096 three in ten do."""
