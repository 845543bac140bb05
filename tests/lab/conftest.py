"""What the lab's own tests begin with."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.lab.internet import an_internet
from tests.lab.sockets import Udp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.internet import Internet
    from tests.lab.networks import Machine


@pytest.fixture
def internet() -> Iterator[Internet]:
    with an_internet() as internet:
        yield internet


@pytest.fixture
def udp() -> Iterator[Callable[..., Udp]]:
    with contextlib.ExitStack() as stack:

        def make(machine: Machine, port: int = 7000, *, version: int = 4) -> Udp:
            made = Udp(machine, port, version=version)
            stack.enter_context(made.socket)
            return made

        yield make
