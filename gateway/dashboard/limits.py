"""Every bound of `gateway.dashboard`, with its reason; those that other rooms keep to as well stand in `gateway.limits`."""

from typing import Final

DASHBOARD_CONNECTIONS: Final = 64
"""Connections to the dashboard: a browser opens six at most."""

DASHBOARD_KEEPALIVE_SECONDS: Final = 30.0
"""How long an idle connection of a browser stays."""

DASHBOARD_TOKENS: Final = 8
"""Logins that were asked for and not used yet; a person opens one page at a time."""

DASHBOARD_TOKEN_SECONDS: Final = 60.0
"""How long one may be used: a browser starts in this time, and whoever reads the line later gets nothing."""

DASHBOARD_SESSIONS: Final = 16
"""Browsers that are let in at once; the one that asked for nothing for the longest time gives way."""

DASHBOARD_SESSION_SECONDS: Final = 12 * 3600.0
"""How long a browser is let in: a day at work."""

DASHBOARD_VIEWERS: Final = 16
"""Pages that are told news at once: only those that are looked at ask for it."""

DASHBOARD_HISTORY: Final = 180
"""Moments of what moves that a page is told of when it opens: three minutes, which is what it draws."""

DASHBOARD_HISTORY_BYTES: Final = 1024 * 1024
"""All of these together: with hundreds of peers there are fewer moments."""

DASHBOARD_HEARTBEAT_SECONDS: Final = 15.0
"""Silence after which a page is told that we are still there; less than proxies and browsers wait."""

DASHBOARD_WRITE_SECONDS: Final = 10.0
"""How long a page may take nothing before its stream is ended; it asks again when it comes round."""

DASHBOARD_REPORT_SHARE: Final = 0.05
"""Share of our time that looking for changed reports may take: with ten thousand contacts they are looked at more rarely."""

DASHBOARD_QR_CHARACTERS: Final = 4296
"""Text of a QR code: what fits into the largest, in alphanumeric mode (ISO/IEC 18004 table 7)."""

DASHBOARD_HEAD_SECONDS: Final = 30.0
"""How long a new connection may take to its first request: browsers open some before they have something to ask."""
