"""Every bound of `gateway.usage`, with its reason; those that other rooms keep to as well stand in `gateway.limits`."""

from typing import Final

USAGE_LOOK_SECONDS: Final = 1.0
"""How often the ledger is looked at: what moved in between is put down to one kind of path."""

USAGE_SAVE_SECONDS: Final = 2.0
"""From an octet that was seen to its being on disk: with the look above, a crash loses three seconds."""

USAGE_ROWS: Final = 32_768
"""Rows of accounts in one month, each a contact's service by one kind of path; 100 B each on disk. Beyond it all are one row."""

USAGE_STRANGERS: Final = 1024
"""Endpoints in one month that are no contacts and have rows of their own: ids cost nothing, so all further ones are one."""

USAGE_MONTHS: Final = 25
"""Months that are kept: this one, and two years to compare it with."""

LIMITS_BY_COMMAND: Final = 4096
"""Contacts, groups and services that have limits by command: beyond that a group of contacts is what is meant."""
