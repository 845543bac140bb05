"""Why the system's resolver could not be told, or not be left alone again."""

from __future__ import annotations

from typing import ClassVar

from gateway.errors import GatewayError


class SystemDnsError(GatewayError):
    """The line says what failed and what to do; nothing of ours is in force."""


class NeedsRoot(SystemDnsError):
    """Only root may do it; the line is the command that does."""

    exit_code: ClassVar[int] = 6
