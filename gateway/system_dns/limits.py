"""Every bound of `gateway.system_dns`, with its reason; those that other rooms keep to as well stand in `gateway.limits`."""

from typing import Final

SYSTEM_COMMAND_SECONDS: Final = 60.0
"""How long `systemctl restart` or a check of a configuration may take; a resolver that waits for others starts within 30 s."""

SYSTEM_FILE_BYTES: Final = 1 << 20
"""The largest file of the system that is read here: resolver configurations have a few KB, blocklists are not among what we read."""

SYSTEM_SOCKETS: Final = 65_536
"""Sockets of the system that are read of one list, to find out who listens; those that listen come first there."""
SYSTEM_PROCESSES: Final = 32_768
"""Processes that are looked at to find out who listens: the default of Linux's pid_max."""

SYSTEM_VERIFY_SECONDS: Final = 6.0
"""How long the system's resolver may take, after it was told, until it finds a name of ours: it may be starting still."""

SYSTEM_LOOKUP_SECONDS: Final = 6.0
"""One question to the system's resolver: glibc asks again after 5 s."""
