"""Certificates for single names, made when a browser asks for one in its TLS hello, kept for a while, few at a time. ⚡"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.secure.hosts import is_ours
from gateway.secure.limits import LEAF_BURST, LEAF_DAYS, LEAF_RATE, LEAVES
from tunnels.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.secure.authority import Authority

_RENEW_SECONDS: Final = LEAF_DAYS * 86400 / 2
"""How old a certificate may be that is given to a browser, which may then use it for as long again."""

_Hello = ssl.SSLObject | ssl.SSLSocket


class Leaves:
    """Makes a TLS context for each name under `.overlay` and `.localhost`. All have one key, which is never on disk."""

    def __init__(
        self,
        authority: Authority,
        clock: Callable[[], float],
        is_known: Callable[[str], bool] = lambda host: False,
        *,
        most: int = LEAVES,
    ) -> None:
        """`clock` gives unix seconds; `is_known` says whether a host is somebody's of the address book. Pages can have a browser
        ask for any name, so names of nobody get a budget of their own: they keep nobody waiting, and push nobody out.
        """
        self._authority = authority
        self._clock = clock
        self._most = most
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._is_known = is_known
        self._shelves = {known: _Shelf() for known in (True, False)}

    def __len__(self) -> int:
        return sum(len(shelf.kept) for shelf in self._shelves.values())

    def __repr__(self) -> str:
        return f"<Leaves of {self._authority!r}: {len(self)}>"

    def chooser(self, serves: Callable[[str], bool]) -> ssl.SSLContext:
        """A server's context that takes the certificate by the name in the hello, in lower case, if `serves` says so."""
        context = _server_context()

        def choose(hello: _Hello, name: str | None, _: ssl.SSLContext) -> int | None:
            host = (name or "").lower()
            chosen = self.context_for(host) if serves(host) else None
            if chosen is None:
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            hello.context = chosen
            return None

        context.sni_callback = choose
        return context

    def context_for(self, host: str) -> ssl.SSLContext | None:
        """With a certificate for `host`, in lower case; None for a name that is not ours, or when too many are asked for."""
        now = self._clock()
        if not is_ours(host):
            return None
        shelf = self._shelves[self._is_known(host)]
        kept = shelf.kept.get(host)
        if kept is not None and 0 <= now - kept[0] < _RENEW_SECONDS:
            shelf.kept.move_to_end(host)
            return kept[1]
        if not shelf.may_make(now):
            return None
        context = _server_context()
        key = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        _load(context, key + self._authority.issue(host, now, self._key.public_key()))
        shelf.kept[host] = now, context
        shelf.kept.move_to_end(host)
        if len(shelf.kept) > self._most:
            shelf.kept.popitem(last=False)
        return context


class _Shelf:
    """Certificates that are kept, and how many more may be made."""

    def __init__(self) -> None:
        self._bucket = Bucket(LEAF_RATE, LEAF_BURST)
        self._asked_at = -inf
        self.kept: OrderedDict[str, tuple[float, ssl.SSLContext]] = OrderedDict()

    def may_make(self, now: float) -> bool:
        """Whether one more may be made; a clock that was set back would let none be made until it is where it was."""
        if now < self._asked_at:
            self._bucket = Bucket(LEAF_RATE, LEAF_BURST)
        self._asked_at = now
        return self._bucket.take(now)


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """The ssl module reads files only: one in memory where the system has such, else one that is gone at once."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("leaf", os.MFD_CLOEXEC)
        with open(descriptor, "wb", buffering=0) as file:
            file.write(pem)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
