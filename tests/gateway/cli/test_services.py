"""`overlay expose` tells how others get there and how to undo it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Overlay


async def test_expose_prints_the_url_the_other_sides_commands_and_the_undo_line(overlay: Overlay) -> None:
    done = await overlay("expose", "web", "127.0.0.1:8000", "--allow", "alice")
    assert done.code == 0
    assert "web: 127.0.0.1:8000 is offered as port 80/tcp to alice." in done.out
    assert "http://web.me.overlay/" in done.out
    assert "overlay join TICKET" in done.out
    assert "curl --proxy socks5h://127.0.0.1:1080" in done.out
    assert f"overlay --home {overlay.home.path} unexpose web" in done.out
    assert done.err == ""


async def test_expose_warns_when_nobody_is_allowed(overlay: Overlay) -> None:
    done = await overlay("expose", "web", "8000")
    assert "to nobody yet" in done.out
    assert "overlay join" not in done.out, "a ticket leads them to a service that refuses them"
    assert "overlay invite --service web" in done.out.replace(f"--home {overlay.home.path} ", "")
    assert done.err == "warning: nobody may use it yet; add --allow NAME\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ("tcp",)),
        (["--tcp"], ("tcp",)),
        (["--udp"], ("udp",)),
        (["--tcp", "--udp"], ("tcp", "udp")),
    ],
)
async def test_the_flags_choose_the_protocols(
    overlay: Overlay, words: list[str], expected: tuple[str, ...]
) -> None:
    await overlay("expose", "web", "8000", *words)
    assert overlay.gateway.exposed["web"].settings.protocols == expected


async def test_every_option_reaches_the_gateway(overlay: Overlay) -> None:
    options = ["--port", "81", "--allow", "alice", "--allow", "bob", "--public", "--proxy-protocol"]
    options += ["--endpoint-header", "--host-header", "localhost:3000"]
    assert (await overlay("expose", "web", "unix:/run/x", *options)).code == 0
    settings = overlay.gateway.exposed["web"].settings
    assert (settings.target, settings.port, settings.allow, settings.public) == (
        "unix:/run/x",
        81,
        ("alice", "bob"),
        True,
    )
    assert (settings.proxy_protocol, settings.http_endpoint_header) == ("v2", True)
    assert settings.host_header == "localhost:3000"


async def test_what_makes_no_sense_is_refused(overlay: Overlay) -> None:
    done = await overlay("expose", "web", "1", "--host-header", "a\r\nb")
    assert (done.code, done.out) == (2, "")
    assert "cannot stand in an HTTP header" in done.err
    done = await overlay("expose", "we_b", "1")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("overlay: expose: 'we_b' is not a name;")


async def test_services_are_listed_and_taken_away(overlay: Overlay) -> None:
    assert "Nothing is offered yet" in (await overlay("services")).err
    await overlay("expose", "web", "127.0.0.1:8000", "--public")
    listed = (await overlay("services")).out.splitlines()
    assert [line.split() for line in listed] == [
        ["name", "port", "target", "for", "set", "by"],
        ["web", "80/tcp", "127.0.0.1:8000", "everybody", "command"],
    ]
    assert (await overlay("services", "--json")).json[0]["settings"]["target"] == "127.0.0.1:8000"
    assert "no longer offered" in (await overlay("unexpose", "web")).out
    done = await overlay("unexpose", "web")
    assert (done.code, done.err) == (
        2,
        "overlay: unexpose: no service is called web; see `overlay services`\n",
    )


async def test_json_is_only_json(overlay: Overlay) -> None:
    done = await overlay("expose", "web", "8000", "--json")
    assert done.json["url"] == "http://web.me.overlay/"
    assert done.err == ""
    assert (await overlay("unexpose", "web", "--json")).json["name"] == "web"
