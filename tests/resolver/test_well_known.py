"""Ports by name."""

import pytest

from resolver.names import check_service_name
from resolver.well_known import WELL_KNOWN_PORTS, is_known_as, well_known_port


def test_web_and_http_are_port_80() -> None:
    assert well_known_port("web") == well_known_port("http") == 80
    assert well_known_port("nobody-knows") is None


def test_every_name_in_the_table_is_a_service_name_with_a_port() -> None:
    for name, port in WELL_KNOWN_PORTS.items():
        assert check_service_name(name) == name
        assert 0 < port < 65536


@pytest.mark.parametrize(
    ("label", "service", "port", "known"),
    [
        ("web", "web", 8000, True),
        ("http", "web", 8000, True),
        ("http", "blog", 80, True),
        ("http", "blog", 8000, False),
        ("https", "web", 80, False),
        ("shop", "blog", 80, False),
        ("domain", "dns", 53, True),
    ],
)
def test_a_service_is_known_by_its_name_its_port_and_its_other_names(
    label: str, service: str, port: int, known: bool
) -> None:
    assert is_known_as(label, service, port) is known
