"""Which requests of a browser are answered at all."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from gateway.dashboard.guard import HEADERS, Kind, own_hosts, refusal

HERE = ("127.0.0.1", 7399)
ALL = pytest.mark.parametrize("kind", list(Kind))


def asked(kind: Kind, here=HERE, **headers: str) -> str:
    given = {"Host": "127.0.0.1:7399"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return refusal(kind, CIMultiDict(given), here)


@ALL
@pytest.mark.parametrize("host", ["127.0.0.1:7399", "localhost:7399", "LOCALHOST:7399", "[::1]:7399"])
def test_our_own_addresses_are_answered(kind, host):
    assert asked(kind, Host=host) == ""


@ALL
@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "evil.example:7399", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:7399.", "127.0.0.2:7399",
        "localhost", "localhost.:7399", "127.0.0.1.nip.io:7399", "192.0.2.1:7399", "0.0.0.0:7399", "x@127.0.0.1:7399",
        "127.1:7399", "127.0.0.1:07399", "127.0.0.1:7399 ",
    ],
)  # fmt: skip
def test_a_name_that_was_pointed_here_is_refused(kind, host):
    assert "not by a name" in asked(kind, Host=host)


def test_the_address_that_was_asked_is_one_of_ours_wherever_we_listen():
    assert asked(Kind.DATA, ("192.0.2.1", 7399), Host="192.0.2.1:7399") == ""
    assert asked(Kind.DATA, ("2001:db8::1", 7399), Host="[2001:db8::1]:7399") == ""
    assert asked(Kind.DATA, ("::ffff:192.0.2.1", 7399), Host="192.0.2.1:7399") == ""
    assert asked(Kind.DATA, ("fe80::1%eth0", 7399), Host="[fe80::1]:7399") == ""
    assert "localhost" in own_hosts("127.0.0.1", 80)
    assert "localhost" not in own_hosts("127.0.0.1", 7399)


def test_a_request_without_a_host_is_refused():
    assert refusal(Kind.PAGE, {}, HERE)


@ALL
@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        "http://127.0.0.1:8000",
        "https://127.0.0.1:7399",
        "http://localhost:7399",
        "",
    ],
)
def test_pages_of_other_origins_are_refused(kind, origin):
    assert "other pages" in asked(kind, Origin=origin)


@ALL
def test_our_own_page_is_answered(kind):
    assert (
        asked(kind, Origin="http://127.0.0.1:7399", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors") == ""
    )


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "what"])
@pytest.mark.parametrize("mode", ["navigate", "cors", "no-cors"])
def test_data_is_for_scripts_of_our_page_only(site, mode):
    assert asked(Kind.DATA, Sec_Fetch_Site=site, Sec_Fetch_Mode=mode)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_elsewhere_may_lead_to_the_page_and_include_nothing(site):
    assert asked(Kind.PAGE, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document") == ""
    for kind in Kind:
        assert asked(kind, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors", Sec_Fetch_Dest="script")
        assert asked(kind, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe")
    assert asked(Kind.FILE, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document")


def test_the_pac_file_is_fetched_by_browsers_themselves():
    assert asked(Kind.FILE, Sec_Fetch_Site="none") == ""
    assert asked(Kind.FILE) == ""


def test_answers_forbid_everything_from_elsewhere():
    policy = dict(part.split(" ", 1) for part in HEADERS["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
