"""The file that an endpoint's secret key rests in.

One line of ASCII text::

    overlay-secret-key-v1 <58 characters>

where the characters are z-base-32 of 36 bytes: the 32-byte Ed25519 seed, then the first 4 bytes of SHA-256 over
the word before the space and the seed. The checksum tells a mistyped or cut line from a key.

The file belongs to its user and has mode 0600. A file that is wrong in any way is never overwritten.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from typing import TYPE_CHECKING, Final

from tunnels.errors import KeyFileError
from tunnels.identity import KEY_BYTES, SecretKey, zbase32_decode, zbase32_encode
from tunnels.limits import KEY_FILE_BYTES
from tunnels.private_files import PRIVATE, write_private

if TYPE_CHECKING:
    from pathlib import Path

_FORMAT: Final = "overlay-secret-key-v1"
_CHECKSUM_BYTES: Final = 4


def key_to_text(secret: SecretKey) -> str:
    """The line of the file, with its line end. This is the secret itself."""
    return f"{_FORMAT} {zbase32_encode(secret.seed + _checksum(secret.seed))}\n"


def key_from_text(text: str) -> SecretKey:
    """Read the line of a key file; ValueError says what is wrong and never repeats any of the text."""
    words = text.split()
    if len(words) != 2 or not words[0].startswith("overlay-secret-key-"):
        raise ValueError(f"expected one line `{_FORMAT} …`")
    if words[0] != _FORMAT:
        raise ValueError("it was written by another version of overlay")
    try:
        data = zbase32_decode(words[1])
    except ValueError:
        raise ValueError("the key is cut short or mistyped") from None
    seed, checksum = data[:KEY_BYTES], data[KEY_BYTES:]
    if len(data) != KEY_BYTES + _CHECKSUM_BYTES or checksum != _checksum(seed):
        raise ValueError("the key is cut short or mistyped")
    return SecretKey(seed)


def load_key(path: Path) -> SecretKey | None:
    """The key in the file, or None when there is no such file; KeyFileError when it cannot be used.

    A file that others may read is closed to them first.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failure("read", path, error) from None
    try:
        with open(descriptor, "rb") as file:
            _check_owner(path, descriptor)
            data = file.read(KEY_FILE_BYTES + 1)
    except OSError as error:
        raise _failure("read", path, error) from None
    if len(data) > KEY_FILE_BYTES:
        raise _corrupt(path, f"it is larger than {KEY_FILE_BYTES} bytes")
    try:
        return key_from_text(data.decode("ascii", errors="replace"))
    except ValueError as error:
        raise _corrupt(path, str(error)) from None


def create_key(path: Path) -> SecretKey:
    """A new key, written to a file that does not exist yet; KeyFileError when it exists or cannot be written."""
    secret = SecretKey(secrets.token_bytes(KEY_BYTES))
    save_key(path, secret)
    return secret


def load_or_create_key(path: Path) -> SecretKey:
    """The key in the file, made at the first call; KeyFileError leaves the file as it was."""
    return load_key(path) or create_key(path)


def save_key(path: Path, secret: SecretKey) -> None:
    """Write a key to a file that does not exist yet; KeyFileError when it exists or cannot be written."""
    try:
        write_private(path, key_to_text(secret).encode("ascii"), replace=False)
    except FileExistsError:
        raise KeyFileError(f"identity: {path} exists already; it is left as it was") from None
    except OSError as error:
        raise _failure("write", path, error) from None


def replace_key(path: Path, secret: SecretKey) -> Path | None:
    """Write a key over whatever is in the file, which stays under the name returned (`<name>.old-<n>`).

    None when there was no file. KeyFileError leaves the old file in place.
    """
    try:
        backup = _back_up(path)
        write_private(path, key_to_text(secret).encode("ascii"))
    except OSError as error:
        raise _failure("write", path, error) from None
    return backup


def _back_up(path: Path) -> Path | None:
    """Give the file a second name, the first free one."""
    for number in range(1, 1000):
        backup = path.with_name(f"{path.name}.old-{number}")
        try:
            os.link(path, backup)
        except FileExistsError:
            continue
        except FileNotFoundError:
            return None
        return backup
    raise KeyFileError(f"identity: {path} has a thousand backups; remove some of {path.name}.old-*")


def _checksum(seed: bytes) -> bytes:
    return hashlib.sha256(_FORMAT.encode("ascii") + seed).digest()[:_CHECKSUM_BYTES]


def _check_owner(path: Path, descriptor: int) -> None:
    """Refuse what is not a file of ours; close one that others may read."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise _corrupt(path, "it is not a file")
    if found.st_uid not in (os.getuid(), 0):
        raise KeyFileError(
            f"identity: {path} belongs to somebody else (uid {found.st_uid}); make it yours with chown"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        try:
            os.fchmod(descriptor, PRIVATE)
        except OSError:
            raise KeyFileError(f"identity: others can read {path}; run `chmod 600 {path}`") from None


def _corrupt(path: Path, reason: str) -> KeyFileError:
    return KeyFileError(
        f"identity: {path} is not a usable key: {reason}; restore it from a backup, "
        "or move it away to start with a new identity"
    )


def _failure(action: str, path: Path, error: OSError) -> KeyFileError:
    return KeyFileError(
        f"identity: cannot {action} {path}: {error.strerror or error}; check the disk and the directory's permissions"
    )
