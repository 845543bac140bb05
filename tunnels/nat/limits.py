"""Every bound of `tunnels.nat`, with its reason; those that other rooms keep to as well stand in `tunnels.limits`."""

from typing import Final

# --- STUN and TURN ---------------------------------------------------------------------------------------------

STUN_MESSAGE: Final = 2048
"""Bytes of a STUN message that is read: one datagram of 1500 bytes inside a TURN indication, and its head."""

STUN_SERVERS: Final = 8
"""STUN servers that are asked: two of each of four beacons. More would tell nothing new."""

STUN_SENDS: Final = 3
STUN_RESEND: Final = 0.1
"""Requests to one server in a round, and seconds between them: a lost one costs a tenth of a second, as in Tailscale's
netcheck, not RFC 8489's half a second."""

STUN_GIVE_UP: Final = 3.0
"""Seconds after the first request at which a server counts as silent; a round trip is a tenth of that."""

STUN_EVERY: Final = 22.0
STUN_JITTER: Final = 4.0
"""Seconds between rounds while somebody needs our addresses, and what chance adds at most: below the 30 s at which
home NATs forget a UDP mapping, and never in step with other endpoints."""

STUN_RETRY: Final = 1.0
STUN_RETRIES: Final = 5
"""Seconds after which a silent server is asked again, doubled each time; and how often while nobody needs an answer."""

STUN_AGREEING: Final = 2
"""Servers that must have seen the same address for us to doubt what a lone one says."""

STUN_ADDRESSES: Final = 2
"""Reflexive addresses of each family that we tell others: a NAT whose mapping varies makes one for each server, and any of
them tells no more than its ip; each one is asked several times, and some routers block who asks in vain too often."""

REFLECTOR_PER_SECOND: Final = 20.0
REFLECTOR_BURST: Final = 90.0
"""Requests that a STUN server answers one IPv4 address, or one IPv6 /56, in a second, and at once: three gateways behind
one NAT measure it together, or one does and then crosses it, which asks up to thirty times more."""

REFLECTOR_ALL_PER_SECOND: Final = 4000.0
REFLECTOR_ALL_BURST: Final = 8000.0
"""The same for all together: a fifth of a core. A hundred thousand gateways that are in use ask this often."""

REFLECTOR_SOURCES: Final = 16_384
"""Sources whose requests are counted: 3 MB. Forged ones can push real ones out of it, and then only the limit for all holds."""

REFLECTOR_ROUTABLE: Final = 30.0
"""Seconds for which a source's proof is good that it receives what is sent to it; gateways ask again within them."""

ATTESTATIONS_PER_SECOND: Final = 500.0
"""Attestations that a beacon's STUN server signs for those who proved to be at their address, and as many for the others, who
may all be one with forged ones: 30 to 50 µs each, so a twentieth of a core however many are asked for. A gateway asks for
one when it is about to be sent hundreds of packets, which no pair of gateways does more than once a minute."""

ATTESTED_SECONDS: Final = 600.0
"""For so long an attestation is believed: a few tries at a path, and no longer than a home's address can be trusted to be
the same home's."""

ATTESTED_CLOCK_ERROR: Final = 30.0
"""Seconds that a beacon's clock may be ahead of ours. One that is behind makes its attestations old earlier."""

REFLECTOR_ECHO_MOST: Final = 300
"""Seconds after which a STUN server may be asked to send something, at most: twice what NATs hold where they keep to RFC 4787."""

REFLECTOR_ECHOES_OF_SOURCE: Final = 8
REFLECTOR_ECHOES: Final = 4096
"""What it has to send later at once, to one household and in all: one measurement takes eight, each to another port, and
all of them are 3 MB."""

LIFETIME_WAITS: Final = (25, 55, 115, 175)
"""Seconds of silence after which a NAT is tried: NATs of home routers and providers forget after 30, 60, 120 or 180 of them."""

LIFETIME_SOCKETS: Final = 2
"""Sockets for each of these, as one datagram may be lost; in all no more than `REFLECTOR_ECHOES_OF_SOURCE`."""

LIFETIME_SETTLED: Final = 2.5
"""Seconds between the first and the second question: Linux keeps for longer what went both ways for two seconds."""

