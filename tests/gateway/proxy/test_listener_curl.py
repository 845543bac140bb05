"""curl as the client: every way it has of using a proxy."""

from __future__ import annotations

import asyncio

import pytest

from gateway.dialing import Failure
from gateway.proxy.requests import Credentials
from tests.lab.http_proxy import curl, proxy
from tests.lab.http_servers import http_app, scripted, serve

pytestmark = pytest.mark.needs("curl")

ALL = [["--socks4a"], ["--socks5-hostname"], ["-x"], ["-p", "-x"]]


@pytest.mark.parametrize("way", ALL, ids=" ".join)
async def test_every_kind_of_proxy_reaches_a_name_unresolved(way: list[str]) -> None:
    async with proxy() as lab, serve(http_app("alice")) as place:
        lab.dialer.services["web.alice.overlay"] = place
        result = await curl(*way, lab.place, "http://web.alice.overlay/hello")
        assert result.out == b"alice GET /hello 0\n", result.err
        assert lab.dialer.dialed == [("web.alice.overlay", 80, None)]


@pytest.mark.parametrize("way", ["--socks4", "--socks5"])
async def test_addresses_resolved_by_the_client_work(way: str) -> None:
    async with proxy() as lab, serve(http_app("alice")) as place:
        lab.dialer.services["127.0.0.1"] = place
        result = await curl(way, lab.place, "http://127.0.0.1/x")
        assert result.out == b"alice GET /x 0\n", result.err


async def test_ipv6_literals_work_over_socks5_and_http() -> None:
    async with proxy() as lab, serve(http_app("six")) as place:
        lab.dialer.services["2001:db8::1"] = place
        for way in (["--socks5-hostname"], ["-x"], ["-p", "-x"]):
            result = await curl(*way, lab.place, "-g", "http://[2001:db8::1]:8080/x")
            assert result.out == b"six GET /x 0\n", result.err
        assert {port for _, port, _ in lab.dialer.dialed} == {8080}


CODES = [
    (Failure.UNKNOWN_NAME, 4, 404),
    (Failure.NO_SERVICE, 5, 404),
    (Failure.FORBIDDEN, 2, 403),
    (Failure.OFFLINE, 4, 502),
    (Failure.TARGET_REFUSED, 5, 502),
    (Failure.TARGET_UNREACHABLE, 3, 504),
    (Failure.POLICY, 2, 403),
    (Failure.PROFILE, 2, 403),
    (Failure.OVERLOADED, 1, 503),
]


@pytest.mark.parametrize(("failure", "code", "status"), CODES)
async def test_failures_arrive_as_the_right_codes(failure: Failure, code: int, status: int) -> None:
    async with proxy() as lab:
        lab.dialer.failures["web.bob.overlay"] = failure
        url = "http://web.bob.overlay/"
        over_socks5, over_socks4, over_http, tunneled = await asyncio.gather(
            curl("--socks5-hostname", lab.place, url),
            curl("--socks4a", lab.place, url),
            curl("-x", lab.place, "-w", "%{http_code}", url),
            curl("-p", "-x", lab.place, "-w", "%{http_connect}", url),
        )
        assert over_socks5.exit_code == 97
        assert f"({code})" in over_socks5.err
        assert over_socks4.exit_code == 97
        assert "(91)" in over_socks4.err
        assert over_http.out.endswith(str(status).encode())
        assert b"web.bob.overlay fails" in over_http.out
        assert tunneled.exit_code == 56
        assert tunneled.out.endswith(str(status).encode())


async def test_a_browser_gets_a_page_with_a_remedy() -> None:
    async with proxy() as lab:
        lab.dialer.failures["web.bob.overlay"] = Failure.OFFLINE
        result = await curl("-x", lab.place, "-i", "-H", "Accept: text/html", "http://web.bob.overlay/")
        assert b"Content-Type: text/html" in result.out
        assert b"<code>overlay ping bob</code>" in result.out
        assert b"no-store" in result.out


