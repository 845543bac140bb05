"""Every bound of `gateway.programs`, with its reason; those that other rooms keep to as well stand in `gateway.limits`."""

from typing import Final

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
