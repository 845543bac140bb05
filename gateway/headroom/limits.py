"""Every bound of `gateway.headroom`, with its reason; those that other rooms keep to as well stand in `gateway.limits`."""

from typing import Final

HEADROOM_LOOK_SECONDS: Final = 1.0
"""How often memory and disk are looked at: at full speed a second fills some hundred megabytes."""

MEMORY_DEFAULT_BYTES: Final = 1_000_000_000
"""What may be resident if nobody says: an address book of ten thousand, and a thousand streams with full buffers, take half."""

MEMORY_LEAST_BYTES: Final = 150_000_000
"""Below this a gateway with nothing to do would refuse everything."""

MEMORY_PART_OF_GROUP: Final = 0.8
"""Of the limit of a control group, beyond which the kernel kills: page tables and socket buffers count there, too."""

MEMORY_PART_OF_MACHINE: Final = 0.5
"""Of a small machine's memory: others live there, too."""

MEMORY_RELIEVED: Final = 0.95
"""Memory is short until this part of what may be resident is: what is freed does not all go back to the system."""

SHRINK_SECONDS: Final = 10.0
"""How often caches are made smaller while memory is short: going through all objects takes a tenth of a second."""

DESCRIPTORS_RESERVED: Final = 128
"""Descriptors kept for what must go on: commands, databases, logs, look-ups, and refusals; or an eighth, if there are few."""

HEADROOM_REFUSALS: Final = 16
"""Clients of the proxy that are told at once that there is no room; each holds a descriptor of those that are kept for a while."""

DISK_RESERVED_BYTES: Final = 1_000_000
"""Below this much free disk what is saved may not find room: the largest file of an ordinary gateway is smaller."""
