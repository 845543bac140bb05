"""What doctor does by itself: only what it found, only narrower, and never to somebody else's file."""

from __future__ import annotations

import socket
import stat

import pytest

from gateway.doctor.findings import Fix
from gateway.doctor.fixing import apply
from gateway.errors import StateError


def test_permissions_are_made_narrow_and_the_undo_makes_them_as_they_were(tmp_path):
    key = tmp_path / "identity.key"
    key.write_text("x")
    key.chmod(0o644)
    fixed = apply(Fix("chmod", str(key), 0o600, f"chmod 644 {key}"))
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert fixed.undo == f"chmod 644 {key}"


def test_permissions_are_never_widened(tmp_path):
    key = tmp_path / "identity.key"
    key.write_text("x")
    key.chmod(0o400)
    apply(Fix("chmod", str(key), 0o600))
    assert stat.S_IMODE(key.stat().st_mode) == 0o400


def test_a_link_that_somebody_put_there_is_not_followed(tmp_path):
    target, link = tmp_path / "target", tmp_path / "identity.key"
    target.write_text("x")
    target.chmod(0o644)
    link.symlink_to(target)
    with pytest.raises(StateError):
        apply(Fix("chmod", str(link), 0o600))
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


def test_what_is_gone_is_told_in_one_line(tmp_path):
    with pytest.raises(StateError, match="cannot change"):
        apply(Fix("chmod", str(tmp_path / "gone"), 0o600))


def test_a_stale_socket_is_removed_and_nothing_else_is(tmp_path):
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen(1)
        with pytest.raises(StateError, match="answers"):
            apply(Fix("unlink", str(path)))
    assert "removed" in apply(Fix("unlink", str(path))).what
    assert not path.exists()
    path.write_text("no socket")
    with pytest.raises(StateError, match="is no socket"):
        apply(Fix("unlink", str(path)))
    assert path.exists()
