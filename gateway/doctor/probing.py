"""Trying each channel for real: a handshake, a question, a file. Plain blocking sockets, so that a command and a thread can do it.

Nothing leaves this machine: all of it goes to the gateway's own doors, and the name that is asked for is its own.
"""

from __future__ import annotations

import base64
import contextlib
import re
import secrets
import socket
import ssl
import struct
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from gateway.doctor.facts import Proof
from gateway.doctor.limits import DOCTOR_PROBE_SECONDS, DOCTOR_REPLY_BYTES
from tunnels.identity import ID_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Place = tuple[str, int]

_NO_LOGIN: Final = 0
_LOGIN: Final = 2
_NONE_FITS: Final = 0xFF
_KNOWS_THE_NAME: Final = (0, 2, 5)
"""SOCKS replies (RFC 1928 §6) that only who knows the name gives: opened, forbidden, no such service."""
_AT_DOOR: Final = "dns.localhost"
"""A name that every authority of ours signs for."""
_PORT: Final = 9
"""Discard (RFC 863): nobody offers a service there."""


def place_of(text: str) -> Place:
    """`127.0.0.1:1080` or `[::1]:1080` as what sockets take; where it listens everywhere, where we reach it."""
    host, _, port = text.rpartition(":")
    ip = ip_address(host.strip("[]"))
    if ip.is_unspecified:
        return ("127.0.0.1" if ip.version == 4 else "::1"), int(port)
    return str(ip), int(port)


def proven(probe: Callable[[], Proof]) -> Proof:
    """What a probe finds; that nobody answers, or that it makes no sense, is a finding, too."""
    try:
        return probe()
    except TimeoutError:
        return Proof(ok=False, detail=f"no answer within {DOCTOR_PROBE_SECONDS:g} s")
    except ConnectionRefusedError:
        return Proof(ok=False, detail="nobody listens there")
    except OSError as error:
        return Proof(ok=False, detail=(error.strerror or str(error)).lower())
    except (ValueError, IndexError, struct.error):
        return Proof(ok=False, detail="who answers there is no overlay gateway")


def socks(place: Place) -> Proof:
    """A SOCKS5 greeting (RFC 1928 §3), answered."""
    with _connected(place) as connection:
        connection.sendall(bytes([5, 2, _NO_LOGIN, _LOGIN]))
        version, method = _exactly(connection, 2)
        if version != 5 or method not in (_NO_LOGIN, _LOGIN):
            raise ValueError("no SOCKS5")
        return Proof(ok=True, detail="asks for a password" if method == _LOGIN else "")


def socks5h(place: Place, name: str, login: tuple[str, str] | None = None) -> Proof:
    """A SOCKS5 CONNECT by name: the proxy knows whose it is."""
    with _connected(place) as connection:
        connection.sendall(bytes([5, 1, _NO_LOGIN if login is None else _LOGIN]))
        version, method = _exactly(connection, 2)
        if version != 5:
            raise ValueError("no SOCKS5")
        if method == _NONE_FITS:
            return Proof(ok=False, detail="it asks for a password, and none is known here")
        if login is not None:
            user, password = (part.encode() for part in login)
            connection.sendall(bytes([1, len(user)]) + user + bytes([len(password)]) + password)  # RFC 1929
            if _exactly(connection, 2)[1]:
                return Proof(ok=False, detail="it does not take the password of gateway.toml")
        host = name.encode("ascii")
        connection.sendall(bytes([5, 1, 0, 3, len(host)]) + host + struct.pack("!H", _PORT))
        reply = _exactly(connection, 2)[1]
        if reply in _KNOWS_THE_NAME:
            return Proof(ok=True, detail=f"{brief(name)} is known")
        return Proof(ok=False, detail=f"{brief(name)}: reply {reply}")


def http_connect(place: Place, name: str, login: tuple[str, str] | None = None) -> Proof:
    """The same by HTTP CONNECT."""
    head = f"CONNECT {name}:{_PORT} HTTP/1.1\r\nHost: {name}:{_PORT}\r\n"
    if login is not None:
        head += f"Proxy-Authorization: Basic {base64.b64encode(':'.join(login).encode()).decode()}\r\n"
    with _connected(place) as connection:
        connection.sendall(f"{head}\r\n".encode())
        line = _until_end(connection, b"\r\n").split(b"\r\n")[0].decode("ascii")
    version, status, *_ = line.split(" ", 2)
    if not version.startswith("HTTP/1."):
        raise ValueError("no HTTP")
    if status == "407":
        return Proof(ok=False, detail="it asks for a password, and none is known here")
    # Nothing is offered at that port of our own endpoint: 404 with our page is the right answer.
    known = status in ("200", "403", "404")
    return Proof(ok=known, detail=f"{brief(name)} is known" if known else f"{brief(name)}: status {status}")


def dns(place: Place, name: str, expected: str, *, tcp: bool = False) -> Proof:
    """A question for an A record, answered with what the gateway says that it is; `expected` may be empty."""
    from dnslib import QTYPE, DNSRecord

    question = DNSRecord.question(name, "A")
    question.header.id = secrets.randbelow(1 << 16)
    packed = question.pack()
    if tcp:
        with _connected(place) as connection:
            connection.sendall(struct.pack("!H", len(packed)) + packed)
            (length,) = struct.unpack("!H", _exactly(connection, 2))
            data = _exactly(connection, length)
    else:
        with socket.socket(_family(place), socket.SOCK_DGRAM) as sock:
            sock.settimeout(DOCTOR_PROBE_SECONDS)
            sock.connect(place)
            sock.send(packed)
            data = sock.recv(DOCTOR_REPLY_BYTES)
    return read_answer(data, question.header.id, name, expected, QTYPE.A)


