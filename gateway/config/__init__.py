"""The settings of a gateway: the only place that parses them.

`settings` says what there is, `loading` reads it, `changes` compares two, `showing` writes it for people.
"""

from gateway.config.changes import changes, needs_restart
from gateway.config.loading import InvalidConfiguration, load, parse
from gateway.config.settings import Config, ContactSettings, ServiceSettings

__all__ = [
    "Config",
    "ContactSettings",
    "InvalidConfiguration",
    "ServiceSettings",
    "changes",
    "load",
    "needs_restart",
    "parse",
]
