"""Hosts and passwords."""

import pytest

from gateway.proxy.requests import Credentials, host_text


def test_the_right_password_matches_and_nothing_else() -> None:
    credentials = Credentials("ann", "pässword")
    assert credentials.match(b"ann", "pässword".encode())
    for user, password in (
        (b"ann", b""),
        (b"", "pässword".encode()),
        (b"ann", b"password"),
        (b"\xff", b"\xff"),
    ):
        assert not credentials.match(user, password)


def test_a_password_is_never_shown() -> None:
    assert "secret" not in repr(Credentials("ann", "secret"))


def test_hosts_are_kept_as_text() -> None:
    assert host_text(b"Web.Alice.Overlay") == "Web.Alice.Overlay"
    assert host_text("bücher".encode()) == "bücher"


@pytest.mark.parametrize("raw", [b"", b"a b", b"a\nb", b"\0", b"\xff", b"a" * 256, "a\u2028b".encode()])
def test_what_is_no_host_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        host_text(raw)
