"""Certificates for single names, made when a browser asks for one in its TLS hello, kept for a while, few at a time. ⚡"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.limits import LEAF_BURST, LEAF_DAYS, LEAF_RATE, LEAVES
from gateway.secure.hosts import is_ours
from tunnels.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.secure.authority import Authority

_RENEW_SECONDS: Final = LEAF_DAYS * 86400 / 2
"""How old a certificate may be that is given to a browser, which may then use it for as long again."""

_Hello = ssl.SSLObject | ssl.SSLSocket


class Leaves:
    """Makes a TLS context for each name under `.overlay` and `.localhost`. All have one key, which is never on disk."""

    def __init__(self, authority: Authority, clock: Callable[[], float], *, most: int = LEAVES) -> None:
        """`clock` gives unix seconds."""
        self._authority = authority
        self._clock = clock
        self._most = most
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._bucket = Bucket(LEAF_RATE, LEAF_BURST)
        self._kept: OrderedDict[str, tuple[float, ssl.SSLContext]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

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
        kept = self._kept.get(host)
        if kept is not None and 0 <= now - kept[0] < _RENEW_SECONDS:
            self._kept.move_to_end(host)
            return kept[1]
        if not is_ours(host) or not self._bucket.take(now):
            return None
        context = _server_context()
        key = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        _load(context, key + self._authority.issue(host, now, self._key.public_key()))
        self._kept[host] = now, context
        self._kept.move_to_end(host)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return context


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
