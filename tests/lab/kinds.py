"""The kinds of networks that people have, each with one machine in it; `tests.lab.test_kinds` proves that they are that.

    with an_internet_of_links(delay=0.02) as internet:
        laptop = KINDS["full-cone"].build(internet, "alice", tmp_path)
        laptop.network.forget()

Everything that is built belongs to the internet, and is gone with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tests.lab.mapping_routers import mapping_router
from tests.lab.translation import Ports, Rules
from tunnels.nat.behavior import Filtering, Mapping

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.lab.internet import Internet
    from tests.lab.networks import Machine

    Build = Callable[[Internet, str, Path], Machine]


@dataclass(frozen=True)
class Kind:
    """One kind of network."""

    name: str
    what: str
    """For people, in a table."""
    build: Build
    """A new network of this kind, with one machine. Its `network` can `forget` all that the NATs before it remember, and has
    `counters` if its NAT is simulated. Names are of lower-case letters, digits and hyphens; files are put into a directory of
    that name, in the directory given."""


FULL_CONE = Rules(filtering=Filtering.ENDPOINT_INDEPENDENT)
ADDRESS_RESTRICTED = Rules(filtering=Filtering.ADDRESS_DEPENDENT)
PORT_RESTRICTED = Rules()
_SYMMETRIC = Mapping.ADDRESS_AND_PORT_DEPENDENT
SYMMETRIC_SEQUENTIAL = Rules(_SYMMETRIC, ports=Ports.SEQUENTIAL)
SYMMETRIC_RANDOM = Rules(_SYMMETRIC, ports=Ports.RANDOM)
SYMMETRIC_BLOCK = Rules(_SYMMETRIC, ports=Ports.BLOCK)

GUARD = 20
"""Unsolicited datagrams within a second; with the next one their source is blocked."""
ROOM = 100
"""Flows that the smallest router remembers."""


def _simulated(rules: Rules, **options: float) -> Build:
    def build(internet: Internet, name: str, _: Path) -> Machine:
        return internet.home(name, rules, **options).host("pc")

    return build


def _open(internet: Internet, name: str, _: Path) -> Machine:
    return internet.server(name)


def _cgnat(internet: Internet, name: str, _: Path) -> Machine:
    return internet.home(name, behind=internet.provider(f"{name}-isp")).host("pc")


def _masquerade(internet: Internet, name: str, _: Path) -> Machine:
    return internet.home(name).host("pc")


def _fully_random(internet: Internet, name: str, _: Path) -> Machine:
    return internet.home(name, "symmetric").host("pc")


def _mapping(internet: Internet, name: str, place: Path) -> Machine:
    home = internet.home(name, net=2)
    internet.keep(mapping_router(home, place / name, "PCP", "NAT-PMP", "UPnP"))
    return home.host("pc")


def _udp_blocked(internet: Internet, name: str, _: Path) -> Machine:
    home = internet.home(name)
    home.allow_only("meta l4proto != udp accept")
    return home.host("pc")


def _ipv6_firewalled(internet: Internet, name: str, _: Path) -> Machine:
    return internet.home(name, ipv6=True).host("pc")


def _poisonable(internet: Internet, name: str, _: Path) -> Machine:
    return internet.home(name, drops_strangers=False).host("pc")


def _by_name(*kinds: Kind) -> dict[str, Kind]:
    return {kind.name: kind for kind in kinds}


KINDS: Final = _by_name(
    Kind("open", "a public address, no firewall", _open),
    Kind("full-cone", "one port for all, anybody gets in", _simulated(FULL_CONE)),
    Kind("address-restricted", "one port for all, whose ip was sent to", _simulated(ADDRESS_RESTRICTED)),
    Kind("port-restricted", "one port for all, whose ip and port were sent to", _simulated(PORT_RESTRICTED)),
    Kind("symmetric-sequential", "the next port for each destination", _simulated(SYMMETRIC_SEQUENTIAL)),
    Kind("symmetric-random", "a random port for each destination", _simulated(SYMMETRIC_RANDOM)),
    Kind("symmetric-block", "a random one of 1024 ports for each destination", _simulated(SYMMETRIC_BLOCK)),
    Kind("cgnat", "a home behind a provider's NAT, both port-restricted", _cgnat),
    Kind("kernel-masquerade", "Linux, as most home routers have it", _masquerade),
    Kind("kernel-fully-random", "Linux with a random port for each flow", _fully_random),
    Kind("mapping", "Linux with PCP, NAT-PMP and UPnP (miniupnpd)", _mapping),
    Kind("udp-blocked", "Linux, no UDP gets out", _udp_blocked),
    Kind("ipv6-firewalled", "Linux, and IPv6 behind a stateful firewall", _ipv6_firewalled),
)
"""The rows and the columns of the matrix."""


def _guarded(name: str, rules: Rules) -> Kind:
    return Kind(f"{name}-guarded", f"{name}, with a flood guard", _simulated(replace(rules, guard=GUARD)))


MORE_KINDS: Final = _by_name(
    Kind("poisonable", "Linux that remembers what comes unasked", _poisonable),
    _guarded("full-cone", FULL_CONE),
    _guarded("address-restricted", ADDRESS_RESTRICTED),
    _guarded("port-restricted", PORT_RESTRICTED),
    _guarded("symmetric-sequential", SYMMETRIC_SEQUENTIAL),
    _guarded("symmetric-random", SYMMETRIC_RANDOM),
    _guarded("symmetric-block", SYMMETRIC_BLOCK),
    Kind(
        "port-restricted-small",
        "port-restricted, with room for 100 flows: new ones are refused",
        _simulated(replace(PORT_RESTRICTED, room=ROOM)),
    ),
    Kind(
        "port-restricted-small-evicting",
        "port-restricted, with room for 100 flows: the idlest goes",
        _simulated(replace(PORT_RESTRICTED, room=ROOM, evicts=True)),
    ),
    Kind(
        "symmetric-random-small",
        "symmetric-random, with room for 100 flows: new ones are refused",
        _simulated(replace(SYMMETRIC_RANDOM, room=ROOM)),
    ),
    Kind(
        "symmetric-random-small-evicting",
        "symmetric-random, with room for 100 flows: the idlest goes",
        _simulated(replace(SYMMETRIC_RANDOM, room=ROOM, evicts=True)),
    ),
    Kind(
        "symmetric-sequential-small",
        "symmetric-sequential, with room for 100 flows: new ones are refused",
        _simulated(replace(SYMMETRIC_SEQUENTIAL, room=ROOM)),
    ),
    Kind(
        "symmetric-sequential-small-evicting",
        "symmetric-sequential, with room for 100 flows: the idlest goes",
        _simulated(replace(SYMMETRIC_SEQUENTIAL, room=ROOM, evicts=True)),
    ),
    Kind(
        "hairpinning",
        "port-restricted, its machines reach each other by their outside addresses",
        _simulated(replace(PORT_RESTRICTED, hairpins=True)),
    ),
    Kind(
        "symmetric-busy",
        "symmetric-sequential, where others make 20 mappings a second",
        _simulated(replace(SYMMETRIC_SEQUENTIAL, noise=20.0)),
    ),
)
"""For special tests."""
