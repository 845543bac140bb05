"""What leaves the machine of somebody who configured nothing: no name of hers, wherever a gateway tells of itself."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Final

import pytest

from resolver.records import EndpointRecord
from resolver.signed_packets import SignedPacket
from resolver.tickets import read_ticket
from tests.lab.dht import NpmNodes, npm_packages
from tests.lab.gateways import OVERLAY, GatewayProcess, wait_until
from tests.lab.lans import a_lan, gateway_on
from tests.lab.pkarr_relay import PkarrRelay
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.lans import LanMachine

pytestmark = [pytest.mark.needs("root", "ip", "node", "npm"), pytest.mark.timeout(120)]

_ALL_PROTOCOLS: Final = 0x0300
"""ETH_P_ALL, in the order of the network."""
HOSTNAME: Final = "annas-laptop"
PROGRAM: Final = (
    "unshare",
    "--uts",
    "sh",
    "-c",
    f'hostname {HOSTNAME}.home.example && exec "$@"',
    "sh",
    OVERLAY,
)
"""On a machine with that name, whoever asks for it."""
TRACES: Final = {"hostname": (b"annas", b"laptop"), "user": (b"annabel",), "diary": (b"diary",)}


@contextlib.contextmanager
def overheard(machine: LanMachine) -> Iterator[list[bytes]]:
    """Every packet on every interface of the machine, until the context ends."""
    packets: list[bytes] = []
    with machine.entered():
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, _ALL_PROTOCOLS)  # type: ignore[attr-defined,unused-ignore]
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    ear.settimeout(0.1)
    is_over = threading.Event()

    def listen() -> None:
        while not is_over.is_set():
            with contextlib.suppress(TimeoutError):
                packets.append(ear.recv(65536))

    thread = threading.Thread(target=listen, name="ear")
    thread.start()
    try:
        yield packets
    finally:
        is_over.set()
        thread.join()
        ear.close()


def traces(packets: list[bytes], endpoint_id: str) -> set[str]:
    """Which of the TRACES are in the packets; the id, which may hold any letters, is left out."""
    told = [packet.lower().replace(endpoint_id.encode(), b"") for packet in packets]
    return {what for what, forms in TRACES.items() if any(form in data for data in told for form in forms)}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("", set()),
        (f'[gateway]\nnickname = "{HOSTNAME}"\n', set()),
        (
            f'[gateway]\nnickname = "{HOSTNAME}"\n[publish]\nlan = ["addresses", "nickname"]\n',
            {"hostname"},
        ),
    ],
    ids=["nothing is configured", "a nickname for tickets", "a nickname for the local network"],
)
async def test_no_name_of_its_owner_leaves_the_machine_unless_it_is_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str, told: set[str]
) -> None:
    await asyncio.to_thread(npm_packages)
    for variable in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(variable, "annabel")
    with a_lan() as lan:
        annas, bobs = lan.machine(), lan.machine()
        async with NpmNodes(8, namespace=annas) as nodes, PkarrRelay(namespace=annas) as relay:
            places = ", ".join(f'"127.0.0.1:{port}"' for port in nodes.ports[:2])
            config += f'[beacons]\nrecords = ["{relay.url}"]\n[dht]\nprivate = true\nbootstrap = [{places}]\n'
            anna = gateway_on(annas, tmp_path / "a", "", "--dht", "on", config=config, program=PROGRAM)
            at = anna._flags.index("--nickname")
            del anna._flags[at : at + 2]
            bob = gateway_on(bobs, tmp_path / "b", "bob")
            with overheard(annas) as packets:
                try:
                    await asyncio.to_thread(bob.start)
                    await asyncio.to_thread(anna.start)
                    await asyncio.to_thread(_be_found, anna, bob)
                    id = EndpointId.parse(anna.id)
                    async with asyncio.timeout(30):
                        while not (  # noqa: ASYNC110 - neither place has an event
                            await nodes.kept(id) and b"blog" in relay.payloads.get(anna.id, b"")
                        ):
                            await asyncio.sleep(0.05)
                    read = await nodes.do("resolve", key=id.key.hex())
                    ticket = read_ticket((await asyncio.to_thread(anna.json, "ticket"))["ticket"], 0)
                    await asyncio.to_thread(anna.stop)  # its last words, too
                finally:
                    await asyncio.to_thread(anna.kill)
                    await asyncio.to_thread(bob.kill)
    assert ticket.record.nickname == HOSTNAME, "there is a name to hide"
    assert traces(packets, anna.id) == told
    heard = b"".join(packets)
    for sign in (id.key, b"_overlay", b"OVLN", b"1:q3:put", b"PUT /"):
        assert sign in heard, f"{sign!r}: all that it says was overheard"
    record = EndpointRecord.from_packet(SignedPacket.parse_payload(id, bytes.fromhex(read["payload"])))
    assert (record.nickname, record.addresses, record.relays) == (None, (), ())


def _be_found(anna: GatewayProcess, bob: GatewayProcess) -> None:
    """Anna offers something to all and something to few, and is heard and reached by bob."""
    anna.run("expose", "blog", "8000", "--public")
    anna.run("expose", "diary", "8001", "--allow", "contacts")
    wait_until(lambda: bob.json("status")["local_network"]["heard"] == 1, what="bob hears anna")
    bob.run("ping", anna.id, "-c", "1")
