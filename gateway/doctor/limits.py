"""Every bound of `gateway.doctor`, with its reason; those that other rooms keep to as well stand in `gateway.limits`."""

from typing import Final

DOCTOR_FREE_BYTES: Final = 64 * 1024 * 1024
"""Less room on the disk is told: the log, the state and a copy of it while it is written are about half of that at most."""

DOCTOR_FREE_FILES: Final = 100
"""The same in files: each save makes one."""

DOCTOR_SKEW_SECONDS: Final = 60.0
"""A clock that is further off is told: invites bear 300 s (INVITE_SKEW_SECONDS), and who notices at 60 can still set it in time."""

DOCTOR_FILES_SHARE: Final = 0.8
"""The share of its descriptors that a gateway may have in use before that is told."""

DOCTOR_PROBE_SECONDS: Final = 2.0
"""For one channel to prove itself: all are on this machine and answer in milliseconds; a busy one gets time."""

DOCTOR_CONTROL_SECONDS: Final = 5.0
"""For the gateway to say how it is: one with ten thousand contacts takes a fraction of one, one that hangs is told of."""

DOCTOR_BEACON_SECONDS: Final = 5.0
"""For a beacon to answer over the Internet, TLS included."""

DOCTOR_REPLY_BYTES: Final = 64 * 1024
"""As much is read of any answer: a DNS message or a PAC file is no larger, and who answers might be anybody."""

DOCTOR_LOG_LINES: Final = 1000
"""The last ones, in a bundle."""

DOCTOR_BUNDLE_BYTES: Final = 16 * 1024 * 1024
"""The largest bundle: status with all contacts is the largest part of it."""
