"""Every bound of the gateway, with its reason. Bounds of tunnels and the resolver stand in their own `limits`."""

from typing import Final

SPLICE_WRITE_BUFFER: Final = 64 * 1024
"""Bytes waiting for a slow local socket before reading from the tunnel pauses: one read of the kernel's size."""

SOCKET_PATH_BYTES: Final = 100
"""Longest path of the control socket: sun_path holds 104 bytes on macOS and 108 on Linux, with a zero at the end."""

STATE_FILE_BYTES: Final = 16 * 1024 * 1024
"""Largest state file that is read: 100 000 contacts fit; anything larger was not written by us."""

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

PROXY_BACKLOG: Final = 1024
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

CONTROL_BODY_BYTES: Final = 64 * 1024
"""Largest request: a service with a thousand allowed ids."""

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
