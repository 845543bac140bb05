"""What this gateway offers to others: services, the targets behind them, and the book that holds them. No I/O.

A service is known by its name and by its port or range of ports; behind it is a target on this machine or near it.
`ServiceSettings` is what a person typed, in the configuration or on the command line; here it becomes a `Service`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.config.settings import ServiceSettings
from gateway.errors import StateError, UsageError
from gateway.expose.targets import IpTarget, Target, UnixTarget, parse_target
from gateway.limits import SERVICE_ALLOWED, SERVICES
from resolver.errors import InvalidName
from resolver.names import ServiceProtocol, check_service_name
from resolver.well_known import well_known_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEEP_HOST: Final = "keep"


def default_port(name: str, target: Target) -> int:
    """The port a service has when none is asked for: that of its name (web: 80), else the target's.

    A range keeps its own ports. UsageError for a Unix socket whose service's name says nothing.
    """
    known = well_known_port(name)
    if isinstance(target, IpTarget):
        single = target.first_port == target.last_port
        return known if known is not None and single else target.first_port
    if known is None:
        raise UsageError(
            f"a Unix socket has no port, and {name} says none: add --port N, the port others use"
        )
    return known


@dataclass(frozen=True, slots=True)
class Service:
    """One service we offer. UsageError when its parts do not fit together."""

    name: str
    target: Target
    first_port: int
    last_port: int
    protocols: tuple[ServiceProtocol, ...] = (ServiceProtocol.TCP,)
    allow: tuple[str, ...] = ()
    """Who may use it: petnames, endpoint ids, and what `gateway.expose.access` knows besides."""
    public: bool = False
    proxy_protocol: bool = False
    """Tell the target who calls, by PROXY protocol v2."""
    endpoint_header: bool = False
    """Tell an HTTP target who calls, in X-Overlay-Endpoint."""
    host_header: str | None = None
    """The Host an HTTP target gets; None: what the client said."""
    unlisted: bool = False
    """It stands in no list and in no record: its name is a secret. Only of programs; it is not saved."""

    def __post_init__(self) -> None:
        try:
            canonical = check_service_name(self.name)
        except InvalidName as error:
            raise UsageError(f"{self.name!r} cannot name a service: {error}") from None
        if canonical != self.name:
            raise UsageError(f"{self.name!r} cannot name a service: write it in lower case, {canonical}")
        if not 0 < self.first_port <= self.last_port < 65536:
            raise UsageError(
                f"{self.name}: ports {self.first_port}-{self.last_port} do not lie within 1-65535"
            )
        first, last = (
            (self.target.first_port, self.target.last_port) if isinstance(self.target, IpTarget) else (0, 0)
        )
        if last - first != self.last_port - self.first_port:
            raise UsageError(f"{self.name}: {self.target} has not as many ports as {self.ports}")
        if not self.protocols or len(set(self.protocols)) != len(self.protocols):
            raise UsageError(f"{self.name}: a service speaks tcp, udp or both")
        if len(self.allow) > SERVICE_ALLOWED:
            raise UsageError(
                f"{self.name}: more than {SERVICE_ALLOWED} are allowed by name; allow `contacts`"
            )
        if isinstance(self.target, UnixTarget) and self.protocols != (ServiceProtocol.TCP,):
            raise UsageError(f"{self.name}: a Unix socket carries streams, not UDP; leave --udp out")
        if ServiceProtocol.TCP not in self.protocols and self.tells_caller:
            raise UsageError(
                f"{self.name}: PROXY protocol and HTTP headers need TCP; leave them out or add --tcp"
            )

    @property
    def tells_caller(self) -> bool:
        """Whether something is said to the target before or inside what the caller sends."""
        return self.proxy_protocol or self.rewrites_http

    @property
    def rewrites_http(self) -> bool:
        """Whether its requests are read as HTTP and changed."""
        return self.endpoint_header or self.host_header is not None

    @property
    def ports(self) -> str:
        """Its port or range as text."""
        first, last = self.first_port, self.last_port
        return str(first) if first == last else f"{first}-{last}"

    def target_port(self, port: int) -> int:
        """The target's port for a service port; any port is that of a service with a single one."""
        if not isinstance(self.target, IpTarget):
            return 0
        return self.target.first_port + (port - self.first_port if self.last_port > self.first_port else 0)

    @classmethod
    def of(cls, name: str, settings: ServiceSettings) -> Service:
        """From what a person typed; UsageError says what is wrong with it."""
        target, protocols = parse_target(settings.target)
        typed = tuple(protocol for protocol in ServiceProtocol if protocol.value in settings.protocols)
        if protocols is not None and typed not in ((ServiceProtocol.TCP,), protocols):
            raise UsageError(
                f"{name}: {settings.target} contradicts the protocols {'+'.join(settings.protocols)}"
            )
        name = name.lower()
        first = settings.port or default_port(name, target)
        more = target.last_port - target.first_port if isinstance(target, IpTarget) else 0
        return cls(
            name,
            target,
            first,
            first + more,
            protocols or typed,
            settings.allow,
            settings.public,
            settings.proxy_protocol == "v2",
            settings.http_endpoint_header,
            None if settings.host_header == _KEEP_HOST else settings.host_header,
        )

    @property
    def settings(self) -> ServiceSettings:
        """The same as a person might have typed it; `of` reads it back."""
        return ServiceSettings(
            target=str(self.target),
            port=self.first_port,
            protocols=tuple(protocol.value for protocol in self.protocols),
            allow=self.allow,
            public=self.public,
            proxy_protocol="v2" if self.proxy_protocol else "off",
            http_endpoint_header=self.endpoint_header,
            host_header=_KEEP_HOST if self.host_header is None else self.host_header,
        )


