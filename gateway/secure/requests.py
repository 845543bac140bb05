"""What the front doors do with a request: where it goes, and which are refused. Without I/O.

On `.localhost` every page of the web could try the names of our contacts in any browser of this machine, which needs no
setting for it. So requests that another site makes are refused, but for following a link here: RFC 6454 and Fetch
Metadata tell who asks. Over HTTPS for a name under `.overlay` the rules are those of plain HTTP through the proxy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn

from gateway.http.authority import split_absolute
from gateway.http.plans import Forward, Place
from gateway.http.problems import HttpError, Problem, bad_request
from gateway.http.rewriting import KEEP, HeaderRewrite
from gateway.secure.hosts import DOH_HOST, HostError, host_of, name_of, owner_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.http.heads import RequestHead
    from gateway.http.plans import Plan

DOH_PLACE: Final = Place(DOH_HOST, 0)
HTTP_PORT: Final = 80
_FORWARDED: Final = b"X-Forwarded-Proto"
OVER_TLS: Final = HeaderRewrite(drop=frozenset({_FORWARDED.lower()}), add=((_FORWARDED, b"https"),))
"""Tells the service that the browser came by https, so that it makes links and cookies for it."""

_ORIGIN: Final = re.compile(rb"https?://([^/]+)")

_FOREIGN_SITE: Final = Problem(
    403,
    "Another site may not do this",
    "A page from elsewhere asked for something of this service. Over a `.localhost` name only links to it are followed.",
    "Type the address, or open it from a page of the same endpoint.",
)
_HOW: Final = "Open `http://SERVICE.NAME.localhost` and this port: `web.alice.localhost` is what `web.alice.overlay` is elsewhere."


def plan_visit(head: RequestHead, *, over_tls: bool) -> Forward:
    """Where a request to a `.localhost` door goes; HttpError with the answer for one that is refused.

    The service sees the Host that the browser sent: Origin, Referer, redirects and cookies fit it, and nothing has to
    be rewritten.
    """
    authority, target = _where(head)
    try:
        host = host_of(authority)
        place = DOH_PLACE if host == DOH_HOST else Place(str(name_of(host)), HTTP_PORT)
    except HostError as error:
        if error.is_foreign:
            raise HttpError(Problem(421, "This is not the site you asked for", f"{error}.", _HOW)) from None
        raise HttpError(Problem(404, "There is no such name", f"{error}.", _HOW)) from None
    if is_foreign(head, host):
        raise HttpError(_FOREIGN_SITE)
    return Forward(place, target, OVER_TLS if over_tls else KEEP, host=authority)


def plan_terminated(head: RequestHead, place: Place, serves: Callable[[str], bool]) -> Forward:
    """The request came over TLS on a connection for `place`; HttpError unless `serves` says that its host is meant there."""
    authority, target = _where(head)
    try:
        is_meant = serves(host_of(authority))
    except HostError:
        is_meant = False
    if not is_meant:
        why = f"The connection was opened for {place.host}."
        raise HttpError(Problem(421, "This is not the site you asked for", why))
    return Forward(place, target, OVER_TLS, host=authority)


def no_room(why: str) -> Plan:
    """What to do with every request while the process has no room for a connection: tell why, and end it."""

    def plan(head: RequestHead) -> NoReturn:
        del head
        raise HttpError(Problem(503, "There is no room", f"{why[:1].upper()}{why[1:]}."))

    return plan


def is_foreign(head: RequestHead, host: str) -> bool:
    """Whether a page of another site makes this request, and not by a link that a person follows."""
    if head.values(b"sec-fetch-site") == [b"cross-site"]:
        return not (
            head.method in (b"GET", b"HEAD")
            and head.values(b"sec-fetch-mode") == [b"navigate"]
            and head.values(b"sec-fetch-dest") == [b"document"]
            and not head.values(b"origin")
        )
    return any(not _is_of_site(origin, host) for origin in head.values(b"origin"))


def _is_of_site(origin: bytes, host: str) -> bool:
    match = _ORIGIN.fullmatch(origin)
    if match is None:  # `null`, of a frame that may be anybody's, and browser extensions
        return False
    try:
        return owner_of(host_of(match[1])) == owner_of(host)
    except HostError:
        return False


def _where(head: RequestHead) -> tuple[bytes, bytes]:
    """The authority and the origin-form target of a request."""
    if head.method == b"CONNECT":
        raise bad_request("This is a web server, not a proxy.", status=501)
    absolute = split_absolute(head.target)
    if absolute is not None:  # RFC 9112 §3.2.2: its authority counts, and it must be ours like any other
        return absolute[1], absolute[2]
    if not head.target.startswith(b"/") and (head.target, head.method) != (b"*", b"OPTIONS"):
        raise bad_request("The target of the request is not a path.")
    (host, *others) = head.values(b"host") or [b""]
    if others:
        raise bad_request("A request has exactly one Host field.")
    return host, head.target
