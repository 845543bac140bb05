"""Asking names as programs do, and asking our server directly: whether the one leads to the other.

The name asked for is new each time, so that no cache on the way holds it, and only a gateway knows it; its TXT says which gateway.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from dnslib import QTYPE, TXT, DNSError, DNSRecord
from dnslib.buffer import BufferError as DnsBufferError
from dnslib.label import DNSLabelError

from gateway.system_dns.limits import SYSTEM_LOOKUP_SECONDS, SYSTEM_VERIFY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tunnels.addresses import Address

_OURS: Final = "127.0.0.1"
_OUTSIDE: Final = "ipv4only.arpa."
"""Exists everywhere (RFC 7050), so that it tells whether names outside are found; and asking for it tells nobody anything."""
_DIRECT_SECONDS: Final = 1.0


def new_name() -> str:
    """A name that nobody has asked for yet."""
    return f"check-{secrets.token_hex(6)}.gateway.overlay."


def look_up(name: str, seconds: float = SYSTEM_LOOKUP_SECONDS) -> tuple[str, ...] | None:
    """The IPv4 addresses that programs find; None when the system took too long to say."""
    answers: list[tuple[str, ...]] = []

    def ask() -> None:
        try:
            found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
        except OSError:
            answers.append(())
        else:
            answers.append(tuple(str(entry[4][0]) for entry in found))

    thread = threading.Thread(target=ask, daemon=True)  # nothing ends getaddrinfo before its time
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else None


def outside_is_found() -> bool:
    """Whether names outside of `.overlay` are found."""
    return bool(look_up(_OUTSIDE))


def gateway_at(server: Address) -> str | None:
    """The endpoint id of the gateway whose DNS server this is; None when none answers there."""
    for text in _texts(str(server.ip), server.port, "gateway.overlay."):
        if text.startswith("id="):
            return text.removeprefix("id=")
    return None


def check(server: Address, nameservers: Iterable[str]) -> str:
    """Whether programs on this machine find what our server at that address knows: empty, or why not."""
    found = look_up(new_name())
    if found is not None and _OURS in found:
        asked = {text for ip in nameservers for text in _texts(ip, 53, new_name()) if text.startswith("id=")}
        ours = gateway_at(server)
        if ours is not None and asked and f"id={ours}" not in asked:
            return f"another gateway answers, {', '.join(sorted(asked)).removeprefix('id=')}"
        return ""
    if gateway_at(server) is None:
        return f"our own DNS server does not answer at {server}; is the gateway running?"
    return "the system's resolver does not answer" if found is None else "it finds no names under .overlay"


def verify(
    server: Address,
    nameservers: Iterable[str],
    *,
    found_outside: bool,
    seconds: float = SYSTEM_VERIFY_SECONDS,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """As `check`, with time for a resolver that is starting; and names outside must be found as they were before."""
    places, end = tuple(nameservers), now() + seconds
    while True:
        problem = check(server, places)
        if not problem and found_outside and not outside_is_found():
            problem = "names outside of .overlay are not found any more"
        if not problem or now() >= end:
            return problem
        sleep(0.2)


def _texts(ip: str, port: int, name: str) -> tuple[str, ...]:
    """The TXT records that a server has of a name; none when it says nothing."""
    question = DNSRecord.question(name, "TXT")
    try:
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(_DIRECT_SECONDS)
            sock.connect((ip, port))
            sock.send(question.pack())
            reply = sock.recv(4096)
    except OSError:
        return ()
    return texts_in(reply, question.header.id)


def texts_in(reply: bytes, message_id: int) -> tuple[str, ...]:
    """The TXT records in an answer to that message; none in what is no such answer."""
    try:
        read = DNSRecord.parse(reply)
    except (DNSError, DnsBufferError, DNSLabelError, ValueError, IndexError):
        return ()
    if read.header.id != message_id or not read.header.qr:
        return ()
    return tuple(
        b"".join(answer.rdata.data).decode(errors="replace")
        for answer in read.rr
        if answer.rtype == QTYPE.TXT and isinstance(answer.rdata, TXT)
    )
