"""A machine on a network of its own, so that what tests say to everybody leaves no namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.lans import a_lan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.lans import LanMachine


@pytest.fixture
def on_lan() -> Iterator[LanMachine]:
    """The test runs on this machine, with IPv4 and IPv6, on a bridge where nobody else is."""
    with a_lan() as lan:
        machine = lan.machine()
        with machine.entered():
            yield machine