def doh(place: Place, name: str, expected: str) -> Proof:
    """The same over HTTPS' messages (RFC 8484 §4.1), by which browsers ask; here without TLS, which loopback does not need."""
    from dnslib import DNSRecord

    question = DNSRecord.question(name, "A")
    question.header.id = 0  # §4.1: so that caches know the same question again
    packed = question.pack()
    head = (
        f"POST /dns-query HTTP/1.0\r\nHost: {_authority(place)}\r\nContent-Type: application/dns-message\r\n"
        f"Accept: application/dns-message\r\nContent-Length: {len(packed)}\r\n\r\n"
    )
    with _connected(place) as connection:
        connection.sendall(head.encode() + packed)
        reply = _until_end(connection)
    answer, _, body = reply.partition(b"\r\n\r\n")
    status = answer.split(b"\r\n")[0].decode("ascii").split(" ")[1]
    if status != "200":
        return Proof(ok=False, detail=f"status {status}")
    return read_answer(body, 0, name, expected)


def _authority(place: Place) -> str:
    return f"[{place[0]}]:{place[1]}" if ":" in place[0] else f"{place[0]}:{place[1]}"


def read_answer(data: bytes, number: int, name: str, expected: str, kind: int = 1) -> Proof:
    """What a DNS answer says; ValueError if it is none to the question with this number."""
    from dnslib import RCODE, DNSError, DNSRecord

    try:
        answer = DNSRecord.parse(data)
    except (DNSError, ValueError, IndexError, struct.error) as error:
        raise ValueError("no DNS answer") from error
    if answer.header.id != number or not answer.header.qr:
        raise ValueError("no answer to this question")
    if answer.header.rcode:
        code = RCODE.get(answer.header.rcode)
        return Proof(ok=False, detail=f"{name}: {code}; who answers there does not know .overlay")
    found = [str(record.rdata) for record in answer.rr if record.rtype == kind]
    if found != [expected] * bool(expected):
        said = ", ".join(found) or "no address"
        return Proof(ok=False, detail=f"{name}: {said}, and not {expected or 'none'}: somebody else answers")
    return Proof(ok=True, detail=f"{brief(name)} is {', '.join(found) or 'known'}")


def pac(place: Place, proxy: str) -> Proof:
    """The PAC file, which has to name our proxy."""
    with _connected(place) as connection:
        connection.sendall(f"GET /proxy.pac HTTP/1.0\r\nHost: {_authority(place)}\r\n\r\n".encode())
        reply = _until_end(connection)
    head, _, body = reply.partition(b"\r\n\r\n")
    status = head.split(b"\r\n")[0].decode("ascii").split(" ")[1]
    if status != "200":
        return Proof(ok=False, detail=f"status {status}")
    if b"FindProxyForURL" not in body:
        raise ValueError("no PAC file")
    if proxy and f"SOCKS5 {proxy}".encode() not in body:
        return Proof(ok=False, detail=f"it does not name the proxy at {proxy}")
    return Proof(ok=True, detail="sends .overlay to the proxy, and nothing else")


def loopback(ip: str) -> Proof:
    """That a loopback address of ours can be bound and reached: something is said over it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.settimeout(DOCTOR_PROBE_SECONDS)
        server.bind((ip, 0))
        server.listen(1)
        with _connected(server.getsockname()) as client:
            accepted, _ = server.accept()
            with accepted:
                accepted.settimeout(DOCTOR_PROBE_SECONDS)
                client.sendall(b"?")
                if accepted.recv(1) != b"?":
                    raise ValueError("not what was said")
    return Proof(ok=True, detail=f"{ip} can be bound and reached")


def front_door(place: Place, authority: Path | None = None) -> Proof:
    """A front door, asked for a site that is not behind it, which it alone says (421, RFC 9110 §15.5.20).

    With the directory of an `authority` by TLS, whose certificate has to be of that authority.
    """
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(_connected(place))
        if authority is not None:
            from gateway.secure.authority import certificate_file

            context = ssl.create_default_context(cafile=certificate_file(authority))
            connection = stack.enter_context(context.wrap_socket(connection, server_hostname=_AT_DOOR))
        connection.sendall(b"HEAD / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n")
        line = _until_end(connection, b"\r\n").split(b"\r\n")[0].decode("ascii")
    version, status, *_ = line.split(" ", 2)
    if not version.startswith("HTTP/1."):
        raise ValueError("no HTTP")
    return Proof(
        ok=status == "421", detail="" if status == "421" else f"status {status}: somebody else answers"
    )


def brief(name: str) -> str:
    """A name of which an id is only begun."""
    return re.sub(rf"\b([a-z0-9]{{8}})[a-z0-9]{{{ID_CHARACTERS - 8}}}\b", r"\1…", name)


def _family(place: Place) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in place[0] else socket.AF_INET


def _connected(place: Place) -> contextlib.closing[socket.socket]:
    return contextlib.closing(socket.create_connection(place[:2], timeout=DOCTOR_PROBE_SECONDS))


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ValueError("it ended too early")
        data += more
    return data


def _until_end(connection: socket.socket, end: bytes | None = None) -> bytes:
    """Everything up to `end`, or until it is closed; no more than a bound, and no longer than one."""
    data, deadline = b"", time.monotonic() + DOCTOR_PROBE_SECONDS
    while len(data) < DOCTOR_REPLY_BYTES and time.monotonic() < deadline:
        more = connection.recv(4096)
        data += more
        if not more or (end is not None and end in data):
            break
    return data