LIFETIME_RESEND: Final = 0.5
LIFETIME_SENDS: Final = 3
"""Seconds after which a question is asked again, and how often it is asked."""

LIFETIME_LATE: Final = 3.0
"""Seconds after which what was to come counts as not let in."""

PROBE_SERVERS: Final = 4
"""STUN servers of one family that a measurement asks: the two ips and two ports of a beacon's."""

PROBE_SOCKETS: Final = 8
"""Sockets that it opens for each family: enough mappings to tell random ports from ports in order."""

PROBE_SENDS: Final = 3
PROBE_SENDS_LATER: Final = 2
PROBE_RESEND: Final = 0.1
"""How often each server is asked at first, and each question later; seconds in between, if round trips are not longer."""

PROBE_UNKNOWN_ROUND_TRIP: Final = 0.4
"""Seconds that a round trip counts as before one was measured: asking a far server again too soon uses up what it allows us."""

PROBE_PAUSE: Final = 0.3
"""Seconds in which others may make mappings: three show at ten a second, and all is over within a second."""

PROBE_GIVE_UP: Final = 3.0
"""Seconds without any answer at which UDP counts as blocked, as in Tailscale's netcheck."""

PROBE_DATAGRAMS: Final = 40
"""Datagrams that a measurement sends in one family at most. Without losses it sends 23 or fewer, as some STUN servers answer
30 at once and ten a second; our router has to remember 16 flows for it, 14 where it is symmetric, and three of the trace."""

HAIRPIN_TTL: Final = 6
"""Routers that a datagram to our own outside address may pass: up to a provider's NAT, and not to anybody else whose
address a server that lies gave us."""

TRACE_WAVE: Final = 4
TRACE_MOST: Final = 8
"""Routers on the way to a STUN server that are asked for at first, and in all: a provider's NAT is among the first few, and most
homes have none. Each costs a socket, room for one more flow in our router, and at most two datagrams, of which only those reach
the server that pass more routers than there are."""

TRACE_WAIT: Final = 0.2
"""Seconds that a router near us takes to say that it let a datagram die, at most; all waves together take four of them."""

EXTERNAL_IPS: Final = 4
"""Outside ips that are told: pools of providers' NATs have more, and change them anyway."""

ALLOCATION_SAMPLES: Final = 4
ALLOCATION_PRESERVED: Final = 2
ALLOCATION_MOSTLY: Final = 0.75
"""Mappings from which the choice of ports is told; so few if all are the sockets' own, which chance hardly does; and the
share of those that suffices, as some other machine may have had a port before us."""

BLOCK_SAMPLES: Final = 6
BLOCK_MOST: Final = 4096
"""Ports of a block at most, as providers give to one customer, and mappings that show one: six random ones of all ports
lie that close once in 170 000 times."""

PARITY_SAMPLES: Final = 8
"""Mappings that show that parity is kept: chance does so once in 256 times."""

DELTA_MOST: Final = 64
"""Ports from one mapping to the next, in the middle, at which they still count as given out in order."""

NOISE_SECONDS: Final = 0.2
"""Over which mappings of others are counted at least; less would tell of single ones."""

TURN_LIFETIME: Final = 600
"""Seconds of an allocation that are asked for (the default of RFC 8656 §3.2)."""

TURN_REFRESH_BEFORE: Final = 60.0
"""Seconds before its end at which an allocation is refreshed (RFC 8656 §8 says one minute)."""

TURN_REFRESH_LEAST: Final = 10.0
"""Seconds between refreshes at least, whatever lifetime a server gives."""

TURN_PERMISSION_REFRESH: Final = 240.0
"""Seconds after which permissions and channels are renewed: the former end after 300 (RFC 8656 §9)."""

TURN_UNUSED: Final = 300.0
"""Seconds after which a peer that nothing was sent to or heard of is not renewed any more."""

TURN_REFUSED: Final = 60.0
"""Seconds for which nothing is sent to a peer that the server refused a channel for."""

TURN_RESEND: Final = 0.25
TURN_SENDS: Final = 5
"""Seconds to the second request of a transaction, doubled each time; requests in all. It fails after 7.75 s."""

