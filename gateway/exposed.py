"""The services of a running gateway: what commands exposed and is saved, with what the configuration names."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.errors import ConfigurationError, UsageError
from gateway.expose.access import CONTACTS_OF
from gateway.expose.services import Service, ServiceBook
from resolver.records import PublicService

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config import ServiceSettings
    from gateway.home import Home

_STATE: Final = "services"

Result = TypeVar("Result")


class ExposedServices:
    """Services from both origins in one `ServiceBook`; a change is saved before it counts."""

    def __init__(self, home: Home, configured: Mapping[str, ServiceSettings]) -> None:
        """Read the saved services; StateError when the file is damaged, ConfigurationError for the configuration."""
        self._home = home
        self._lock = asyncio.Lock()
        self._saved = ServiceBook.from_json(home.load_state(_STATE, dict, _empty))
        self._attached = ServiceBook()
        self.warnings: tuple[str, ...] = ()
        self.configured: frozenset[str] = frozenset()
        self.book = ServiceBook()
        self.configure(configured)

    def configure(self, configured: Mapping[str, ServiceSettings]) -> None:
        """Take the services of a configuration in place of those of the last one; they win over saved ones.

        ConfigurationError names the one that makes no sense, and nothing has changed.
        """
        fixed = ServiceBook()
        for name, settings in configured.items():
            try:
                fixed.add(Service.of(name, settings))
            except UsageError as error:
                raise ConfigurationError(f"{self._home.config_file}: [services.{name}]: {error}") from None
        self._fixed = fixed
        self.configured = frozenset(service.name for service in fixed)
        self.book, warnings = self._merged(self._saved)
        self.warnings = tuple(warnings)

    async def expose(self, service: Service) -> Service:
        """Add a service, or replace the one of its name; UsageError or StateError, and nothing has changed."""
        self._refuse_configured(service.name)

        def act(book: ServiceBook) -> Service:
            book.replace(service)
            return service

        return await self._change(act)

    async def unexpose(self, name: str) -> Service:
        """Take a service away; UsageError or StateError, and nothing has changed."""
        self._refuse_configured(name.lower())
        if self._attached.get(name.lower()) is not None:
            raise UsageError(f"{name} belongs to a program that runs; end the program")
        return await self._change(lambda book: book.remove(name.lower()))

    def attach(self, service: Service) -> None:
        """Take in what a program offers while it runs, which is not saved; UsageError if its name or ports are taken."""
        trial = ServiceBook()
        for known in (*self.book, service):
            trial.add(known)
        self._attached.add(service)
        self.book, _ = self._merged(self._saved)

    def detach(self, name: str) -> None:
        """The program is done with it."""
        self._attached.remove(name)
        merged, warnings = self._merged(self._saved)
        self.book, self.warnings = merged, tuple(warnings)

    def is_attached(self, name: str) -> bool:
        """Whether it is a program's."""
        return self._attached.get(name) is not None

    async def revoke(self, who: str) -> None:
        """Take an endpoint, and whom it introduces, out of the `allow` of every service a command exposed.

        StateError, and nothing has changed.
        """

        def act(book: ServiceBook) -> None:
            for service in list(book):
                allow = tuple(entry for entry in service.allow if entry not in (who, f"{CONTACTS_OF}{who}"))
                if allow != service.allow:
                    book.replace(replace(service, allow=allow))

        await self._change(act)

    def public(self) -> tuple[PublicService, ...]:
        """What our record tells everybody."""
        return tuple(
            PublicService(service.name, service.first_port, service.last_port, frozenset(service.protocols))
            for service in self.book
            if service.public and not service.unlisted
        )

    def _refuse_configured(self, name: str) -> None:
        if name in self.configured:
            raise UsageError(
                f"{name} stands in {self._home.config_file} as [services.{name}]; change it there, then: overlay reload"
            )

    async def _change(self, act: Callable[[ServiceBook], Result]) -> Result:
        async with self._lock:
            trial = ServiceBook.from_json(self._saved.to_json())
            result = act(trial)
            merged, warnings = self._merged(trial)
            clash = next((warning for warning in warnings if warning not in self.warnings), None)
            if clash is not None:
                raise UsageError(clash)
            await asyncio.to_thread(self._home.save_state, _STATE, trial.to_json())
            self._saved, self.book = trial, merged
            return result

    def _merged(self, saved: ServiceBook) -> tuple[ServiceBook, list[str]]:
        book, warnings = ServiceBook(), []
        for service in self._fixed:
            book.add(service)
        for service in (*self._attached, *saved):
            try:
                book.add(service)
            except UsageError as error:
                warnings.append(f"the service {service.name} is not exposed: {error}")
        return book, warnings


def _empty() -> dict[str, Any]:
    return {}
