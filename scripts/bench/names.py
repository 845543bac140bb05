"""A gateway that knows many: how soon it is up, what it holds in memory, and how long a name or a record takes."""

from __future__ import annotations

import asyncio
import random
import socket
import statistics
import time
from typing import TYPE_CHECKING

from dnslib import DNSRecord

from bench.full_homes import fill
from bench.places import Gateway, Unavailable, resident_bytes
from gateway.contact_book import ContactBook
from gateway.home import Home
from gateway.kept_records import KeptRecords
from gateway.kept_state import KeptState
from gateway.supervision import Supervisor
from resolver.client import ResolverClient
from resolver.record_cache import RecordCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.full_homes import Known
    from bench.measures import Bench

MEGA = 1e6
ASKED = 3000
"""Names, and records of each kind, that are asked for in one round, each once."""


def names(bench: Bench) -> None:
    """Contacts with tickets, records and services, and records of strangers; all of them are offline."""
    contacts, strangers = bench.plan.contacts, bench.plan.strangers
    few = {"less_is_better": True}
    rows = {
        "start": bench.row(f"start with {contacts} contacts, {strangers} other records", "s", **few),
        "memory": bench.row("  memory then", "MB", **few),
        "empty": bench.row("  start, and memory, of one that knows nobody", "s", **few),
        "empty memory": bench.row("  ", "MB", **few),
        "status": bench.row("  list of all contacts", "s", **few),
        "p50": bench.row(
            "  a contact's name by DNS, each for the first time (direct: UDP echo), p50", "ms", **few
        ),
        "dns": bench.row("    p99", "ms", **few),
        "again": bench.row("  the same names again, p99", "ms", **few),
        "meanwhile": bench.row("  a name while all contacts are listed, p99", "ms", **few),
        "grown": bench.row("  memory after that", "MB", **few),
        "contact": bench.row("  a contact's record, p99", "ms", **few),
        "stranger": bench.row("  a stranger's record, from disk, p99", "ms", **few),
    }
    directory = bench.world.processes.directory / "names"
    home = Home(directory / "full")
    home.path.mkdir(parents=True)
    bench.say("fills the home …")
    known = fill(home, contacts=contacts, strangers=strangers, now=time.time())  # noqa: TID251 - the records are of now

    def once(name: str) -> dict[str, float]:
        if name == "direct":
            taken = _echoes(bench.world.way("direct").udp)
            return {"p50": statistics.median(taken), "dns": _p99(taken)}
        empty = _started(bench, directory / "empty")
        full = _started(bench, home.path)
        return {
            "empty": empty["start"],
            "empty memory": empty["memory"],
            **full,
            **asyncio.run(_records(home, known)),
        }

    bench.measure(("direct", "listener"), once, rows)


def _started(bench: Bench, home: object) -> dict[str, float]:
    """What a gateway on this home does; one without contacts is only started."""
    gateway = Gateway(bench.world.processes, "names", home, "--bind", "127.0.0.1")  # type: ignore[arg-type]
    began = time.perf_counter()
    gateway.begin()
    figures = {"start": time.perf_counter() - began}
    try:
        gateway.look()
        figures["memory"] = resident_bytes((gateway.status["pid"],)) / MEGA
        count = len(gateway.status["contacts"])
        if count:
            figures |= _asked(gateway, [f"web.contact{each}.overlay" for each in range(count)])
            figures["grown"] = resident_bytes((gateway.status["pid"],)) / MEGA
    finally:
        gateway.stop()
    return figures


def _asked(gateway: Gateway, every: list[str]) -> dict[str, float]:
    chosen = random.Random(1).sample(every, min(ASKED, len(every)))
    host, _, port = gateway.listens("dns").rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect((host, int(port)))
        first, again = _ask(sock, chosen), _ask(sock, chosen)
        listing = gateway.begin_json("contacts", "ls")
        meanwhile: list[float] = []
        began = time.perf_counter()
        while listing.poll() is None:
            meanwhile += _ask(sock, [chosen[len(meanwhile) % len(chosen)]])
            time.sleep(0.001)
        seconds = time.perf_counter() - began
        gateway.processes.end(listing)
    return {
        "p50": statistics.median(first),
        "dns": _p99(first),
        "again": _p99(again),
        "meanwhile": _p99(meanwhile),
        "status": seconds,
    }


def _ask(sock: socket.socket, names: Sequence[str]) -> list[float]:
    """Milliseconds that each of these takes, one after the other."""
    taken = []
    for name in names:
        query = DNSRecord.question(name).pack()
        began = time.perf_counter()
        sock.send(query)
        reply = sock.recv(2000)
        taken.append((time.perf_counter() - began) * 1e3)
        if not DNSRecord.parse(reply).rr:
            raise Unavailable(f"the DNS server does not know {name}")
    return taken


def _echoes(place: str) -> list[float]:
    """Milliseconds that each of as many echoes takes: what this machine takes of the time by itself."""
    host, _, port = place.rpartition(":")
    taken = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect((host, int(port)))
        for _ in range(ASKED):
            began = time.perf_counter()
            sock.send(bytes(40))
            sock.recv(2000)
            taken.append((time.perf_counter() - began) * 1e3)
    return taken


async def _records(home: Home, known: Known) -> dict[str, float]:
    """The resolver's client over the same home, as the gateway joins them, with nobody else to ask."""
    supervisor = Supervisor()
    state = await asyncio.to_thread(
        KeptState, home, lambda coroutine, name: supervisor.spawn(coroutine, name=name)
    )
    book = await asyncio.to_thread(ContactBook, home, {})
    kept = await asyncio.to_thread(KeptRecords, state, book.is_contact, time.time)  # noqa: TID251 - likewise

    client = ResolverClient(
        (),
        RecordCache(),
        typed_addresses=lambda _: (),
        clock=time.time,  # noqa: TID251 - likewise
        kept=lambda each: tuple(filter(None, (book.ticket_of(each), kept.get(each)))),
        find_kept=kept.find,
    )
    figures = {}
    for kind, who in (("contact", known.contacts), ("stranger", known.strangers)):
        taken = []
        for endpoint_id in random.Random(2).sample(who, min(ASKED, len(who))):
            began = time.perf_counter()
            addresses = await client.addresses_of(endpoint_id)
            taken.append((time.perf_counter() - began) * 1e3)
            if not addresses:
                raise Unavailable("a record that was kept is not found")
        figures[kind] = _p99(taken)
    await kept.close()
    await state.close()
    await supervisor.close()
    return figures


def _p99(taken: Sequence[float]) -> float:
    return statistics.quantiles(taken, n=100)[-1]
