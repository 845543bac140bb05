"""One gateway has one home; what fails there is told in one line and loses nothing."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import StateError, UsageError
from gateway.home import Home
from gateway.limits import SOCKET_PATH_BYTES, STATE_FILE_BYTES
from tests.lab.disks import fill, no_growing_files, read_only, tiny_disk

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A private directory with a short path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path / "home")
    found.create()
    return found


def test_a_home_is_chosen_by_flag_then_variable_then_custom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"OVERLAY_HOME": "/b"}
    assert Home.find("/a", environ).path == Path("/a")
    assert Home.find(None, environ).path == Path("/b")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert Home.find(None, {}).path == tmp_path / "overlay"
    monkeypatch.chdir(tmp_path)
    assert Home.find("x", {}).path == tmp_path / "x"
    for nonsense in ("", "a\0b"):
        with pytest.raises(UsageError, match="no directory"):
            Home.find(nonsense, {})


def test_only_the_owner_may_enter(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    for name in ("new", "open"):
        home = Home(tmp_path / name)
        home.create()
        home.create()
        assert stat.S_IMODE(home.path.stat().st_mode) == 0o700


def test_a_file_where_the_home_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StateError, match="a file stands where a directory is needed"):
        Home(tmp_path / "file").create()
    with pytest.raises(StateError, match="a file stands where a directory is needed"):
        Home(tmp_path / "file" / "below").create()
    assert (tmp_path / "file").read_text() == "mine"


def test_a_second_gateway_on_a_home_is_told_who_has_it(home: Home) -> None:
    assert home.running_pid() is None
    with home.lock():
        assert home.running_pid() == os.getpid()
        with pytest.raises(StateError) as caught:
            home.lock()
        message = str(caught.value)
        assert f"(process {os.getpid()})" in message
        assert str(home.path) in message
        assert "overlay down" in message
        assert "\n" not in message
    assert home.running_pid() is None
    home.lock().release()


def test_the_lock_of_a_killed_process_is_free(home: Home) -> None:
    code = (
        "import sys, pathlib, gateway.home as h\n"
        f"lock = h.Home(pathlib.Path({str(home.path)!r})).lock()\n"
        "print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        assert home.running_pid() == process.pid
        process.kill()
    home.lock().release()


def test_a_damaged_lock_file_still_locks(home: Home) -> None:
    with home.lock():
        home.lock_file.write_bytes(b"\xff\0 nonsense")
        assert home.running_pid() == 0
        with pytest.raises(StateError, match="another gateway runs on it"):
            home.lock()


def test_state_is_written_and_read_back(home: Home) -> None:
    assert home.load_state("things", dict[str, int], dict) == {}
    home.save_state("things", {"a": 1})
    assert home.load_state("things", dict[str, int], dict) == {"a": 1}
    assert stat.S_IMODE(home.state_file("things").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"a": "x"}', b"[]", b"\xff", b"[" * 100_000, b" " * (STATE_FILE_BYTES + 1)]
)
def test_corrupt_state_is_one_line_with_the_remedy_and_stays(home: Home, data: bytes) -> None:
    file = home.state_file("things")
    file.write_bytes(data)
    with pytest.raises(StateError) as caught:
        home.load_state("things", dict[str, int], dict)
    message = str(caught.value)
    assert str(file) in message
    assert "move it away" in message
    assert "\n" not in message
    assert file.read_bytes() == data


@given(data=st.binary(max_size=100))
def test_any_bytes_are_state_or_an_error(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        home = Home(Path(directory))
        home.create()
        home.state_file("things").write_bytes(data)
        with contextlib.suppress(StateError):
            assert isinstance(home.load_state("things", dict[str, int], dict), dict)


def test_a_full_disk_keeps_the_old_state(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with tiny_disk(disk):
        home = Home(disk)
        home.create()
        home.save_state("things", {"a": 1})
        fill(disk)
        with pytest.raises(StateError, match="the disk is full; free some space"):
            home.save_state("things", {"a": 2})
        assert home.load_state("things", dict[str, int], dict) == {"a": 1}


def test_a_file_size_limit_keeps_the_old_state(home: Home) -> None:
    home.save_state("things", {"a": 1})
    with no_growing_files(), pytest.raises(StateError, match="file size limit"):
        home.save_state("things", {"a": 2})
    assert home.load_state("things", dict[str, int], dict) == {"a": 1}
    with no_growing_files(), pytest.raises(StateError, match="file size limit"):
        home.lock()


def test_a_read_only_home_is_told(home: Home) -> None:
    home.save_state("things", {"a": 1})
    with read_only(home.path):
        for attempt in (lambda: home.save_state("things", {}), home.lock, Home(home.path / "below").create):
            with pytest.raises(StateError, match="--home"):
                attempt()
        assert home.load_state("things", dict[str, int], dict) == {"a": 1}


def test_state_that_would_be_too_large_to_read_is_not_written(home: Home) -> None:
    home.save_state("things", "small")
    with pytest.raises(StateError, match="would grow beyond"):
        home.save_state("things", "x" * STATE_FILE_BYTES)
    assert home.load_state("things", str, str) == "small"


def test_the_control_socket_is_in_the_home(home: Home) -> None:
    short = Home(Path("/var/home"))
    assert short.control_socket() == Path("/var/home/control.sock")


def test_the_control_socket_of_a_long_path_is_short_private_and_always_the_same(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, other = Home(tmp_path / ("x" * 100)), Home(tmp_path / ("y" * 100))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    place = long.control_socket()
    assert place.parent == runtime
    assert len(os.fsencode(place)) <= SOCKET_PATH_BYTES
    assert long.control_socket() == place != other.control_socket()
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(tempfile, "tempdir", str(runtime))
    fallback = long.control_socket()
    assert fallback.parent == runtime / f"overlay-{os.getuid()}"
    assert stat.S_IMODE(fallback.parent.stat().st_mode) == 0o700
    fallback.parent.chmod(0o755)
    with pytest.raises(StateError, match="open to others"):
        long.control_socket()
    fallback.parent.rmdir()
    fallback.parent.symlink_to(tmp_path)
    with pytest.raises(StateError, match="belongs to somebody else"):
        long.control_socket()


def test_a_runtime_directory_that_others_may_enter_is_not_used(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.chmod(0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr(tempfile, "tempdir", str(runtime))
    assert Home(tmp_path / ("x" * 100)).control_socket().parent != runtime


@pytest.mark.needs("root")
def test_root_makes_nothing_in_the_directory_of_another_user(tmp_path: Path) -> None:
    """Its owner could have put a link there, by which root would take /etc away from everybody."""
    evil, ours = tmp_path / "evil", tmp_path / "ours"
    evil.mkdir()
    ours.mkdir(mode=0o755)
    (evil / "link").symlink_to(ours)
    os.chown(evil, 65534, 65534)
    os.chown(evil / "link", 65534, 65534, follow_symlinks=False)
    for path in (evil, evil / "new", evil / "link"):
        with pytest.raises(StateError, match=r"belongs to another user.*without sudo"):
            Home(path).create()
    assert stat.S_IMODE(ours.stat().st_mode) == 0o755
    assert list(ours.iterdir()) == []
    assert os.listdir(evil) == ["link"]
