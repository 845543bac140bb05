"""What the people of a document have already before it begins: a database, a printer."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lab.gateways import wait_until
from tests.lab.lans import Avahi

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.people import Person


def postgres(person: Person) -> None:
    """PostgreSQL as Debian has it, with a database, a user and a password."""
    programs = max(Path("/usr/lib/postgresql").iterdir()) / "bin"
    place = Path(person.closing.enter_context(tempfile.TemporaryDirectory(prefix="overlay-postgres-")))
    owner = pwd.getpwnam("postgres")  # whom pytest's own directories keep out
    os.chown(place, owner.pw_uid, owner.pw_gid)

    def as_postgres(*command: str, input: str = "") -> None:
        done = subprocess.run(
            person.machine.command("setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", *command),
            input=input, capture_output=True, text=True, timeout=50, check=False, cwd=place,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    (place / "password").write_text("top\n")
    as_postgres(str(programs / "initdb"), "-D", str(place / "data"), "-A", "scram-sha-256", "--no-sync", "-U", "postgres",
                "--pwfile", str(place / "password"))  # fmt: skip
    start = f"-k {place} -c listen_addresses=127.0.0.1 -c fsync=off"
    as_postgres(
        str(programs / "pg_ctl"),
        "-D",
        str(place / "data"),
        "-w",
        "-l",
        str(place / "log"),
        "-o",
        start,
        "start",
    )
    person.closing.callback(
        as_postgres, str(programs / "pg_ctl"), "-D", str(place / "data"), "-m", "immediate", "stop"
    )
    as_postgres(
        "psql", f"host={place} user=postgres password=top",
        input="create user app password 'secret'; create database app owner app;",
    )  # fmt: skip


def printer(person: Person) -> None:
    """An IPP Everywhere printer at port 8631 that prints into a directory; it insists on announcing itself."""
    avahi = Avahi(person.machine, person.place / "avahi").start()
    person.closing.callback(avahi.kill)
    person.variables["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={person.place}/avahi/bus"
    person.leaves_running(f"ippeveprinter -n localhost -p 8631 -d {person.place} Office")
    wait_until(
        lambda: person.machine.run("ss", "-ltn", "sport = 8631").stdout.count("8631") > 0,
        what="the printer listens",
    )


def _ssh_key(person: Person) -> Path:
    """The key of whoever logs in on this page."""
    key = person.place.parent / "ssh-key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return key


def ssh_server(person: Person) -> None:
    """An sshd on port 22 of loopback, for whoever has the key."""
    host, config = person.place / "ssh-host", person.place / "sshd_config"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host)], check=True)
    config.write_text(
        f"Port 22\nListenAddress 127.0.0.1\nHostKey {host}\nAuthorizedKeysFile {_ssh_key(person)}.pub\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
    )
    person.leaves_running(f"mkdir -p /run/sshd && $(command -v sshd) -D -e -f {config}")


def ssh_user(person: Person) -> None:
    """ssh with that key; it knows nobody yet, keeps what it learns in the person's own place, and reads ~/.ssh/config by $HOME."""
    known = person.place / "known_hosts"
    (person.place / "ssh_config").write_text(
        f"Include /run/{person.name}/.ssh/config\n"
        f"Host *\n    IdentityFile {_ssh_key(person)}\n    UserKnownHostsFile {known}\n    StrictHostKeyChecking accept-new\n"
    )
    person.types(f"mkdir -p ~/.ssh && cp {person.place}/ssh_config /etc/ssh/ssh_config")


def examples(person: Person) -> None:
    """The programs of examples/."""
    place = Path(__file__).parents[2] / "examples"
    person.types(f"cp {place}/*.py .")


BELONGINGS: Final[dict[str, tuple[tuple[str, Callable[[Person], None]], ...]]] = {
    "docs/howto/postgres.md": (("alice", postgres),),
    "docs/howto/printer.md": (("alice", printer),),
    "docs/howto/programs.md": (("alice", examples), ("bob", examples)),
    "docs/howto/ssh.md": (("alice", ssh_server), ("bob", ssh_user)),
}
"""Who has what, for each document that takes it for granted."""