TURN_CHALLENGES: Final = 3
"""How often one request is begun anew because the server wants (other) credentials or another nonce."""

TURN_PEERS: Final = 64
"""Peer addresses of one allocation: four peers with all their candidates."""

TURN_RETRY: Final = 5.0
TURN_RETRY_MAX: Final = 320.0
TURN_RETRIES_COUNTED: Final = 6
"""Seconds until a TURN server that refused an allocation, or lost one at once, is asked again; doubled each time, up to
six times, plus chance up to as much again. One that is down gets three requests in a quarter of an hour."""

TURN_LINGER: Final = 60.0
"""Seconds an allocation is kept that no connection needs: a direct path that just came may go again."""

TURN_HELD: Final = 32
"""Datagrams to one peer kept until its channel is there, which takes a round trip: a first flight."""

# --- Crossing NATs ---------------------------------------------------------------------------------------------

CHALLENGE_BYTES: Final = 16
"""Random bytes that the attestation of a peer's address is to cover: nobody guesses them."""

# --- NAT64: IPv4 for a machine that has IPv6 only ------------------------------------------------------------------------

NAT64_ANSWERS: Final = 16
"""Addresses of ipv4only.arpa that are looked at: it has two, and a network one NAT64 or a few (RFC 7050 §3)."""

# --- Port mappings ---------------------------------------------------------------------------------------------

PORTMAP_LIFETIME: Final = 7200
"""Seconds that a router is asked to keep a mapping (RFC 6886 §3.3 recommends it): if we vanish, it is soon gone."""

PORTMAP_SENDS: Final = 5
PORTMAP_RESEND: Final = 0.25
"""Requests until a router counts as silent, and seconds until the second one, doubled each time (RFC 6886 §3.1): 7.75 s
in all. RFC 6887 waits for 3 s at first, which is for servers far away."""

PORTMAP_NEXT: Final = 0.25
"""Seconds after which the next protocol is tried: a router answers within a few milliseconds."""

UPNP_AFTER: Final = 0.75
"""Seconds after which UPnP is tried: it costs a multicast and several HTTP requests."""

UPNP_WAIT: Final = 20.0
"""Seconds that finding the router by UPnP and mapping a port there may take in all."""

UPNP_ABSENT: Final = "not tried: its library is not installed (pip install 'overlay-gateway[upnp]')"

PORTMAP_RETRY: Final = 600.0
PORTMAP_RETRY_MOST: Final = 3600.0
"""Seconds after which a router that refused, or was silent, is asked again: somebody may have changed its settings.
It may ask for more, up to an hour."""

PORTMAP_LEAST_WAIT: Final = 30.0
"""Seconds between renewals at least, whatever lifetimes a router gives (RFC 6887 §11.2.1 has 4 s)."""

PORTMAP_CHECK: Final = 30.0
"""Seconds between questions to the router because a path broke."""

PORTMAP_LEAST_PORT: Final = 1024
"""Ports below are services': nobody runs a gateway there, and a wildcard is 0."""

PORTMAP_FIRST_RANDOM: Final = 20_000
PORTMAP_RANDOM: Final = 20_000
"""The ports that are asked for where the first mapping led nowhere: below those that systems give out by themselves."""

DIAL_BACK_TRIES: Final = 3
DIAL_BACK_WAIT: Final = 1.0
"""Datagrams that a beacon is asked to send before a mapping counts as dead, and seconds that each is waited for."""

DIAL_BACK_AGAIN: Final = 600.0
"""Seconds after which a mapping is tried again: routers list and renew dead ones."""

DIAL_BACK_REPLACE: Final = 2
"""How often a mapping that lets nothing in is given back and asked for anew before it is left alone."""

# --- Without any server ------------------------------------------------------------------------------------------

PWNAT_CLOCK_SKEW: Final = 90.0
"""Seconds by which the clocks of two ends may differ; as long is each summons remembered, so that it counts once."""

PWNAT_ANSWERED_PER_MINUTE: Final = 20
"""Summonses that are answered, whoever sends them: a home's contacts are few, and whoever knows our id can name an address."""

PWNAT_OPEN_FOR: Final = 3.0
"""Seconds in which another summons for the same place is not answered: openers are under way."""
