"""Why a service could not be opened, in the words of each protocol: SOCKS4 and SOCKS5 codes, HTTP status and text.

The choices, and why:

* unknown name: SOCKS5 has no code of its own for it, "host unreachable" (4) is what Tor and OpenSSH answer; 404.
* no service: nothing listens at this port of the endpoint, which is what "refused" (5) means to a client; 404.
* forbidden, policy, profile: "not allowed by ruleset" (2); 403.
* limited: "not allowed by ruleset" (2), for trying again at once is of no use; 429.
* offline: "host unreachable" (4); 502, the gateway of the other side did not answer.
* target refused: "refused" (5); 502, the same as any reverse proxy says of a stopped backend.
* target unreachable: "network unreachable" (3), so that it can be told from an offline endpoint; 504.
* overloaded: "general failure" (1), the only code that invites another try; 503 with Retry-After.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.dialing import DialError, Failure
from gateway.http.problems import Problem
from gateway.proxy import socks4, socks5

_SUFFIX: Final = ".overlay"


@dataclass(frozen=True, slots=True)
class Answer:
    """What each protocol says about one failure."""

    socks5: socks5.Reply
    http: int
    what: str
    """The headline of the page."""
    remedy: str
    """What the person can do; `{name}` is the endpoint's name and `{service}` the service's."""
    socks4: socks4.Reply = socks4.Reply.FAILED


ANSWERS: Final[dict[Failure, Answer]] = {
    Failure.UNKNOWN_NAME: Answer(
        socks5.Reply.HOST_UNREACHABLE,
        404,
        "Nobody is known by this name",
        "Check the spelling with `overlay contacts ls`, or add the contact with the ticket you were given: "
        "`overlay join …`.",
    ),
    Failure.NO_SERVICE: Answer(
        socks5.Reply.CONNECTION_REFUSED,
        404,
        "There is no such service",
        "Ask {name} what is offered, or to run `overlay expose {service} …`.",
    ),
    Failure.FORBIDDEN: Answer(
        socks5.Reply.NOT_ALLOWED,
        403,
        "You are not allowed to use this service",
        "Send {name} your id, which `overlay id` prints, and ask to run `overlay expose {service} … --allow YOUR-ID`.",
    ),
    Failure.OFFLINE: Answer(
        socks5.Reply.HOST_UNREACHABLE,
        502,
        "This endpoint does not answer",
        "It may be switched off or offline. `overlay ping {name}` tells more.",
    ),
    Failure.TARGET_REFUSED: Answer(
        socks5.Reply.CONNECTION_REFUSED,
        502,
        "The service is not running",
        "The endpoint is there: its owner has to start the program behind the service.",
    ),
    Failure.TARGET_UNREACHABLE: Answer(
        socks5.Reply.NETWORK_UNREACHABLE,
        504,
        "The service does not answer",
        "The endpoint is there: check the program behind the service, and that its address is right.",
    ),
    Failure.POLICY: Answer(
        socks5.Reply.NOT_ALLOWED,
        403,
        "This proxy does not go there",
        'Set `other_hosts = "direct"` under `[proxy]` in gateway.toml, or use the PAC file, which sends only '
        ".overlay here.",
    ),
    Failure.PROFILE: Answer(
        socks5.Reply.NOT_ALLOWED,
        403,
        "Your profile does not go there",
        "The user name that your program gives this proxy chooses a section `[profiles.…]` of gateway.toml: change that, or "
        "use another user name.",
    ),
    Failure.LIMITED: Answer(
        socks5.Reply.NOT_ALLOWED,
        429,
        "A limit is reached",
        "If it is not your own limit, which `overlay limits` shows, ask {name} for more.",
    ),
    Failure.OVERLOADED: Answer(
        socks5.Reply.GENERAL_FAILURE,
        503,
        "Too busy",
        "Try again in a moment; `overlay status` tells what is in use.",
    ),
}


def socks4_reply(error: DialError) -> bytes:
    """The SOCKS4 reply to a request that failed."""
    return socks4.reply(ANSWERS[error.failure].socks4)


def socks5_reply(error: DialError) -> bytes:
    """The SOCKS5 reply to a request that failed."""
    return socks5.reply(ANSWERS[error.failure].socks5)


def http_problem(error: DialError, host: str) -> Problem:
    """The HTTP answer to a request for `host` that failed."""
    answer = ANSWERS[error.failure]
    service, name = _service_and_name(host)
    remedy = answer.remedy.format(name=name, service=service)
    fields = (("Retry-After", "5"),) if answer.http == 503 else ()
    return Problem(answer.http, answer.what, str(error), remedy, fields)


def _is_overlay(host: str) -> bool:
    return host.lower().rstrip(".").endswith(_SUFFIX)


def _service_and_name(host: str) -> tuple[str, str]:
    """("web", "alice") of web.alice.overlay; a service that is not named is called NAME, as in the manual."""
    if not _is_overlay(host):
        return "NAME", host
    labels = host.lower().rstrip(".").removesuffix(_SUFFIX).split(".")
    return (labels[0] if len(labels) > 1 else "NAME"), labels[-1]
