"""Services that fit together, and a book without contradictions."""

from __future__ import annotations

import pytest

from gateway.config.settings import ServiceSettings
from gateway.errors import StateError, UsageError
from gateway.expose.services import Service, ServiceBook, default_port
from gateway.expose.targets import IpTarget, parse_target
from gateway.limits import SERVICE_ALLOWED, SERVICES
from resolver.names import ServiceProtocol

TCP, UDP = ServiceProtocol.TCP, ServiceProtocol.UDP


def make(name: str, target: str, **settings: object) -> Service:
    return Service.of(name, ServiceSettings(target=target, **settings))


@pytest.mark.parametrize(
    ("name", "target", "port"),
    [
        ("web", "8000", 80),
        ("https", "8443", 443),
        ("ssh", "unix:/run/s", 22),
        ("files", "8000", 8000),
        ("web", "5000-5100", 5000),
        ("files", "5000-5100", 5000),
    ],
)
def test_the_default_port_is_that_of_the_name_or_of_the_target(name, target, port) -> None:
    assert default_port(name, parse_target(target)[0]) == port


def test_a_unix_socket_with_a_name_that_says_nothing_needs_a_port() -> None:
    with pytest.raises(UsageError, match="--port"):
        make("files", "unix:/run/x")
    assert make("files", "unix:/run/x", port=99).first_port == 99


def test_a_service_is_what_was_typed_and_can_be_typed_again() -> None:
    service = make(
        "Web", "5000-5002", port=80, allow=("alice",), public=True, proxy_protocol="v2",
        http_endpoint_header=True, host_header="localhost",
    )  # fmt: skip
    assert service.name == "web"
    assert service.ports == "80-82"
    assert [service.target_port(port) for port in (80, 81, 82)] == [5000, 5001, 5002]
    assert Service.of("web", service.settings) == service
    assert make("web", "8000").target_port(12345) == 8000


@pytest.mark.parametrize(
    ("name", "target", "settings", "says"),
    [
        ("-web", "80", {}, "cannot name a service"),
        ("high", "5000-5100", {"port": 65500}, "1-65535"),
        ("web", "unix:/x", {"protocols": ("udp",)}, "not UDP"),
        ("web", "53/udp", {"host_header": "x"}, "need TCP"),
        ("web", "53/udp", {"protocols": ("tcp", "udp")}, "contradicts"),
        ("web", "53/udp", {"proxy_protocol": "v2"}, "need TCP"),
    ],
)
def test_parts_that_do_not_fit_are_refused(name, target, settings, says) -> None:
    with pytest.raises(UsageError, match=says):
        make(name, target, **settings)


def test_who_is_allowed_is_bounded() -> None:
    with pytest.raises(UsageError, match="contacts"):
        Service("web", IpTarget("h", 80, 80), 80, 80, allow=("a",) * (SERVICE_ALLOWED + 1))


def test_by_name_any_port_finds_a_service_but_a_range_keeps_its_own() -> None:
    book = ServiceBook()
    for service in (make("web", "8000"), make("games", "5000-5100/udp"), make("dns", "53/tcp+udp")):
        book.add(service)
    assert [s.name for s in book] == ["dns", "games", "web"]

    def found(*question: object) -> str | None:
        service = book.find(*question)
        return service and service.name

    assert found("web", 443, TCP) == "web"
    assert found("web", 80, UDP) is None
    assert found("games", 5050, UDP) == "games"
    assert found("games", 4999, UDP) is None
    assert found("", 80, TCP) == "web"
    assert found("", 8000, TCP) is None
    assert found("", 5100, UDP) == "games"
    assert found("", 5101, UDP) is None
    assert found("", 53, UDP) == found("", 53, TCP) == "dns"
    assert found("nothing", 80, TCP) is None


def test_overlapping_ports_are_refused_and_the_other_is_named() -> None:
    book = ServiceBook()
    book.add(make("games", "5000-5100"))
    book.add(make("udp-games", "5000-5100/udp"))
    with pytest.raises(UsageError, match="games has 5000-5100"):
        book.add(make("other", "5100"))
    book.replace(make("games", "5000-5050"))
    book.add(make("other", "5100"))
    with pytest.raises(UsageError, match="other has 5100"):
        book.replace(make("games", "5000-5100"))
    assert book.get("games").ports == "5000-5050"


def test_names_are_unique_and_removal_frees_them() -> None:
    book = ServiceBook()
    book.add(make("web", "8000"))
    with pytest.raises(UsageError, match="overlay unexpose web"):
        book.add(make("web", "9000"))
    book.replace(make("web", "9000"))
    assert book.remove("web").target == IpTarget("127.0.0.1", 9000, 9000)
    with pytest.raises(UsageError, match="exposed are: none"):
        book.remove("web")


def test_the_book_is_bounded() -> None:
    book = ServiceBook()
    for number in range(SERVICES):
        book.add(make(f"s{number}", str(1000 + number)))
    with pytest.raises(UsageError, match=str(SERVICES)):
        book.add(make("more", "99"))
    assert ServiceBook.from_json(book.to_json()).to_json() == book.to_json()


@pytest.mark.parametrize(
    "saved", [[], {"web": {}}, {"web": {"target": "x"}}, {"web": {"target": "80", "more": 1}}, {"-": {"target": "80"}},
              {"a": {"target": "80"}, "b": {"target": "80"}}, {1: 2}]
)  # fmt: skip
def test_a_damaged_book_says_what_is_wrong(saved: object) -> None:
    with pytest.raises(StateError, match="damaged"):
        ServiceBook.from_json(saved)
