"""`overlay beacon` as a process on loopback, for tests that need no network."""

from __future__ import annotations

import contextlib
import re
import selectors
import subprocess
from typing import TYPE_CHECKING

from tests.lab import warm
from tests.lab.gateways import OVERLAY, START_SECONDS, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def local_beacon(home: Path, **variables: str) -> Iterator[str]:
    """Its URL, as gateways want it; `variables` configure it: `OVERLAY_BEACON_REDIS_URL=...`."""
    with (
        (home.parent / f"{home.name}.log").open("w") as log,
        warm.start(
            [OVERLAY, "--home", str(home), "beacon", "--bind", "127.0.0.1", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=log,
            env=clean_environment() | variables,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                assert selector.select(START_SECONDS), "the beacon did not start"
            found = re.search(r"http://127\.0\.0\.1:\d+#[a-z0-9]+", process.stdout.readline())
            assert found is not None, (home.parent / f"{home.name}.log").read_text()
            yield found[0]
        finally:
            process.terminate()
            process.wait(20)
