"""Stable loopback addresses and ports that stand for endpoints and services.

Each endpoint, and each service of it, has an address in 127.64.0.0/10 that a hash of its key chooses; collisions
move on to the next free one and are remembered. Where only 127.0.0.1 can be bound, `MappedPorts` gives each of
their ports a port of its own on 127.0.0.1 instead. Neither room binds anything.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from resolver.errors import InvalidState, LimitReached
from resolver.limits import MAPPED_PORT_FIRST, MAPPED_PORT_LAST, VIRTUAL_ADDRESSES
from resolver.names import ServiceProtocol, check_service_name
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEFAULT_NETWORK: Final = IPv4Network("127.64.0.0/10")
"""Far from 127.0.0.1, and from 127.0.1.1 and 127.0.0.53, which systems use themselves."""
LOCALHOST: Final = IPv4Address("127.0.0.1")

_Key = TypeVar("_Key")

_LOOPBACK: Final = IPv4Network("127.0.0.0/8")
_SYSTEM: Final = IPv4Network("127.0.0.0/16")


@dataclass(frozen=True, slots=True)
class VirtualKey:
    """What an address stands for: an endpoint, or one service of it."""

    endpoint_id: EndpointId
    service: str | None = None

    @classmethod
    def parse(cls, text: str) -> VirtualKey:
        """Read `<id>` or `<service>.<id>`; ValueError otherwise."""
        service, dot, owner = text.rpartition(".")
        return cls(EndpointId.parse(owner), check_service_name(service) if dot else None)

    def __str__(self) -> str:
        return f"{self.service}.{self.endpoint_id}" if self.service else str(self.endpoint_id)


@dataclass(frozen=True, slots=True)
class PortKey:
    """What a mapped port stands for: one port of a service or endpoint."""

    key: VirtualKey
    port: int
    protocol: ServiceProtocol

    @classmethod
    def parse(cls, text: str) -> PortKey:
        """Read `<key>:<port>/<protocol>`; ValueError otherwise."""
        key, _, rest = text.rpartition(":")
        port, _, protocol = rest.partition("/")
        return cls(VirtualKey.parse(key), int(port), ServiceProtocol(protocol))

    def __str__(self) -> str:
        return f"{self.key}:{self.port}/{self.protocol.value}"


class VirtualAddresses:
    """Which loopback address stands for which endpoint or service; assigned once, kept until forgotten."""

    __slots__ = ("_slots", "network")

    def __init__(self, network: IPv4Network = DEFAULT_NETWORK, *, limit: int = VIRTUAL_ADDRESSES) -> None:
        """`network` lies in 127.0.0.0/8 and holds at least a /24; ValueError otherwise."""
        if not network.subnet_of(_LOOPBACK) or network.prefixlen > 24 or network.subnet_of(_SYSTEM):
            raise ValueError(
                f"{network} cannot hold virtual addresses: choose a network in 127.0.0.0/8, at least a /24 and "
                f"outside {_SYSTEM}, such as {DEFAULT_NETWORK}"
            )
        self.network = network
        self._slots = _StableSlots[VirtualKey](network.num_addresses, limit, self._is_usable)

    def __len__(self) -> int:
        return len(self._slots)

    def __repr__(self) -> str:
        return f"<VirtualAddresses {len(self)} in {self.network}>"

    def address_of(self, key: VirtualKey) -> IPv4Address:
        """The key's address, chosen now if it has none yet; LimitReached when the table is full."""
        return self.network[self._slots.take(key)]

    def known_address(self, key: VirtualKey) -> IPv4Address | None:
        """The key's address if it has one."""
        slot = self._slots.get(key)
        return None if slot is None else self.network[slot]

    def key_at(self, address: IPv4Address) -> VirtualKey | None:
        """What the address stands for, if anything."""
        return self._slots.key_at(int(address) - int(self.network.network_address))

    def restore(self, key: VirtualKey, address: IPv4Address) -> None:
        """Give the key the address it had before, unless that is not to be had any more; then one is chosen anew."""
        self._slots.restore(key, int(address) - int(self.network.network_address))

    def forget(self, endpoint_id: EndpointId) -> tuple[VirtualKey, ...]:
        """Free the addresses of an endpoint and of its services; these are what they stood for."""
        return self._slots.forget(lambda key: key.endpoint_id == endpoint_id)

    def _is_usable(self, slot: int) -> bool:
        # .0 and .255 look like network and broadcast addresses to people and to some programs.
        address = self.network[slot]
        return int(address) & 255 not in (0, 255) and address not in _SYSTEM


