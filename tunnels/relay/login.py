"""How a gateway proves its id to a beacon, and a beacon its own: one signature each over both nonces. Sans-IO.

The gateway's signature names the beacon's id and the host it believes to be connected to, so that it is good for no
other beacon; the nonces make it good once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tunnels.errors import WrongIdentity
from tunnels.identity import EndpointId
from tunnels.relay.frames import Challenge, Hello, Welcome

if TYPE_CHECKING:
    from tunnels.addresses import BeaconUrl
    from tunnels.identity import SecretKey

NONCE_BYTES: Final = 16
_GATEWAY: Final = b"overlay relay login v1 gateway\0"
_BEACON: Final = b"overlay relay login v1 beacon\0"


def hello(secret_key: SecretKey, challenge: Challenge, nonce: bytes, url: BeaconUrl, version: str) -> Hello:
    """The gateway's answer to a challenge from the beacon at `url`; WrongIdentity if it is another's."""
    if url.beacon_id is not None and challenge.beacon != str(url.beacon_id):
        raise WrongIdentity(f"the beacon at {url.origin} is {challenge.beacon}, not {url.beacon_id}")
    signed = _signed(_GATEWAY, challenge, secret_key.endpoint_id, nonce, url.authority)
    return Hello(
        id=str(secret_key.endpoint_id),
        nonce=nonce,
        signature=secret_key.sign(signed),
        authority=url.authority,
        version=version,
        takes_mail=True,
    )


def check_hello(said: Hello, challenge: Challenge) -> EndpointId:
    """Who the gateway is; WrongIdentity if it cannot prove it, or meant another beacon."""
    try:
        endpoint_id = EndpointId.parse(said.id)
        signed = _signed(_GATEWAY, challenge, endpoint_id, said.nonce, said.authority)
    except ValueError as error:
        raise WrongIdentity(str(error)) from None
    if not endpoint_id.verify(signed, said.signature):
        raise WrongIdentity("the signature is not that endpoint's, or was made for another beacon")
    return endpoint_id


def welcome_signature(beacon_key: SecretKey, said: Hello, challenge: Challenge) -> bytes:
    """The beacon's proof that it is who the challenge named."""
    endpoint_id = EndpointId.parse(said.id)
    return beacon_key.sign(_signed(_BEACON, challenge, endpoint_id, said.nonce, said.authority))


def check_welcome(welcome: Welcome, said: Hello, challenge: Challenge) -> EndpointId:
    """The beacon's id, proved; WrongIdentity otherwise."""
    try:
        beacon_id = EndpointId.parse(challenge.beacon)
    except ValueError as error:
        raise WrongIdentity(f"the beacon's id cannot be read: {error}") from None
    signed = _signed(_BEACON, challenge, EndpointId.parse(said.id), said.nonce, said.authority)
    if not beacon_id.verify(signed, welcome.signature):
        raise WrongIdentity("the beacon cannot prove the id it gave")
    return beacon_id


def _signed(
    label: bytes, challenge: Challenge, gateway: EndpointId, gateway_nonce: bytes, authority: str
) -> bytes:
    beacon = EndpointId.parse(challenge.beacon)
    return label + beacon.key + challenge.nonce + gateway.key + gateway_nonce + authority.encode()