async def test_passwords_open_socks5_http_and_connect_and_nothing_else_does() -> None:
    async with proxy(Credentials("ann", "s3cret")) as lab, serve(http_app("alice")) as place:
        lab.dialer.services["web.alice.overlay"] = place
        url = "http://web.alice.overlay/"
        for way in (["--socks5-hostname"], ["-x"], ["-p", "-x"], ["--proxy-anyauth", "-x"]):
            right = await curl(*way, lab.place, "--proxy-user", "ann:s3cret", url)
            assert right.out == b"alice GET / 0\n", right.err
            wrong = await curl(*way, lab.place, "--proxy-user", "ann:s3cre", "-w", "%{http_code}", url)
            assert b"alice" not in wrong.out
            none = await curl(*way, lab.place, url)
            assert b"alice" not in none.out
        assert b"407" in (await curl("-x", lab.place, "-w", "%{http_code}", url)).out
        assert (await curl("--socks4a", lab.place, url)).exit_code == 97
        assert {user for _, _, user in lab.dialer.dialed} == {"ann"}


async def test_keep_alive_to_changing_hosts_reaches_each() -> None:
    async with proxy() as lab, serve(http_app("alice")) as a, serve(http_app("bob")) as b:
        lab.dialer.services |= {"alice.overlay": a, "bob.overlay": b}
        urls = [
            f"http://{name}.overlay/{number}" for number in range(3) for name in ("alice", "alice", "bob")
        ]
        result = await curl("-x", lab.place, "-w", "%{num_connects} ", *urls)
        expected = b"alice GET /%d 0\n%d alice GET /%d 0\n0 bob GET /%d 0\n0 "
        assert result.out == b"".join(expected % (n, n == 0, n, n) for n in range(3))
        assert lab.listener.status().accepted == 1
        assert len(lab.dialer.dialed) == 6


@pytest.mark.parametrize("way", ALL, ids=" ".join)
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_binary_bodies_arrive_unchanged(way: list[str], framing: str) -> None:
    body = bytes(range(256)) * 4000 + b"\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    extra = ["-H", "Transfer-Encoding: chunked"] if framing == "chunked" else []
    async with proxy() as lab, serve(http_app("alice")) as place:
        lab.dialer.services["alice.overlay"] = place
        result = await curl(
            *way, lab.place, *extra, "--data-binary", "@-", "http://alice.overlay/p", stdin=body
        )
        assert result.out == b"alice POST /p %d\n" % len(body) + body, result.err


async def test_expect_100_continue_is_answered_by_the_service() -> None:
    async with proxy() as lab, serve(http_app("alice")) as place:
        lab.dialer.services["alice.overlay"] = place
        result = await curl(
            "-x", lab.place, "-v", "-H", "Expect: 100-continue", "--expect100-timeout", "14",
            "--data-binary", "@-", "http://alice.overlay/p", stdin=b"abc",
        )  # fmt: skip
        assert result.out == b"alice POST /p 3\nabc"
        assert "HTTP/1.1 100" in result.err


async def test_head_and_http_1_0_work() -> None:
    async with proxy() as lab, serve(http_app("alice")) as place:
        lab.dialer.services["alice.overlay"] = place
        head = await curl("-x", lab.place, "-I", "http://alice.overlay/", "http://alice.overlay/")
        assert head.out.count(b"HTTP/1.1 200") == 2
        old = await curl("-x", lab.place, "-0", "http://alice.overlay/", "http://alice.overlay/")
        assert old.out == b"alice GET / 0\n" * 2


async def test_a_service_that_closes_without_an_answer_is_told() -> None:
    async with proxy() as lab, serve(scripted(b"", close=True)) as place:
        lab.dialer.services["alice.overlay"] = place
        result = await curl("-x", lab.place, "-w", "%{http_code}", "http://alice.overlay/")
        assert result.out.endswith(b"502")


async def test_the_proxy_opened_as_a_web_site_explains_itself() -> None:
    async with proxy() as lab:
        result = await curl("-w", "%{http_code}", f"http://{lab.place}/")
        assert result.out.endswith(b"400")
        assert b"proxy" in result.out


async def test_tls_to_the_proxy_itself_fails_at_once() -> None:
    async with proxy() as lab:
        assert (await curl("-x", f"https://{lab.place}", "http://alice.overlay/")).exit_code != 0
