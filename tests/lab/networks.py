"""Machines, and homes behind the kernel's NAT, as network namespaces; `tests.lab.internet` joins them.

All homes number their machines alike (192.168.1.10, …), as homes do, so that a private address tried from another home
reaches the wrong machine or none.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tests.lab.netns import Namespace

if TYPE_CHECKING:
    from tests.lab.internet import Internet

Nat = Literal["port-restricted", "symmetric"]
"""Endpoint-independent mapping, as the kernel does where ports are free; or another random port for each destination."""

_TRANSLATE = {"port-restricted": "masquerade", "symmetric": "masquerade fully-random"}
HOME_NET = "192.168.1"
PROXY_PORT = 8888


@dataclass
class Link:
    """One of a machine's interfaces."""

    name: str
    network: Network
    port: str
    """The name of its other end, in the namespace of the network."""
    address: str = ""
    route: str = ""
    """How the default route is said that leads out here."""


class Machine(Namespace):
    """A machine whose links are plugged into the internet or into homes; as a rule it has one, `eth0`."""

    def __init__(self, name: str, label: str) -> None:
        super().__init__(name)
        self.label = label
        self.links: dict[str, Link] = {}
        self.preferred = "eth0"
        """The link that the default route goes out by."""

    @property
    def network(self) -> Network:
        """Where the preferred link is plugged in."""
        return self.links[self.preferred].network

    @property
    def address(self) -> str:
        """The one of the preferred link."""
        return self.links[self.preferred].address

    @property
    def public_address(self) -> str:
        """The address the internet sees it at."""
        return self.network.router.public_address if isinstance(self.network, Home) else self.address

    def prefer(self, name: str) -> None:
        """The default route goes out by that link from now on; addresses stay."""
        self.preferred = name
        for link in self.links.values():
            self.ip(f"route flush exact default dev {link.name}", self.default_route(link))

    def default_route(self, link: Link) -> str:
        return f"route replace default {link.route} metric {0 if link.name == self.preferred else 100}"

    def add_docker(self, ip: str = "172.17.0.1") -> None:
        """A bridge as Docker makes it, with the address that it has on every machine."""
        self.ip("link add docker0 type bridge", f"addr add {ip}/16 dev docker0", "link set docker0 up")

    def container_comes(self, number: int) -> None:
        """Another link appears on the bridge of `add_docker`."""
        self.ip(
            f"link add veth{number} type veth peer name inside{number}",
            f"link set veth{number} master docker0 up",
            f"link set inside{number} up",
        )

    def container_goes(self, number: int) -> None:
        self.ip(f"link del veth{number}")


class Network:
    """What machines are plugged into: `core` is the namespace that holds the other ends of their links."""

    core: Namespace

    def __init__(self) -> None:
        self._ports = itertools.count(1)

    def new_address(self) -> str:
        """One that nobody has or had."""
        raise NotImplementedError

    def _attach(self, machine: Machine, link: Link, replaced: str) -> None:
        """Give the link its address and routes, and make both known where that is needed."""
        raise NotImplementedError

    def plug(self, machine: Machine, name: str = "eth0") -> None:
        """Join a machine by a new link; its first one is eth0."""
        link = machine.links[name] = Link(name, self, f"port{next(self._ports)}", self.new_address())
        self.core.ip(f"link add {link.port} type veth peer name {name} netns {machine.name}")
        self._attach(machine, link, "")

    def unplug(self, machine: Machine, name: str = "eth0") -> None:
        """Take a link away, with the addresses and routes it had; another takes over if there is one."""
        self.core.ip(f"link del {machine.links.pop(name).port}")
        if name == machine.preferred and machine.links:
            machine.preferred = next(iter(machine.links))

    def change_address(self, machine: Machine, name: str = "eth0") -> None:
        """The link has another address from now on."""
        link = machine.links[name]
        before, link.address = link.address, self.new_address()
        self._attach(machine, link, before)


