"""What both ends of one TLS connection share and nobody else knows, for proofs that are good there only."""

from __future__ import annotations

from hashlib import sha256
from typing import Any


def channel_binding(tls: Any, is_client: bool) -> bytes:  # noqa: ANN401 - either engine's TLS context
    """Hash both application traffic secrets, client's first; the engines have no exporter (RFC 8446 §7.5)."""
    ours, theirs = tls._enc_key, tls._dec_key  # noqa: SLF001 - no public way
    client, server = (ours, theirs) if is_client else (theirs, ours)
    return sha256(b"overlay channel binding v1" + client + server).digest()
