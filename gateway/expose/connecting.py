"""Connects to the target of a service, and says in the words of the stream header why that fails.

Callers learn whether the target is down, refuses or is overloaded, and nothing of where it is; that is for our log.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError
from gateway.expose.targets import ProgramTarget, UnixTarget
from gateway.limits import TARGET_CONNECT_SECONDS
from gateway.splice import Held
from gateway.stream_header import Answer, Status

if TYPE_CHECKING:
    from gateway.expose.services import Service
    from tunnels.identity import EndpointId

_REFUSED: Final = frozenset(
    {errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOENT}
)  # ENOENT: no such Unix socket
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN})


class TargetError(GatewayError):
    """A target cannot be reached: `answer` for the caller, str() for our log."""

    def __init__(self, answer: Answer, message: str) -> None:
        super().__init__(message)
        self.answer = answer


async def connect_target(
    service: Service, port: int, caller: EndpointId, *, timeout: float = TARGET_CONNECT_SECONDS
) -> Held:
    """A connection for `caller` to the target of the service's `port`, held still; raises TargetError."""
    try:
        async with asyncio.timeout(timeout):
            if isinstance(service.target, ProgramTarget):
                return await service.target.program.open(caller)
            if isinstance(service.target, UnixTarget):
                return await _connect_unix(service.target.path)
            return await _connect_tcp(service.target.host, service.target_port(port))
    except TimeoutError:
        raise TargetError(
            Answer(Status.TARGET_UNREACHABLE, f"the server behind {service.name} does not answer"),
            f"{service.name}: {service.target} did not answer within {timeout:.0f} s; is its host right?",
        ) from None
    except (OSError, UnicodeError) as error:  # UnicodeError: a label of the host is too long for DNS
        raise target_error(service, error) from None


def target_error(service: Service, error: OSError | UnicodeError) -> TargetError:
    """What an error of the system means for the caller and for us."""
    what = f"{service.name}: {service.target} cannot be reached: {error}"
    code = error.errno if isinstance(error, OSError) else None
    if code in _REFUSED:
        answer = Answer(Status.TARGET_REFUSED, f"the server behind {service.name} is not running")
        return TargetError(answer, f"{what}; start the server, or: overlay unexpose {service.name}")
    if code in _EXHAUSTED:
        return TargetError(
            Answer(Status.OVERLOADED, "too many connections are open; try again later"),
            f"{what}; allow more open files (ulimit -n)",
        )
    return TargetError(
        Answer(Status.TARGET_UNREACHABLE, f"the server behind {service.name} cannot be reached"), what
    )


async def _connect_unix(path: str) -> Held:
    _, held = await asyncio.get_running_loop().create_unix_connection(Held, path)
    return held


async def _connect_tcp(host: str, port: int) -> Held:
    """To the first of the host's addresses that accepts; of several errors a refusal says the most."""
    loop = asyncio.get_running_loop()
    if _is_literal(host):  # nothing to look up, which would take a thread
        _, held = await loop.create_connection(Held, host, port)
        return held
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    worst: OSError | None = None
    for family, _, _, _, address in infos:
        try:
            _, held = await loop.create_connection(Held, str(address[0]), port, family=family)
        except OSError as error:
            if worst is None or worst.errno not in _REFUSED:
                worst = error
        else:
            return held
    raise worst or socket.gaierror(socket.EAI_NONAME, "no such host")


@lru_cache(maxsize=256)
def _is_literal(host: str) -> bool:
    """Whether a host is written as an address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
