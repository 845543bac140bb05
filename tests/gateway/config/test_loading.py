"""Settings come from flags, variables, a file and defaults; what is wrong is named where it was written."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Config, InvalidConfiguration, load, parse
from gateway.config.settings import DnsServer
from gateway.limits import CONFIG_FILE_BYTES, CONFIG_PROBLEMS
from tunnels.addresses import Address
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from pathlib import Path

ID = "8pinxxgqs41n4aididenw5apqp1urfmzdztr8jt4abrkdn435ewo"


def problems(text: str, **rest: object) -> tuple[str, ...]:
    with pytest.raises(InvalidConfiguration) as caught:
        parse(text.encode(), source="f.toml", **rest)  # type: ignore[arg-type]
    return caught.value.problems


def test_a_file_that_is_not_there_means_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "gateway.toml", environ={}, overrides={}) == Config()


def test_values_become_the_types_the_program_uses() -> None:
    config = parse(
        f"""
        [tunnels]
        addresses = ["203.0.113.7:7777", "[2001:db8::1]:7"]
        [dns]
        forward = ["192.0.2.53", "2001:db8::53", "[2001:db8::53]:5353"]
        [loopback]
        network = "127.80.0.0/16"
        [contacts.alice]
        id = "{ID.upper()}"
        [services.web]
        target = "8000"
        protocols = ["tcp", "udp"]
        """.encode(),
        source="f.toml",
    )
    assert config.tunnels.addresses == (Address.of("203.0.113.7", 7777), Address.of("2001:db8::1", 7))
    assert [str(server) for server in config.dns.forward] == [
        "192.0.2.53:53",
        "[2001:db8::53]:53",
        "[2001:db8::53]:5353",
    ]
    assert all(isinstance(server, DnsServer) for server in config.dns.forward)
    assert config.loopback.network == IPv4Network("127.80.0.0/16")
    assert config.contacts["alice"].id == EndpointId.parse(ID)
    assert config.services["web"].protocols == ("tcp", "udp")


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default() -> None:
    text = b"[proxy]\nport = 1\n[dns]\nport = 1\n[dashboard]\nport = 1"
    environ = {"OVERLAY_PROXY_PORT": "2", "OVERLAY_DNS_PORT": "2"}
    config = parse(text, source="f", environ=environ, overrides={"proxy.port": 3})
    assert (config.proxy.port, config.dns.port, config.dashboard.port, config.tunnels.port) == (3, 2, 1, 0)


def test_variables_hold_switches_numbers_and_lists() -> None:
    environ = {
        "OVERLAY_PROXY_ENABLED": "false",
        "OVERLAY_TUNNELS_BIND": "127.0.0.1, ::1",
        "OVERLAY_TUNNELS_IDLE_TIMEOUT": "90",
        "OVERLAY_TUNNELS_ADDRESSES": "",
        "OVERLAY_HOME": "/x",
        "OVERLAYFS": "somebody else's",
        "OVERLAY_NETWORK_OF_SOMEBODY_ELSE": "1",
    }
    config = parse(b"", source="f", environ=environ)
    assert config.proxy.enabled is False
    assert config.tunnels.bind == ("127.0.0.1", "::1")
    assert config.tunnels.idle_timeout == 90.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[proxy]\nprot = 1080", "f.toml: [proxy] prot = 1080: unknown key; did you mean `port`?"),
        ("[proxy]\nzzz = 1", "f.toml: [proxy] zzz = 1: unknown key"),
        ("[prxy]", "f.toml: unknown section [prxy]; did you mean [proxy]?"),
        ("port = 1", "f.toml: port stands in no section"),
        ("proxy = 1", "f.toml: proxy = 1: this is a section; write [proxy] above its keys"),
        ("services.web = 80", "f.toml: [services] web = 80: write a section [services.web]"),
        ("[proxy]\nport = 70000", "f.toml: [proxy] port = 70000: expected a whole number <= 65535"),
        ("[proxy]\nport = '1'", 'f.toml: [proxy] port = "1": expected a whole number, got text'),
        ("[proxy]\nenabled = 1", "f.toml: [proxy] enabled = 1: expected true or false, got a whole number"),
        ("[proxy]\nhost = 'localhost'", "f.toml: [proxy]: 'localhost' is not an ip address; write 127.0.0.1"),
        (
            "[proxy]\nusername = 'me'",
            "f.toml: [proxy]: username and password go together: give both or neither",
        ),
        (
            "[proxy]\nother_hosts = 'derect'",
            'f.toml: [proxy] other_hosts = "derect": expected one of direct, refuse; did you mean `direct`?',
        ),
        (
            "[dns]\nforward = ['x']",
            "f.toml: [dns] forward = ['x']: 'x' is not an address: an address is written",
        ),
        (
            "[loopback]\nnetwork = '10.0.0.0/8'",
            "f.toml: [loopback]: network 10.0.0.0/8 is not inside 127.0.0.0/8",
        ),
        (
            "[loopback]\nnetwork = 'x'",
            'f.toml: [loopback] network = "x": expected a network such as 127.64.0.0/10',
        ),
        ("[tunnels]\nkeepalive = nan", "f.toml: [tunnels] keepalive = nan: expected a number"),
        (
            "[tunnels]\nkeepalive = 130",
            "f.toml: [tunnels]: keepalive (130 s) must be shorter than idle_timeout (120 s)",
        ),
        ("[tunnels]\nbind = []", "f.toml: [tunnels] bind = []: expected a list of length >= 1"),
        ("[services.Web]\ntarget = '1'", "f.toml: [services.Web]: 'Web' is not a name: 1 to 63 characters"),
        ("[services.web]\nport = 1", "f.toml: [services.web]: target is missing"),
        (
            "[contacts.alice]\nid = 'abc'",
            'f.toml: [contacts.alice] id = "abc": an endpoint id has 52 characters',
        ),
        (f"[contacts.{ID}]\nid = '{ID}'", f"f.toml: [contacts.{ID}]: '{ID}' is an endpoint id; a petname"),
        ("[proxy", "f.toml: this is not TOML: "),
        ("[x]\na = " + "[" * 5000, "f.toml: this is not TOML: too deeply nested"),
    ],
)
def test_a_mistake_is_named_with_file_key_value_and_what_is_right(text: str, expected: str) -> None:
    found = problems(text)
    assert found[0].startswith(expected)
    assert len(found) == 1


def test_a_wrong_variable_is_named() -> None:
    assert problems("", environ={"OVERLAY_PROXY_PORT": "x"}) == (
        'OVERLAY_PROXY_PORT = "x": expected a whole number, got text',
    )
    assert problems("", environ={"OVERLAY_PROXI_PORT": "1"}) == (
        "OVERLAY_PROXI_PORT: unknown variable; did you mean `OVERLAY_PROXY_PORT`?",
    )
    assert problems("", environ={"OVERLAY_LOOPBACK_QQQQQQQQQQQQQ": "1"}) == (
        "OVERLAY_LOOPBACK_QQQQQQQQQQQQQ: unknown variable",
    )


def test_a_wrong_flag_is_named() -> None:
    assert problems("", overrides={"tunnels.addresses": ("x",)})[0].startswith("--address = ")
    assert problems("", overrides={"proxy.port": -1})[0].startswith("--proxy-port = ")


def test_all_problems_are_told_and_the_message_counts_them() -> None:
    text = "[proxy]\nport = -1\nprot = 1\n[dns]\nttl = 'x'"
    assert len(problems(text)) == 3
    with pytest.raises(InvalidConfiguration, match=r"and 2 more: see `overlay config check`\)$"):
        parse(text.encode(), source="f")


def test_problems_are_bounded() -> None:
    assert len(problems("[proxy]\n" + "".join(f"x{i} = 1\n" for i in range(1000)))) == CONFIG_PROBLEMS


def test_a_secret_is_never_repeated() -> None:
    found = problems("[proxy]\nusername = 'me'\npassword = 12345\nupstream = 'ftp://me:hunter2@x'")
    assert found == ("f.toml: [proxy] password = ***: expected text, got a whole number",)
    found = problems("[proxy]\nupstream = 'ftp://me:hunter2@x'")
    assert "hunter2" not in found[0]
    assert "socks5://host:port" in found[0]


def test_a_message_stays_on_its_line_whatever_the_file_holds() -> None:
    assert problems('[proxy]\n"a\\u001b[2Jb\\n" = "\\u0007"') == (
        'f.toml: [proxy] a\\x1b[2Jb\\n = "\\x07": unknown key',
    )


def test_a_file_with_a_password_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("[proxy]\nusername = 'a'\npassword = 'b'\n")
    file.chmod(0o640)
    with pytest.raises(InvalidConfiguration, match="others can read it; run `chmod 600"):
        load(file, environ={}, overrides={})
    file.chmod(0o600)
    assert load(file, environ={}, overrides={}).proxy.password == "b"


def test_the_proxy_of_beacons_may_hold_a_password_too(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("[beacons]\nproxy = 'http://me:hunter2@proxy:3128'\n")
    file.chmod(0o644)
    with pytest.raises(InvalidConfiguration, match="others can read it"):
        load(file, environ={}, overrides={})
    (told,) = problems("[beacons]\nproxy = 'socks5://me:hunter2@x:1'")
    assert told.startswith(
        "f.toml: [beacons]: proxy is not the URL of an HTTP proxy: expected http://host:port"
    )
    assert "hunter2" not in told


def test_beacons_are_urls() -> None:
    config = parse(
        b"", source="f", environ={"OVERLAY_BEACONS_URLS": "https://a.example, https://b.example:8443"}
    )
    assert [beacon.authority for beacon in config.beacons.urls] == ["a.example", "b.example:8443"]
    (told,) = problems("[beacons]\nurls = ['ftp://x']")
    assert told.endswith("is no beacon: a beacon is written https://HOST[:PORT] or https://HOST[:PORT]#ID")
    assert "is no beacon" in problems("[lend]\npublic_url = 'x'")[0]
    (told,) = problems(f"[beacons]\nurls = {['https://a'] * 9}")
    assert "length <= 8" in told


def test_a_file_without_secrets_may_be_read_by_all(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("[proxy]\nport = 1\n")
    file.chmod(0o644)
    assert load(file, environ={}, overrides={}).proxy.port == 1


def test_a_file_that_is_too_large_or_a_directory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_bytes(b"#" * (CONFIG_FILE_BYTES + 1))
    with pytest.raises(InvalidConfiguration, match="larger than"):
        load(file, environ={}, overrides={})
    with pytest.raises(InvalidConfiguration, match="cannot be read"):
        load(tmp_path, environ={}, overrides={})


def read(data: bytes) -> None:
    """Parsing ends in a Config or in an InvalidConfiguration of single lines."""
    found: tuple[str, ...] = ()
    try:
        assert isinstance(parse(data, source="f"), Config)
    except InvalidConfiguration as error:
        found = error.problems
    assert all(problem.isprintable() for problem in found)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_config_or_an_error(data: bytes) -> None:
    read(data)


WORDS = st.sampled_from(
    (
        *(
            "[proxy]",
            "[services.web]",
            "[[dns]]",
            "[contacts.a]",
            "[tunnels]",
            "port",
            "target",
            "bind",
            "id",
            "addresses",
        ),
        *(
            "=",
            "\n",
            "'x'",
            '"1.2.3.4:5"',
            "[",
            "]",
            ",",
            "{",
            "}",
            "1",
            "-1e400",
            "true",
            "1979-05-27",
            "nan",
            ".",
        ),
    )
)


@given(st.lists(WORDS, max_size=30))
def test_anything_like_toml_is_a_config_or_an_error(words: list[str]) -> None:
    read(" ".join(words).encode())


VALUES = st.recursive(
    st.one_of(
        st.booleans().map(lambda b: str(b).lower()),
        st.integers().map(str),
        st.floats().map(lambda f: repr(f) if f == f else "nan"),
        st.text(alphabet="ab1.:/[]-", max_size=20).map(lambda s: f"'{s}'"),
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
    max_leaves=4,
)
KEYS = st.sampled_from(
    [
        (section, key)
        for section in Config.__struct_fields__
        for key in (
            "port",
            "bind",
            "addresses",
            "network",
            "forward",
            "ttl",
            "keepalive",
            "host",
            "upstream",
            "nickname",
        )
    ]
)


@given(st.dictionaries(KEYS, VALUES, max_size=8))
def test_any_value_of_any_key_is_a_config_or_an_error(values: dict[tuple[str, str], str]) -> None:
    tables: dict[str, list[str]] = {}
    for (section, key), value in values.items():
        tables.setdefault(section, []).append(f"{key} = {value}")
    read("\n".join(f"[{section}]\n" + "\n".join(lines) for section, lines in tables.items()).encode())


def test_limits_are_read_by_whom_they_are_for():
    config = parse(
        f"""
        [limits.default]
        rate = "1MB/s"
        [limits.contacts.bob]
        weight = 4
        [limits.contacts.{ID}]
        quota = "10GB"
        """.encode(),
        source="f.toml",
    )
    assert list(config.limits) == ["default", "contacts.bob", f"contacts.{ID}"]


def test_what_is_wrong_with_a_limit_is_named_by_its_section():
    assert problems("[limits.contacts.bob]\nrate = '1MB'") == (
        "f.toml: [limits.contacts.bob]: '1MB' is no rate: expected one such as 1MB/s, 500KB/s, 8Mbit/s or unlimited",
    )
    assert problems("[limits.contacts.bob]\nwieght = 4") == (
        "f.toml: [limits.contacts.bob] wieght = 4: unknown key; did you mean `weight`?",
    )
    for written in ("[limits.contact.bob]\nweight = 4", "[limits.bob]\nweight = 4"):
        (problem,) = problems(written)
        assert "expected default, strangers, contacts.NAME, groups.NAME or services.NAME" in problem
    for written in (
        "[limits]\ncontacts = 5",
        "[limits.contacts]\nbob = 5",
        "[limits.contacts.'a.b']\nweight = 1",
    ):
        assert problems(written)[0].startswith("f.toml: [limits")
    (problem,) = problems("[sharing]\nup = 'much'")
    assert problem.startswith("f.toml: [sharing]: 'much' is no rate")
