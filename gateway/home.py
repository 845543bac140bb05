"""The home directory of one gateway: where its identity, configuration, control socket, lock and state rest.

::

    <home>/             0700
      identity.key      the secret key (tunnels.keyfile)
      gateway.toml      the configuration (gateway.config); may be absent
      control.sock      the control socket (gateway.control); elsewhere when this path is too long for a socket
      lock              held while a gateway runs; holds its process id
      state/*.json      what the gateway remembers
      state/kept.db     what it remembers and could do without (gateway.kept_state)
      state/usage.db    how much moved, by month (gateway.usage)
      state/dht-nodes   nodes of the DHT; may be absent
      state/nat-history what made direct paths between which networks; may be absent
      ca/               the certificate authority for local HTTPS; may be absent
      logs/gateway.log  what it did

Every failure here is a StateError of one line that names the file and the remedy, and leaves what was there.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shlex
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeVar

import msgspec

from gateway.errors import NotRunning, StateError, UsageError
from gateway.limits import SOCKET_PATH_BYTES, STATE_FILE_BYTES
from gateway.root_paths import changeable_by_others, is_root
from tunnels.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

T = TypeVar("T")

_PRIVATE_DIRECTORY: Final = 0o700


class Home:
    """Paths below one home directory, and the files in it."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def find(cls, directory: str | None, environ: Mapping[str, str]) -> Home:
        """The home that `--home` names, else `$OVERLAY_HOME`, else the user's state directory (XDG)."""
        chosen = directory if directory is not None else environ.get("OVERLAY_HOME")
        if chosen is None:
            import platformdirs

            return cls(Path(platformdirs.user_state_dir("overlay", appauthor=False)))
        if not chosen or "\0" in chosen:
            raise UsageError("home: an empty path is no directory; give --home (or OVERLAY_HOME) a directory")
        return cls(Path(os.path.abspath(os.path.expanduser(chosen))))

    def not_running(self) -> NotRunning:
        """What is raised when no gateway runs on it, with the command that starts one here."""
        usual = Home.find(None, os.environ).path
        start = "overlay up" if self.path == usual else f"overlay --home {shlex.quote(str(self.path))} up"
        return NotRunning(
            f"gateway: none runs on {self.path}; start it with `{start}`, or name another directory with --home"
        )

    @property
    def identity_file(self) -> Path:
        """Where the secret key rests."""
        return self.path / "identity.key"

    @property
    def config_file(self) -> Path:
        """The configuration; need not exist."""
        return self.path / "gateway.toml"

    @property
    def lock_file(self) -> Path:
        """Held by the running gateway."""
        return self.path / "lock"

    @property
    def log_file(self) -> Path:
        """The newest log file; older ones are beside it."""
        return self.path / "logs" / "gateway.log"

    @property
    def kept_file(self) -> Path:
        """Records, remote services and loopback addresses."""
        return self.path / "state" / "kept.db"

    @property
    def usage_file(self) -> Path:
        """How much moved, by month."""
        return self.path / "state" / "usage.db"

    @property
    def nat_history_file(self) -> Path:
        """What worked between which networks (tunnels.crossing.history)."""
        return self.path / "state" / "nat-history"

    @property
    def dht_nodes_file(self) -> Path:
        """Nodes of the DHT, as libtorrent keeps them."""
        return self.path / "state" / "dht-nodes"

    @property
    def authority_directory(self) -> Path:
        """The certificate authority for local HTTPS (gateway.secure.authority), and where it is trusted."""
        return self.path / "ca"

    def state_file(self, name: str) -> Path:
        """The file of one kind of state, such as `contacts`."""
        return self.path / "state" / f"{name}.json"

    def create(self) -> None:
        """Make the directories that are missing, readable for their owner only. Root makes none where others could lead it elsewhere."""
        self._refuse_others_place()
        for directory in (self.path, self.path / "state", self.path / "logs"):
            try:
                directory.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            except OSError as error:
                raise state_error("create", directory, error) from None
        self._refuse_others_place()  # somebody was quicker
        try:
            mode = stat.S_IMODE(self.path.stat().st_mode)
            if mode & 0o077:
                self.path.chmod(mode & ~0o077)
        except OSError as error:
            raise state_error("protect", self.path, error) from None

    def _refuse_others_place(self) -> None:
        if is_root() and (place := changeable_by_others(self.path / "state" / "file")):
            raise StateError(
                f"home {self.path}: {place} belongs to another user, or others can change it, so root writes nothing there; "
                "run this as that user, without sudo, or name another directory with --home"
            )

    def lock(self) -> HomeLock:
        """Claim this home for this process until the lock is released; StateError when another gateway has it."""
        return HomeLock(self)

    def running_pid(self) -> int | None:
        """The process id of the gateway that holds the lock, 0 if it cannot be told; None when none does."""
        try:
            with self.lock_file.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return _read_pid(file.fileno())
        except OSError:
            return None
        return None

    def control_socket(self) -> Path:
        """Where the control socket is: here, or at a short place made from this path when this one is too long."""
        here = self.path / "control.sock"
        if len(os.fsencode(here)) <= SOCKET_PATH_BYTES:
            return here
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        if runtime and os.path.isabs(runtime):
            place = Path(runtime) / f"overlay-{digest}.sock"
            if len(os.fsencode(place)) <= SOCKET_PATH_BYTES and _is_private(Path(runtime)):
                return place
        directory = Path(tempfile.gettempdir()) / f"overlay-{os.getuid()}"
        try:
            directory.mkdir(mode=_PRIVATE_DIRECTORY, exist_ok=True)
        except OSError as error:
            raise state_error("create", directory, error) from None
        if not _is_private(directory):
            raise StateError(
                f"control socket: {directory} belongs to somebody else or is open to others; "
                "set XDG_RUNTIME_DIR, or give --home a shorter path"
            )
        return directory / f"{digest}.sock"

    def load_state(self, name: str, kind: type[T], default: Callable[[], T]) -> T:
        """Read one kind of state as `kind`, or `default()` when it was never written; StateError when corrupt."""
        path = self.state_file(name)
        try:
            with path.open("rb") as file:
                data = file.read(STATE_FILE_BYTES + 1)
        except FileNotFoundError:
            return default()
        except OSError as error:
            raise state_error("read", path, error) from None
        if len(data) > STATE_FILE_BYTES:
            raise StateError(
                f"state: {path} is larger than {STATE_FILE_BYTES} bytes; move it away to start afresh"
            )
        try:
            return msgspec.json.decode(data, type=kind)
        except (ValueError, RecursionError) as error:
            raise StateError(
                f"state: {path} is corrupt ({_first_line(error)}); restore it from a backup, "
                "or move it away to start afresh without it"
            ) from None

    def save_state(self, name: str, value: object) -> None:
        """Write one kind of state, whole or not at all; StateError leaves the old file as it was."""
        path = self.state_file(name)
        data = msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
        if len(data) > STATE_FILE_BYTES:
            raise StateError(
                f"state: {path} would grow beyond {STATE_FILE_BYTES} bytes; remove what is not needed"
            )
        try:
            write_private(path, data)
        except OSError as error:
            raise state_error("write", path, error) from None

    def __repr__(self) -> str:
        return f"Home({str(self.path)!r})"


