"""What differs between two configurations, and what of it a running gateway can take up.

A key that needs a restart is marked `(restart)` in `configs/gateway.toml`; a test keeps the two in step.
"""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.config.settings import Config

APPLIED_LIVE: Final = frozenset(
    {
        "gateway.nickname",
        "gateway.log_level",
        "tunnels.addresses",
        "tunnels.path_policy",
        "beacons.urls",
        "beacons.publish",
        "beacons.records",
        "dht.publish",
        "publish.public",
        "publish.lan",
        "social.introduce",
        "social.introducible",
        "topics.find_relays",
        "proxy.username",
        "proxy.password",
        "proxy.other_hosts",
        "proxy.upstream",
        "metrics.contacts",
        "sharing.up",
        "sharing.down",
        "sharing.local",
    }
)
"""Keys that `overlay reload` applies, besides every [services.NAME], [contacts.PETNAME], [profiles.NAME] and [limits.WHOM]; all others need a restart."""


def changes(old: Config, new: Config) -> frozenset[str]:
    """The dotted keys whose values differ: `proxy.port`, and `services.web`, `contacts.alice` as a whole."""
    changed: set[str] = set()
    for section in Config.__struct_fields__:
        before, after = _items(getattr(old, section)), _items(getattr(new, section))
        changed |= {
            f"{section}.{key}" for key in before.keys() | after.keys() if before.get(key) != after.get(key)
        }
    return frozenset(changed)


def needs_restart(dotted: str) -> bool:
    """Whether a change of this key waits for the next start."""
    return dotted not in APPLIED_LIVE and not dotted.startswith(
        ("services.", "contacts.", "profiles.", "limits.")
    )


def _items(section: object) -> dict[str, object]:
    if isinstance(section, dict):
        return section
    assert isinstance(section, msgspec.Struct)  # noqa: S101 - tells mypy
    return msgspec.structs.asdict(section)
