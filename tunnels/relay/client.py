"""A gateway's side of the relay protocol: the login, then frames to events. Sans-IO.

::

    beacon  → Challenge        who it says it is; `Challenged` lets the caller go away before anything is said
    gateway → Hello            the id, proved (see `login`)
    beacon  → Welcome          proved as well; from here on datagrams and messages may go both ways
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.errors import ProtocolViolation, Unreachable
from tunnels.identity import EndpointId
from tunnels.relay import frames, login

if TYPE_CHECKING:
    from tunnels.addresses import BeaconUrl
    from tunnels.identity import SecretKey


@dataclass(frozen=True, slots=True)
class Challenged:
    """The beacon said who it is; `RelayClient.answer` makes the next step."""

    beacon_id: EndpointId


@dataclass(frozen=True, slots=True)
class Welcomed:
    """Both are who they say."""

    welcome: frames.Welcome
    beacon_id: EndpointId


@dataclass(frozen=True, slots=True)
class DatagramsReceived:
    """Datagrams from an endpoint; urgent ones are path messages."""

    sender: EndpointId
    datagrams: list[bytes]
    urgent: bool


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A sealed message."""

    sender: EndpointId
    body: bytes


@dataclass(frozen=True, slots=True)
class MailReceived:
    """Something of one who met us, or whom we met, by a spoken code."""

    sender: EndpointId
    body: bytes


@dataclass(frozen=True, slots=True)
class EndpointAbsent:
    """What was sent to that endpoint could not be passed on: it is not connected to this beacon."""

    endpoint_id: EndpointId


RelayEvent = (
    Challenged
    | Welcomed
    | DatagramsReceived
    | MessageReceived
    | MailReceived
    | EndpointAbsent
    | frames.Online
    | frames.Turn
    | frames.Dialled
    | frames.Plated
    | frames.Claimed
    | frames.TopicsKept
    | frames.IsIn
    | frames.Receipt
    | frames.Refused
    | frames.Leaving
)


class RelayClient:
    """One connection's protocol; `nonce` is 16 bytes of chance."""

    __slots__ = ("_challenge", "_hello", "_nonce", "_secret_key", "_url", "_version", "welcome")

    def __init__(self, secret_key: SecretKey, url: BeaconUrl, nonce: bytes, version: str = "") -> None:
        self._secret_key = secret_key
        self._url = url
        self._nonce = nonce
        self._version = version
        self._challenge: frames.Challenge | None = None
        self._hello: frames.Hello | None = None
        self.welcome: frames.Welcome | None = None
        """What the beacon said when it let us in; None before."""

    def answer(self) -> str:
        """The Hello, as a text frame, once the beacon challenged us; WrongIdentity if it is not the one meant."""
        if self._challenge is None:
            raise ProtocolViolation("the beacon has not said who it is")
        self._hello = login.hello(self._secret_key, self._challenge, self._nonce, self._url, self._version)
        return frames.encode_text(self._hello)

    def receive_text(self, text: str) -> RelayEvent:
        """What a text frame says; ProtocolViolation or WrongIdentity end the connection, Unreachable is a refused login."""
        if len(text) > limits.RELAY_TEXT:
            raise ProtocolViolation(f"the beacon sent a text frame of {len(text)} characters")
        said = frames.read_from_beacon(text)
        if self.welcome is not None:
            if isinstance(said, (frames.Challenge, frames.Welcome)):
                raise ProtocolViolation("the beacon began its login anew")
            return said
        if isinstance(said, frames.Refused):
            raise Unreachable(f"it refuses us: {one_line(said.reason)}")
        if isinstance(said, frames.Challenge) and self._challenge is None:
            self._challenge = said
            return Challenged(_id(said.beacon))
        if isinstance(said, frames.Welcome) and self._hello is not None and self._challenge is not None:
            beacon_id = login.check_welcome(said, self._hello, self._challenge)
            self.welcome = said
            return Welcomed(said, beacon_id)
        raise ProtocolViolation("the beacon does not keep to the order of the login")

    def receive_binary(self, frame: bytes) -> RelayEvent:
        """What a binary frame carries; ProtocolViolation ends the connection."""
        if self.welcome is None:
            raise ProtocolViolation("the beacon sent datagrams before its welcome")
        kind, endpoint_id, body = frames.decode(frame)
        match kind:
            case frames.FrameKind.DATA | frames.FrameKind.PATH:
                urgent = kind is frames.FrameKind.PATH
                return DatagramsReceived(endpoint_id, frames.datagrams_of(body), urgent)
            case frames.FrameKind.MESSAGE:
                if len(body) > limits.RELAY_MESSAGE:
                    raise ProtocolViolation(f"the beacon sent a message of {len(body)} bytes")
                return MessageReceived(endpoint_id, body)
            case frames.FrameKind.MAIL:
                if len(body) > limits.RELAY_MESSAGE:
                    raise ProtocolViolation(f"the beacon sent mail of {len(body)} bytes")
                return MailReceived(endpoint_id, body)
            case frames.FrameKind.ABSENT:
                return EndpointAbsent(endpoint_id)


def _id(text: str) -> EndpointId:
    try:
        return EndpointId.parse(text)
    except ValueError as error:
        raise ProtocolViolation(f"the beacon's id cannot be read: {error}") from None


def one_line(words: str) -> str:
    """A beacon's words, safe in a log and on a terminal."""
    return "".join(character if character.isprintable() else " " for character in words) or "no reason given"