class HomeLock:
    """The claim of one process on a home; the kernel gives it up when the process ends, however it ends."""

    __slots__ = ("_descriptor",)

    def __init__(self, home: Home) -> None:
        """Claim `home`; StateError when another gateway has it."""
        path = home.lock_file
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise state_error("open", path, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        except BlockingIOError:
            pid = _read_pid(descriptor)
            os.close(descriptor)
            raise StateError(
                f"home {home.path}: another gateway{f' (process {pid})' if pid else ''} runs on it; "
                "stop it with `overlay down`, or give this one a directory of its own with --home"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise state_error("lock", path, error) from None
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Give the home up; idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


_REMEDIES: Final = {
    errno.ENOSPC: "the disk is full; free some space and try again",
    errno.EDQUOT: "the disk quota is used up; free some space and try again",
    errno.EFBIG: "a file size limit is reached; raise `ulimit -f` and try again",
    errno.EROFS: "the file system is read-only; remount it, or choose another directory with --home",
    errno.EACCES: "permission denied; make it writable for you, or choose another directory with --home",
    errno.EPERM: "not permitted; make it writable for you, or choose another directory with --home",
    errno.ENOTDIR: "a file stands where a directory is needed; move it away, or choose another with --home",
    errno.EEXIST: "a file stands where a directory is needed; move it away, or choose another with --home",
    errno.ENAMETOOLONG: "the path is too long; choose a shorter one with --home",
    errno.EMFILE: "too many open files; raise `ulimit -n` and try again",
}


def state_error(action: str, path: Path, error: OSError) -> StateError:
    """The one line for a failed file operation, with the remedy that its errno calls for."""
    remedy = _REMEDIES.get(error.errno or 0)
    reason = remedy or f"{error.strerror or error}; check the disk, or choose another directory with --home"
    return StateError(f"state: cannot {action} {path}: {reason}")


def _is_private(directory: Path) -> bool:
    """Whether this is a real directory of ours that nobody else may enter."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _read_pid(descriptor: int) -> int:
    text = os.pread(descriptor, 20, 0).strip()
    return int(text) if text.isdigit() else 0


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
