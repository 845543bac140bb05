"""What is said when a limit is reached: who, which one, until when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.config.quantities import octets_text
from gateway.traffic.terms import STRANGERS

if TYPE_CHECKING:
    from gateway.traffic.account import Account
    from gateway.traffic.ledger import Side


def told(key: object, name: str, side: Side) -> str:
    """Whoever a limit is for, as the one who asked is told: petnames are nobody else's business."""
    if side == "used":
        return f"{name} (by a limit of your own gateway)"
    return name if isinstance(key, str) else "you"


def used_up(who: str, account: Account, now: float) -> str:
    """The month's quota is used up; `now` is the time of day."""
    verb = "have" if who in ("you", STRANGERS) else "has"
    quota = octets_text(account.terms.quota or 0)
    return f"{who} {verb} used the {quota} of this month; on {next_month(now)} it goes on"


def too_many(who: str, account: Account) -> str:
    """As many connections are open as there may be."""
    verb = "have" if who in ("you", STRANGERS) else "has"
    most = account.terms.connections
    some = "1 connection" if most == 1 else f"{most} connections"
    return f"{who} {verb} {some} open, which is the limit; close some and try again"


def next_month(now: float) -> str:
    """The day on which the next month begins, in UTC."""
    day = datetime.fromtimestamp(now, UTC)
    year, month = (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)
    return f"{year}-{month:02}-01 (UTC)"
