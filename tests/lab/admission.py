"""What stands at the server's door: asks each client for a token first, then lets a server engine begin."""

from __future__ import annotations

from tests.lab.quic import EnginePair
from tunnels.addresses import Address
from tunnels.quic.certificates import make_certificate
from tunnels.quic.engines import make_factory
from tunnels.quic.packets import RetryTokens, parse_initial

CLIENT_AT = Address.of("192.0.2.1", 7777)


class Doorkeeper:
    """The wire's second end until a client comes back with its token; then the server engine takes its place."""

    def __init__(self, pair: EnginePair) -> None:
        self._pair = pair
        self._answers: list[bytes] = []
        self._tokens = RetryTokens(b"k" * 16)
        self.retries = 0
        self._server: EnginePair._Draining | None = None

    def receive_datagrams(self, datagrams: list[bytes], now: float) -> None:
        for datagram in datagrams:
            initial = parse_initial(datagram)
            if self._server is not None:
                self._server.receive_datagrams([datagram], now)
            elif initial is not None:
                original = self._tokens.original_id(initial, CLIENT_AT, now)
                if original is None:
                    self.retries += 1
                    chance = bytes([self.retries])
                    self._answers.append(
                        self._tokens.retry_packet(initial, CLIENT_AT, chance * 8, chance * 12, now)
                    )
                else:
                    self._begin(original, initial.destination_connection_id)
                    self._server.receive_datagrams([datagram], now)

    def _begin(self, original: bytes, retry_id: bytes) -> None:
        pair = self._pair
        pair.server = make_factory(pair.server_name).server(
            make_certificate(pair.server_key),
            pair.idle_timeout,
            original_destination_connection_id=original,
            retry_source_connection_id=retry_id,
        )
        self._server = EnginePair._Draining(pair.server, pair.at_server)

    def datagrams_to_send(self, now: float) -> list[bytes]:
        answers, self._answers = self._answers, []
        return answers + (self._server.datagrams_to_send(now) if self._server else [])

    def get_timer(self) -> float | None:
        return self._server.get_timer() if self._server else None

    def handle_timer(self, now: float) -> None:
        if self._server:
            self._server.handle_timer(now)
