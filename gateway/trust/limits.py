"""Every bound of `gateway.trust`, with its reason; those that other rooms keep to as well stand in `gateway.limits`."""

from typing import Final

CA_FILE_BYTES: Final = 16 * 1024
"""Largest file of the authority that is read: both have less than 1 KB."""

TRUST_COMMAND_SECONDS: Final = 60.0
"""How long `certutil` or `update-ca-certificates` may take: the latter reads every certificate of the system, on slow disks too."""

NSS_DATABASES: Final = 32
"""Browser profiles that the authority is put into: each takes a program a tenth of a second."""