class Home(Network):
    """A router with NAT, which lets nothing in that was not asked for, and the machines behind it."""

    def __init__(self, internet: Internet, router: Machine, nat: Nat, net: str = HOME_NET) -> None:
        super().__init__()
        self.internet, self.router, self.core, self.nat, self.net = internet, router, router, nat, net
        self._numbers = itertools.count(10)
        self._allowed = ["accept"]
        self._udp_ports: dict[str, int] = {}
        self._tcp_ports = ""
        self._new_ports = itertools.count(20000)
        self._addresses: set[str] = set()
        self._unasked = ""
        router.ip("link add lan type bridge", f"addr add {net}.1/24 dev lan", "link set lan up")
        router.sysctl(ip_forward=1)
        self._apply()

    @property
    def public_address(self) -> str:
        return self.router.public_address

    def host(self, name: str) -> Machine:
        """A new machine in this home."""
        machine = self.internet.machine(f"{self.router.label}-{name}")
        self.plug(machine)
        return machine

    def new_address(self) -> str:
        return f"{self.net}.{next(self._numbers)}"

    def _attach(self, machine: Machine, link: Link, replaced: str) -> None:
        if not replaced:
            self.router.ip(f"link set {link.port} master lan up")
        link.route = f"via {self.net}.1 dev {link.name}"
        machine.ip(
            f"addr flush dev {link.name} scope global",
            f"addr add {link.address}/24 dev {link.name}",
            f"link set {link.name} up",
            machine.default_route(link),
        )
        self._addresses.discard(replaced)
        self._addresses.add(link.address)

    def _apply(self) -> None:
        """Put the rules in force that our attributes describe; what is under way is kept."""
        ports = "".join(
            f"oifname eth0 ip saddr {address} meta l4proto udp masquerade to :{port}\n"
            for address, port in self._udp_ports.items()
        )
        if self._tcp_ports:
            ports += f"oifname eth0 meta l4proto tcp masquerade to :{self._tcp_ports}\n"
        allowed = "\n".join(f"iifname lan {rule}" for rule in self._allowed)
        # What comes unasked is dropped before the kernel remembers it: a remembered flow would occupy the very
        # port that the same flow from inside needs a moment later.
        self.router.nft(f"""
            table ip home
            delete table ip home
            table ip home {{
                chain translate {{
                    type nat hook postrouting priority 100
                    {ports}
                    oifname eth0 {_TRANSLATE[self.nat]}
                }}
                chain own {{
                    type filter hook input priority 0
                    iifname eth0 ct state established,related accept
                    iifname eth0 drop
                }}
                chain through {{
                    type filter hook forward priority 0; policy drop
                    iifname eth0 ct state established,related accept
                    {self._unasked}
                    {allowed}
                }}
            }}
        """)

    def forget_flows(self) -> None:
        """Every mapping is gone; what comes from outside is unasked for until something goes out."""
        self.router.run("conntrack", "-F")

    def flush_mapping(self, *, tcp: bool = False) -> None:
        """Forget every flow, and give each machine's UDP another outside port; TCP continues unless `tcp`.

        Without the new port the next packet from inside would get the old mapping back, and nobody would notice.
        A machine's UDP flows all get one outside port: the mapping stays endpoint-independent.
        """
        if self.nat == "port-restricted":
            self._udp_ports = {address: next(self._new_ports) for address in sorted(self._addresses)}
        if tcp:
            first = next(self._new_ports) + 20000
            self._tcp_ports = f"{first}-{first + 999}"
        self._apply()
        self.forget_flows()

    def allow_only(self, *rules: str) -> None:
        """From inside, only what one of these nftables rules accepts; none at all cuts the home off."""
        self._allowed = list(rules) or ["drop"]
        self._apply()
        self.forget_flows()

    def tcp443_only(self) -> None:
        """Out goes TCP to port 443, to any server, and nothing else; no refusal is heard."""
        self.allow_only("tcp dport 443 accept")

    def proxy_only(self, proxy: Machine) -> None:
        """Out goes TCP to the proxy, and nothing else."""
        self.allow_only(f"ip daddr {proxy.address} tcp dport {PROXY_PORT} accept")

    def let_mapped_in(self) -> None:
        """What a mapped port sends on may come in, whoever sent it; `tests.lab.mapping_routers` maps ports."""
        self._unasked = "iifname eth0 ct status dnat accept"
        self._apply()

    def open_up(self) -> None:
        """Everything goes out again."""
        self.allow_only("accept")
