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
    from tests.lab.translation import Counters

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
    address6: str = ""
    """Empty, unless the network has IPv6."""


class Machine(Namespace):
    """A machine whose links are plugged into the internet or into homes; as a rule it has one, `eth0`."""

    def __init__(self, name: str, label: str) -> None:
        super().__init__(name)
        self.label = label
        self.links: dict[str, Link] = {}
        self.preferred = "eth0"
        """The link that the default route goes out by."""
        self.routed_net6 = ""
        """What the internet routes here; see `net6`."""

    @property
    def network(self) -> Network:
        """Where the preferred link is plugged in."""
        return self.links[self.preferred].network

    @property
    def address(self) -> str:
        """The one of the preferred link."""
        return self.links[self.preferred].address

    @property
    def address6(self) -> str:
        """The IPv6 address of the preferred link; empty if it has none."""
        return self.links[self.preferred].address6

    @property
    def net6(self) -> str:
        """How the IPv6 addresses of its network begin, a /64, before `::`; empty if there are none."""
        return self.network.router.net6 if isinstance(self.network, Home) else self.routed_net6

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

    def forget(self) -> None:
        """Every NAT from here to the internet forgets all UDP, and what it counted; TCP goes on."""
        raise NotImplementedError

    def counters(self) -> Counters | None:
        """What its NAT counted since; None unless it is a `SimulatedHome`."""
        return None

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

    def __init__(
        self,
        internet: Internet,
        router: Machine,
        nat: Nat,
        net: str = HOME_NET,
        *,
        ipv6: bool = False,
        drops_strangers: bool = True,
    ) -> None:
        """`ipv6`: machines have public IPv6 addresses too, and the router lets in only what was asked for.

        Without `drops_strangers` what comes unasked reaches the router itself, which remembers it: the same flow from
        inside gets another port then.
        """
        super().__init__()
        self.internet, self.router, self.core, self.nat, self.net = internet, router, router, nat, net
        self._numbers = itertools.count(10)
        self._allowed = ["accept"]
        self._udp_ports: dict[str, int] = {}
        self._tcp_ports = ""
        self._new_ports = itertools.count(20000)
        self._addresses: set[str] = set()
        self._unasked = ""
        self._own_ways = ""
        self._drops_strangers = drops_strangers
        self.net6 = internet.new_net6(router) if ipv6 else ""
        router.ip("link add lan type bridge", f"addr add {net}.1/24 dev lan", "link set lan up")
        router.sysctl(ip_forward=1)
        self._apply()
        if self.net6:
            self._apply_ipv6()

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
        if self.net6:
            link.address6 = f"{self.net6}::{link.address.rpartition('.')[2]}"
            machine.ip(
                f"addr add {link.address6}/64 dev {link.name} nodad",
                f"route replace ::/0 via {self.net6}::1 dev {link.name}",
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
        strangers = "iifname eth0 drop" if self._drops_strangers else ""
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
                    {strangers}
                }}
                chain through {{
                    type filter hook forward priority 0; policy drop
                    iifname eth0 ct state established,related accept
                    {self._unasked}
                    {self._own_ways}
                    {allowed}
                }}
            }}
        """)

    def _apply_ipv6(self) -> None:
        """Machines have public addresses, and are protected by a firewall that remembers what they asked for."""
        self.router.ip(f"addr add {self.net6}::1/64 dev lan nodad")
        self.router.run("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
        self.router.nft("""
            table ip6 home {
                chain own {
                    type filter hook input priority 0
                    iifname eth0 ct state established,related accept
                    iifname eth0 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
                    iifname eth0 drop
                }
                chain through {
                    type filter hook forward priority 0; policy drop
                    iifname eth0 ct state established,related accept
                    iifname lan accept
                }
            }
        """)

    def forget_flows(self) -> None:
        """Every mapping is gone; what comes from outside is unasked for until something goes out."""
        self.router.run("conntrack", "-F")

    def forget(self) -> None:
        self._forget_own()
        self.router.network.forget()

    def _forget_own(self) -> None:
        for family in ("ipv4", "ipv6") if self.net6 else ("ipv4",):
            # It fails if there is nothing to forget.
            self.router.run("conntrack", "-D", "-f", family, "-p", "udp", check=False)

    def flush_mapping(self, *, tcp: bool = False) -> None:
        """Forget every flow, and give each machine's UDP another outside port; TCP continues unless `tcp`.

        Without the new port the next packet from inside would get the old mapping back, and nobody would notice.
        A machine's UDP flows all get one outside port: the mapping stays endpoint-independent.
        """
        if self.nat == "port-restricted":
            self._udp_ports = {address: next(self._new_ports) for address in sorted(self._addresses)}
        if tcp:
            first = next(self._new_ports) + 41000  # none that a machine would choose: it might be kept
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
