"""The lines that tell somebody what to open."""

import pytest

from gateway.config import ServiceSettings
from gateway.expose.services import Service
from gateway.urls import join_command, service_url, url_of, use_command
from resolver.names import ServiceProtocol

TCP, UDP = ServiceProtocol.TCP, ServiceProtocol.UDP


@pytest.mark.parametrize(
    ("port", "protocols", "url"),
    [
        (80, [TCP], "http://h/"),
        (443, [TCP], "https://h/"),
        (22, [TCP], "ssh://h/"),
        (8000, [TCP, UDP], "http://h:8000/"),
        (5432, [TCP], ""),
        (80, [UDP], ""),
    ],
)
def test_a_port_says_what_to_open_or_nothing(port, protocols, url):
    assert url_of("h", port, protocols) == url


@pytest.mark.parametrize(
    ("name", "settings", "begins"),
    [
        ("web", {"target": "8000"}, "curl --proxy socks5h://127.0.0.1:1080 http://web.a.overlay/"),
        ("ssh", {"target": "22"}, "ssh -o ProxyCommand='nc -X 5 -x 127.0.0.1:1080 %h %p' ssh.a.overlay"),
        ("db", {"target": "5432"}, "nc -X 5 -x 127.0.0.1:1080 db.a.overlay 5432"),
        ("game", {"target": "9999/udp"}, "overlay resolve game.a.overlay"),
    ],
)
def test_the_other_side_is_told_a_command_that_fits(name, settings, begins):
    service = Service.of(name, ServiceSettings(**settings))
    assert use_command(f"{name}.a.overlay", service) == begins
    assert service_url("h", service) in (url_of("h", service.first_port, service.protocols), "")


def test_a_ticket_without_a_nickname_needs_a_name():
    assert join_command("overlay:t1x", "alice") == "overlay join overlay:t1x"
    assert join_command("overlay:t1x", "").endswith("--name NAME")
