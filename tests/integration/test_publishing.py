"""What a real gateway tells of its owner where anybody may read it: nothing, unless it is told to."""

from __future__ import annotations

import asyncio
import getpass
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from resolver.records import EndpointRecord
from resolver.signed_packets import SignedPacket
from resolver.tickets import read_ticket
from tests.lab.gateways import GatewayProcess, wait_until
from tests.lab.pkarr_relay import PkarrRelay
from tunnels.addresses import Address
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from pathlib import Path

HOSTNAME = "annas-laptop.home.example"
PROGRAM = (
    sys.executable,
    "-c",
    f"import socket; socket.gethostname = lambda: {HOSTNAME!r}\nfrom gateway.cli import main; main()",
)


class Anna:
    """A gateway on a machine with that name, listening on all its addresses, with its own beacon."""

    def __init__(self, home: Path, relay: PkarrRelay, config: str = "") -> None:
        self.relay = relay
        self.gateway = GatewayProcess(
            home,
            *("--beacon", str(relay.url)),
            nickname="not used",
            bind=("0.0.0.0",),
            program=PROGRAM,
            config=config,
        )
        flags = self.gateway._flags
        at = flags.index("--nickname")
        del flags[at : at + 2]

    async def published(self, after: int = 0) -> bytes:
        """The payload that it put at its beacon, once it is later than that."""
        while True:
            payload = self.relay.payloads.get(self.gateway.id, b"")
            if payload and self.packet(payload).timestamp > after:
                return payload
            await asyncio.sleep(0.02)

    def packet(self, payload: bytes) -> SignedPacket:
        return SignedPacket.parse_payload(EndpointId.parse(self.gateway.id), payload)

    async def traces(self) -> dict[str, list[bytes]]:
        """What would give its owner away: names, and the addresses of the machine, as text and as bytes."""
        ticket = await asyncio.to_thread(self.gateway.json, "ticket")
        ips = {Address.parse(text).ip for text in ticket["addresses"]} | {ip_address("127.0.0.1")}
        return {
            "hostname": [b"annas", b"laptop"],
            "user": [getpass.getuser().encode()],
            "addresses": [form for ip in ips for form in (str(ip).encode(), ip.packed)],
        }


def found(traces: dict[str, list[bytes]], data: bytes, gateway_id: str) -> set[str]:
    """Which of the traces are in the data; the id, which may hold any letters, is left out."""
    text = data.lower().replace(gateway_id.encode(), b"")
    return {what for what, forms in traces.items() if any(form in text for form in forms)}


async def test_nothing_personal_is_put_at_a_beacon(tmp_path: Path) -> None:
    async with PkarrRelay() as relay:
        anna = Anna(tmp_path / "anna", relay)
        await asyncio.to_thread(anna.gateway.start)
        try:
            first = anna.packet(await anna.published())
            await asyncio.to_thread(anna.gateway.run, "expose", "blog", "127.0.0.1:8000", "--public")
            await asyncio.to_thread(
                anna.gateway.run, "expose", "diary", "127.0.0.1:8001", "--allow", "contacts"
            )
            payload = await anna.published(after=first.timestamp)
            traces = await anna.traces()
            own_ips = {
                Address.parse(text).ip
                for text in (await asyncio.to_thread(anna.gateway.json, "ticket"))["addresses"]
            }
            ticket = read_ticket((await asyncio.to_thread(anna.gateway.json, "ticket"))["ticket"], 0)
            names = {what: forms for what, forms in traces.items() if what != "addresses"}
            for head in relay.heads:
                assert found(names, head, anna.gateway.id) == set()
            (beacon,) = EndpointRecord.from_packet(anna.packet(payload)).relays
            told = payload.replace(str(beacon).encode(), b"")  # the beacon is on this machine, too
            assert found(traces, told, anna.gateway.id) == set()
            assert b"diary" not in payload
            assert b"blog" in payload
            assert own_ips, "there is something to hide"
            assert found(traces, ticket.packet.packet, anna.gateway.id) >= {"hostname", "addresses"}, (
                "it would be found if it were there"
            )
        finally:
            await asyncio.to_thread(anna.gateway.stop)


@pytest.mark.parametrize(
    ("config", "nickname"),
    [
        ('[publish]\npublic = ["relays", "nickname"]\n', None),
        ('[gateway]\nnickname = "anna"\n', None),
        ('[gateway]\nnickname = "anna"\n[publish]\npublic = ["relays", "nickname"]\n', "anna"),
    ],
)
async def test_a_nickname_is_published_if_it_was_chosen_and_is_to_be(
    tmp_path: Path, config: str, nickname: str | None
) -> None:
    async with PkarrRelay() as relay:
        anna = Anna(tmp_path / "anna", relay, config)
        await asyncio.to_thread(anna.gateway.start)
        try:
            record = EndpointRecord.from_packet(anna.packet(await anna.published()))
            assert (record.nickname, record.addresses, record.relays) == (nickname, (), (relay.url,))
        finally:
            await asyncio.to_thread(anna.gateway.stop)


async def test_it_is_told_what_is_where_and_a_changed_policy_takes_effect_at_once(tmp_path: Path) -> None:
    async with PkarrRelay() as relay:
        anna = Anna(tmp_path / "anna", relay)
        await asyncio.to_thread(anna.gateway.start)
        try:
            first = anna.packet(await anna.published())

            def places() -> list[dict[str, object]]:
                (public, _) = anna.gateway.json("status", "--published")
                return [each for each in public["places"] if each["published_ago"] is not None]

            (place,) = await asyncio.to_thread(wait_until, places)
            assert place["place"] == relay.url.origin
            assert place["problem"] == ""
            assert 0 < place["next_in"] <= 3600 < place["good_for"] <= 7 * 86400
            config = anna.gateway.home / "gateway.toml"
            await asyncio.to_thread(
                config.write_text,
                '[tunnels]\naddresses = ["203.0.113.7:7777"]\n[publish]\npublic = ["addresses"]\n',
            )
            await asyncio.to_thread(anna.gateway.run, "reload")
            record = EndpointRecord.from_packet(anna.packet(await anna.published(after=first.timestamp)))
            assert (list(map(str, record.addresses)), record.relays) == (["203.0.113.7:7777"], ())
            await asyncio.to_thread(config.write_text, "[publish]\npublic = []\n")
            await asyncio.to_thread(anna.gateway.run, "reload")
            public, _ = await asyncio.to_thread(anna.gateway.json, "status", "--published")
            assert public["why_not"] == "[publish] public is empty"
            assert [each["next_in"] for each in public["places"]] == [None]
        finally:
            await asyncio.to_thread(anna.gateway.stop)