class ServiceBook:
    """The services by name. A change happens whole, or raises UsageError and changes nothing."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[str, Service] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[Service]:
        """Services by name."""
        return iter(sorted(self._by_name.values(), key=lambda service: service.name))

    def __repr__(self) -> str:
        return f"ServiceBook({', '.join(f'{service.name}:{service.ports}' for service in self)})"

    def get(self, name: str) -> Service | None:
        """The service of this name."""
        return self._by_name.get(name)

    def add(self, service: Service) -> None:
        """Add a service; its name and ports must be free."""
        if service.name in self._by_name:
            raise UsageError(f"{service.name} is exposed already; first: overlay unexpose {service.name}")
        if len(self) >= SERVICES:
            raise UsageError(f"{SERVICES} services are exposed, the most there may be; unexpose one first")
        self._check_ports(service)
        self._by_name[service.name] = service

    def replace(self, service: Service) -> None:
        """Put a service in the place of the one of its name, or add it."""
        if service.name not in self._by_name:
            self.add(service)
            return
        self._check_ports(service)
        self._by_name[service.name] = service

    def remove(self, name: str) -> Service:
        """Take a service out; UsageError names what there is."""
        if name not in self._by_name:
            known = ", ".join(sorted(self._by_name)) or "none"
            raise UsageError(f"no service is called {name}; exposed are: {known}")
        return self._by_name.pop(name)

    def find(self, name: str, port: int, protocol: ServiceProtocol) -> Service | None:
        """The service a caller means.

        By name any port means it, but for a range the port must lie within; without a name the port decides.
        """
        if name:
            service = self._by_name.get(name)
            if service is None or protocol not in service.protocols:
                return None
            single = service.first_port == service.last_port
            return service if single or service.first_port <= port <= service.last_port else None
        for service in self._by_name.values():
            if (
                service.first_port <= port <= service.last_port
                and protocol in service.protocols
                and not service.unlisted  # a port is guessed, its name is not
            ):
                return service
        return None

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads: for each name what a person might have typed."""
        return {service.name: msgspec.to_builtins(service.settings) for service in self}

    @classmethod
    def from_json(cls, saved: object) -> ServiceBook:
        """Read what `to_json` gave; StateError names the service that is damaged."""
        if not isinstance(saved, dict):
            raise StateError("the saved services are damaged: they are no table; remove the file")
        book = cls()
        for name, settings in saved.items():
            try:
                book.add(Service.of(str(name), msgspec.convert(settings, ServiceSettings)))
            except (msgspec.ValidationError, UsageError) as error:
                raise StateError(
                    f"the saved services are damaged: {name}: {error}; remove the file"
                ) from None
        return book

    def _check_ports(self, service: Service) -> None:
        for other in self._by_name.values():
            apart = service.last_port < other.first_port or other.last_port < service.first_port
            if other.name != service.name and not apart and set(service.protocols) & set(other.protocols):
                raise UsageError(
                    f"{service.name} cannot have port {service.ports}: {other.name} has {other.ports}; "
                    "choose another with --port"
                )
