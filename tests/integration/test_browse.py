"""A service exposed on one gateway opens by name on another, with the programs people use."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lab.gateways import clean_environment

pytestmark = pytest.mark.needs("curl", "dig")


def curl(*arguments: str, timeout: float = 40) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "30", *arguments],
        capture_output=True,
        timeout=timeout,
        check=False,
        env=clean_environment(),
    )


def dig(world, *arguments: str) -> str:
    host, _, port = world.bob.listens("dns").rpartition(":")
    done = subprocess.run(
        ["dig", f"@{host}", "-p", port, "+time=5", "+tries=1", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout.strip()


PROXIES = ("socks5h://", "socks4a://", "http://")


@pytest.mark.parametrize("scheme", PROXIES)
def test_a_page_opens_through_the_proxy(world, scheme):
    done = curl("--proxy", scheme + world.bob.listens("proxy"), world.url())
    assert b"Hello from alice" in done.stdout, done.stderr


def test_a_page_opens_through_http_connect(world):
    done = curl("--proxytunnel", "--proxy", f"http://{world.bob.listens('proxy')}", world.url())
    assert b"Hello from alice" in done.stdout, done.stderr


def test_a_page_opens_by_the_endpoints_id_without_a_petname(world):
    url = f"http://web.{world.alice.id}.overlay/"
    done = curl("--proxy", f"socks5h://{world.bob.listens('proxy')}", url)
    assert b"Hello from alice" in done.stdout, done.stderr


def test_a_page_opens_by_the_endpoints_name_and_the_services_port(world):
    done = curl("--proxy", f"socks5h://{world.bob.listens('proxy')}", "http://alice.overlay:80/")
    assert b"Hello from alice" in done.stdout, done.stderr


@pytest.mark.parametrize("scheme", PROXIES)
def test_a_binary_body_goes_there_and_back(world, scheme):
    body = os.urandom(300_000) + b"\r\n\r\n0\r\n"
    done = subprocess.run(
        [
            "curl",
            "-sS",
            "--proxy",
            scheme + world.bob.listens("proxy"),
            "--data-binary",
            "@-",
            world.url("/echo"),
        ],
        input=body,
        capture_output=True,
        timeout=30,
        check=False,
        env=clean_environment(),
    )
    assert done.stdout == body


def test_the_name_resolves_to_a_loopback_address_where_the_page_opens_without_a_proxy(world):
    address = dig(world, "web.alice.overlay", "A", "+short")
    assert address.startswith("127.")
    *_, port, target = dig(world, "_http._tcp.web.alice.overlay", "SRV", "+short").split()
    assert target == "web.alice.overlay."
    done = curl(f"http://{address}:{port}/")
    assert b"Hello from alice" in done.stdout, done.stderr


def test_the_loopback_address_is_the_same_after_a_restart_and_needs_no_dns_query(world):
    before = world.bob.json("resolve", "web.alice")
    world.bob.stop()
    world.bob.start()
    offer = before["offers"][0]
    done = curl(f"http://{before['ip']}:{offer['offered']}/")
    assert b"Hello from alice" in done.stdout, done.stderr
    assert world.bob.json("resolve", "web.alice")["ip"] == before["ip"]


def test_dns_answers_as_a_zone_should(world):
    def status(*arguments: str) -> str:
        return dig(world, *arguments).partition("status: ")[2].partition(",")[0]

    assert status("web.alice.overlay", "AAAA") == "NOERROR"
    assert dig(world, "web.alice.overlay", "AAAA", "+short") == ""
    assert status("nothing.alice.overlay") == "NXDOMAIN"
    assert status("nobody.overlay") == "NXDOMAIN"
    assert status("example.org") == "REFUSED"
    assert world.alice.id in dig(world, "alice.overlay", "TXT", "+short")
    # An HTTPS record would send browsers to https:// (RFC 9460 §9.5), where a plain web server does not answer.
    assert status("web.alice.overlay", "TYPE65") == "NOERROR"
    assert dig(world, "web.alice.overlay", "TYPE65", "+short") == ""
    assert dig(world, "overlay", "SOA", "+short")
    address = dig(world, "web.alice.overlay", "+short")
    assert dig(world, "-x", address, "+short") == "web.alice.overlay."
    assert dig(world, "web.alice.overlay", "+short", "+tcp") == address
    assert dig(world, "web.alice.overlay", "+short", "+noedns") == address


@pytest.mark.parametrize(
    ("host", "code", "words"),
    [
        ("nothing.alice.overlay", 404, b"nothing"),
        ("nobody.overlay", 404, b"nobody"),
        ("no..name.overlay", 400, b""),
    ],
)
def test_what_cannot_be_opened_is_told_by_status_and_page(world, host, code, words):
    done = curl(
        "--proxy", f"http://{world.bob.listens('proxy')}", "--write-out", "%{http_code}", f"http://{host}/"
    )
    assert done.stdout[-3:] in (str(code).encode(), b"404")
    assert words in done.stdout


def test_a_service_that_is_not_for_bob_is_forbidden(world):
    world.alice.run("expose", "private", f"127.0.0.1:{world.web.port}", "--port", "8001")
    proxy = world.bob.listens("proxy")
    url = "http://private.alice.overlay/"
    done = curl("--proxy", f"http://{proxy}", "--write-out", "%{http_code}", url)
    assert done.stdout.endswith(b"403")
    assert b"private" in done.stdout
    refused = curl("--proxy", f"socks5h://{proxy}", url)
    assert refused.returncode == 97  # the proxy said no
    assert b"(2)" in refused.stderr or b"ruleset" in refused.stderr.lower()
    world.alice.run("unexpose", "private")


def test_a_backend_that_is_down_is_told_apart_from_an_endpoint_that_is(world):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    world.alice.run("expose", "broken", f"127.0.0.1:{port}", "--port", "8002", "--allow", "bob")
    proxy = world.bob.listens("proxy")
    refused = curl("--proxy", f"socks5h://{proxy}", "http://broken.alice.overlay/")
    assert b"(5)" in refused.stderr or b"refused" in refused.stderr.lower()
    done = curl("--proxy", f"http://{proxy}", "--write-out", "%{http_code}", "http://broken.alice.overlay/")
    assert done.stdout.endswith(b"502")
    world.alice.run("unexpose", "broken")


def test_half_close_goes_through_the_tunnel_both_ways(world, echo_server):
    world.alice.run("expose", "upper", f"127.0.0.1:{echo_server}", "--port", "8003", "--allow", "bob")
    host, _, port = world.bob.listens("proxy").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        name = b"upper.alice.overlay"
        client.sendall(b"\5\1\0" + b"\5\1\0\3" + bytes([len(name)]) + name + (8003).to_bytes(2))
        assert client.recv(2) == b"\5\0"
        assert client.recv(10)[:2] == b"\5\0"
        client.sendall(b"tell me " * 20_000)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer == b"TELL ME " * 20_000
    world.alice.run("unexpose", "upper")


def test_a_unix_socket_is_a_target_too(world, tmp_path):
    from tests.lab.web import web_server

    path = tmp_path / "web.sock"
    with web_server(unix=path):
        world.alice.run("expose", "sock", f"unix:{path}", "--port", "8004", "--allow", "bob")
        done = curl("--proxy", f"socks5h://{world.bob.listens('proxy')}", "http://sock.alice.overlay/")
        assert b"Hello from alice" in done.stdout, done.stderr
        world.alice.run("unexpose", "sock")


def test_a_range_of_ports_reaches_each_port_behind_it(world):
    port = world.web.port
    world.alice.run("expose", "range", f"127.0.0.1:{port}-{port + 1}", "--allow", "bob")
    url = f"http://range.alice.overlay:{port}/"
    done = curl("--proxy", f"socks5h://{world.bob.listens('proxy')}", url)
    assert b"Hello from alice" in done.stdout, done.stderr
    world.alice.run("unexpose", "range")


def test_the_backend_is_told_who_calls_and_forgeries_are_removed(world):
    target = f"127.0.0.1:{world.web.port}"
    flags = ("--port", "8005", "--allow", "bob", "--endpoint-header", "--host-header", "localhost")
    world.alice.run("expose", "who", target, *flags)
    done = curl(
        "--proxy",
        f"socks5h://{world.bob.listens('proxy')}",
        "-H",
        "X-Overlay-Endpoint: forged",
        "http://who.alice.overlay/headers",
    )
    headers = json.loads(done.stdout)
    assert headers["X-Overlay-Endpoint"] == world.bob.id
    assert headers["Host"] == "localhost"
    world.alice.run("unexpose", "who")


def test_two_hundred_requests_at_once_all_come_back(world):
    proxy = f"socks5h://{world.bob.listens('proxy')}"
    with ThreadPoolExecutor(20) as pool:
        bodies = list(pool.map(lambda _: curl("--proxy", proxy, world.url("/style.css")).stdout, range(200)))
    assert set(bodies) == {b"h1 { color: rgb(1, 2, 3); }"}


def test_other_hosts_go_direct_by_default(world):
    done = curl(
        "--proxy", f"http://{world.bob.listens('proxy')}", f"http://127.0.0.1:{world.web.port}/style.css"
    )
    assert done.stdout.startswith(b"h1")


def test_status_shows_the_tunnel_and_ping_measures_it(world):
    ping = world.bob.json("ping", "alice")
    (tunnel,) = world.bob.json("status")["tunnels"]
    assert tunnel["petname"] == "alice"
    assert tunnel["address"] == world.alice.listens("tunnels")
    assert all(round_trip["rtt_ms"] > 0 for round_trip in ping["replies"])


def test_an_owner_opens_her_own_service_by_nickname_and_by_id(world):
    for name in ("alice", world.alice.id):
        done = curl(
            "--proxy", f"socks5h://{world.alice.listens('proxy')}", f"http://web.{name}.overlay/style.css"
        )
        assert done.stdout.startswith(b"h1"), done.stderr


def test_a_removed_contacts_rights_are_gone_and_nobody_inherits_them_with_the_name(world):
    proxy = ("--proxy", f"http://{world.bob.listens('proxy')}", "--write-out", "%{http_code}")
    url = "http://held.alice.overlay/style.css"
    world.alice.run("expose", "held", f"127.0.0.1:{world.web.port}", "--port", "8006", "--allow", "bob")
    assert curl(*proxy, url).stdout.endswith(b"200")
    world.alice.run("contacts", "rename", "bob", "robert")
    assert curl(*proxy, url).stdout.endswith(b"200")  # the same endpoint by another name
    world.alice.run("contacts", "rm", "robert")
    assert curl(*proxy, url).stdout.endswith(b"404")
    world.alice.run("contacts", "add", "bob", world.bob.id)
    assert curl(*proxy, url).stdout.endswith(b"403")
    world.alice.run("unexpose", "held")
    world.alice.run("expose", "web", f"127.0.0.1:{world.web.port}", "--allow", "bob")
