"""pkarr signed packets, against vectors of the npm package and against the package itself where it is installed."""

import json
import os
import subprocess

import pytest
from dnslib import DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import BadSignature, MalformedRecord, RecordTooLarge
from resolver.signed_packets import LARGEST, LOCAL, SignedPacket, newer_of, signable
from tests.lab.resolver_keys import NPM_PKARR, key, local_packet, packet
from tunnels.identity import SecretKey

SEED = bytes(range(32))
NODE_READS = """
import { SignedPacket } from 'pkarr'
const data = Buffer.from(process.argv[1], 'hex')
const p = SignedPacket.fromBytes(data.subarray(0, 32), data.subarray(32))
console.log(JSON.stringify({ timestamp: p.timestamp(), answers: p.packet().answers.map(a => [a.name, a.type]) }))
"""


def test_the_vector_of_the_npm_package_is_read_and_written_back() -> None:
    read = SignedPacket.parse(NPM_PKARR)
    assert str(read.endpoint_id) == "yqooxx9u3aemh8mo5wcqq16yufu6jitouq1o4za751dger1igghy"
    assert read.timestamp == 1_700_000_000_000_001
    assert read.to_bytes() == NPM_PKARR
    assert [str(entry.rname) for entry in DNSRecord.parse(read.packet).rr] == [
        f"_overlay.{read.endpoint_id}.",
        f"_web._tcp.{read.endpoint_id}.",
    ]


def test_signing_the_same_gives_the_same_bytes_as_the_npm_package() -> None:
    read = SignedPacket.parse(NPM_PKARR)
    assert SignedPacket.sign(SecretKey(SEED), read.timestamp, read.packet).to_bytes() == NPM_PKARR


# Not a skip where the variable is unset: the vector above already holds both ways, byte for byte.
if "PKARR_NODE_MODULES" in os.environ:

    def test_the_npm_package_reads_what_we_sign() -> None:
        """The variable names a directory in which `npm install pkarr@1.3.0` was run."""
        ours = packet(nickname="alice")
        output = subprocess.run(
            ["node", "--input-type=module", "-e", NODE_READS, ours.to_bytes().hex()],
            cwd=os.environ["PKARR_NODE_MODULES"],
            capture_output=True,
            check=True,
            text=True,
            timeout=30,
        ).stdout
        assert json.loads(output) == {
            "timestamp": ours.timestamp,
            "answers": [[f"_overlay.{ours.endpoint_id}", "TXT"]],
        }


def test_the_signature_covers_the_bep44_form() -> None:
    assert signable(17, b"dns") == b"3:seqi17e1:v3:dns"


def test_the_relay_payload_is_the_packet_without_its_key() -> None:
    ours = packet()
    assert ours.to_bytes() == ours.endpoint_id.key + ours.to_payload()
    assert SignedPacket.parse_payload(ours.endpoint_id, ours.to_payload()) == ours


def test_a_payload_for_another_key_is_refused() -> None:
    with pytest.raises(BadSignature, match="get it from its owner again"):
        SignedPacket.parse_payload(key(2).endpoint_id, packet(1).to_payload())


@given(st.integers(0, len(NPM_PKARR) - 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed(position: int, change: int) -> None:
    damaged = bytearray(NPM_PKARR)
    damaged[position] ^= change
    with pytest.raises(BadSignature):
        SignedPacket.parse(bytes(damaged))


@given(st.binary(max_size=LARGEST + 10))
def test_random_bytes_are_refused_with_a_record_error(data: bytes) -> None:
    with pytest.raises((MalformedRecord, BadSignature)):
        SignedPacket.parse(data)


@pytest.mark.parametrize("size", [*range(104), LARGEST + 1])
def test_too_short_and_too_long_are_refused(size: int) -> None:
    with pytest.raises(MalformedRecord, match=str(size)):
        SignedPacket.parse(bytes(size))


def test_a_packet_of_a_thousand_bytes_of_others_is_read_and_ours_stay_below_the_bep44_limit() -> None:
    secret = key(1)
    signature = secret.sign(signable(5, bytes(1000)))
    data = secret.endpoint_id.key + signature + (5).to_bytes(8) + bytes(1000)
    assert SignedPacket.parse(data).packet == bytes(1000)
    assert len(b"996:" + SignedPacket.sign(secret, 5, bytes(996)).packet) == 1000
    with pytest.raises(RecordTooLarge, match="4 bytes too large") as error:
        SignedPacket.sign(secret, 5, bytes(1000))
    assert error.value.excess == 4


@given(st.integers(0, 2**63 - 1), st.binary(max_size=996))
def test_what_is_signed_reads_back(timestamp: int, data: bytes) -> None:
    signed = SignedPacket.sign(key(3), timestamp, data)
    assert SignedPacket.parse(signed.to_bytes()) == signed


@given(*[st.tuples(st.integers(0, 3), st.binary(max_size=2))] * 2)
def test_of_two_packets_both_sides_agree_which_is_newer(
    first: tuple[int, bytes], second: tuple[int, bytes]
) -> None:
    a, b = (SignedPacket.sign(key(1), *arguments) for arguments in (first, second))
    assert newer_of(a, b) == newer_of(b, a)
    assert newer_of(a, b).timestamp == max(a.timestamp, b.timestamp)


@given(data=st.binary(max_size=LARGEST + 10))
def test_of_what_we_kept_ourselves_any_bytes_are_a_packet_or_malformed(data: bytes) -> None:
    """Not verified: what was verified before is read quicker."""
    try:
        read = SignedPacket.trusted(data)
    except MalformedRecord:
        assert not 104 <= len(data) <= LARGEST
    else:
        assert read.to_bytes() == data


def test_a_packet_that_was_kept_is_the_same_packet() -> None:
    assert SignedPacket.trusted(packet().to_bytes()) == packet()


def test_what_is_signed_for_our_own_networks_is_nothing_for_anybody_else() -> None:
    """Who heard it there could else put it at a beacon or into the DHT, as the newest record of its owner."""
    here = local_packet()
    assert SignedPacket.parse(here.to_bytes(), salt=LOCAL) == here
    with pytest.raises(BadSignature):
        SignedPacket.parse(here.to_bytes())
    with pytest.raises(BadSignature):
        SignedPacket.parse(packet().to_bytes(), salt=LOCAL)