class MappedPorts:
    """Which port of 127.0.0.1 stands for which service port, where no other loopback address can be bound."""

    __slots__ = ("_first", "_slots", "_taken")

    def __init__(self, first: int = MAPPED_PORT_FIRST, last: int = MAPPED_PORT_LAST) -> None:
        if not 1024 <= first <= last < 65536:
            raise ValueError(f"{first}-{last} are not ports to map to: choose a range within 1024-65535")
        self._first = first
        self._taken: set[int] = set()
        self._slots = _StableSlots[PortKey](
            last - first + 1, last - first + 1, lambda slot: slot not in self._taken
        )

    def __len__(self) -> int:
        return len(self._slots)

    def __repr__(self) -> str:
        return f"<MappedPorts {len(self)} from {self._first}>"

    def port_of(self, key: PortKey) -> int:
        """The key's port, chosen now if it has none yet; LimitReached when all are in use."""
        return self._first + self._slots.take(key)

    def move(self, key: PortKey) -> int:
        """Another port for the key, because some other program has its own; LimitReached when all are in use."""
        slot = self._slots.get(key)
        if slot is not None:
            self._taken.add(slot)
            self._slots.forget(lambda other: other == key)
        return self.port_of(key)

    def key_at(self, port: int) -> PortKey | None:
        """What the port stands for, if anything."""
        return self._slots.key_at(port - self._first)

    def forget(self, endpoint_id: EndpointId) -> None:
        """Free the ports of an endpoint and of its services."""
        self._slots.forget(lambda key: key.key.endpoint_id == endpoint_id)

    def to_json(self) -> dict[str, Any]:
        """What `load_json` reads."""
        return {str(key): self._first + slot for key, slot in self._slots.items()}

    def load_json(self, saved: object) -> None:
        """Take over what `to_json` gave; ports outside the range are chosen anew. Raises as VirtualAddresses does."""
        for text, port in _saved(saved, int).items():
            try:
                key = PortKey.parse(text)
            except ValueError as error:
                raise _damaged("mapped ports", text, error) from None
            self._slots.restore(key, port - self._first)


class _StableSlots(Generic[_Key]):
    """A bounded map from keys to numbers below `size`: a hash of the key chooses, collisions take the next free one."""

    __slots__ = ("_by_key", "_by_slot", "_is_usable", "_limit", "_size")

    def __init__(self, size: int, limit: int, is_usable: Callable[[int], bool]) -> None:
        self._by_key: dict[_Key, int] = {}
        self._by_slot: dict[int, _Key] = {}
        self._size = size
        self._limit = limit
        self._is_usable = is_usable

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, key: _Key) -> int | None:
        return self._by_key.get(key)

    def key_at(self, slot: int) -> _Key | None:
        return self._by_slot.get(slot)

    def items(self) -> Iterator[tuple[_Key, int]]:
        return iter(self._by_key.items())

    def take(self, key: _Key) -> int:
        slot = self._by_key.get(key)
        if slot is None:
            slot = self._free_slot(key)
            self._by_key[key] = slot
            self._by_slot[slot] = key
        return slot

    def restore(self, key: _Key, slot: int) -> None:
        """Give the key this slot, unless the slot is not to be had or either is in use."""
        free = slot not in self._by_slot and key not in self._by_key and len(self) < self._limit
        if free and 0 <= slot < self._size and self._is_usable(slot):
            self._by_key[key] = slot
            self._by_slot[slot] = key

    def forget(self, matches: Callable[[_Key], bool]) -> tuple[_Key, ...]:
        found = tuple(key for key in self._by_key if matches(key))
        for key in found:
            del self._by_slot[self._by_key.pop(key)]
        return found

    def _free_slot(self, key: _Key) -> int:
        if len(self) < self._limit:
            start = int.from_bytes(hashlib.blake2b(str(key).encode(), digest_size=8).digest()) % self._size
            for step in range(self._size):
                slot = (start + step) % self._size
                if slot not in self._by_slot and self._is_usable(slot):
                    return slot
        raise LimitReached(
            f"all {len(self)} local addresses or ports are in use; remove contacts you no longer need"
        )


_Saved = TypeVar("_Saved", str, int)


def _saved(saved: object, kind: type[_Saved]) -> dict[str, _Saved]:
    try:
        return msgspec.convert(saved, dict[str, kind])  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        raise InvalidState(f"the saved local addresses are damaged: {error}; remove the file") from None


def _damaged(table: str, entry: str, error: ValueError) -> InvalidState:
    return InvalidState(
        f"the saved {table} are damaged: {entry!r}: {error}; remove the file to choose them anew"
    )
