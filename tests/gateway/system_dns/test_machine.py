from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gateway.system_dns import installing
from gateway.system_dns.dnsmasq import Dnsmasq
from gateway.system_dns.errors import SystemDnsError
from gateway.system_dns.facts import Process
from gateway.system_dns.limits import SYSTEM_FILE_BYTES
from gateway.system_dns.machine import (
    RealMachine,
    make_directory,
    missing_directories,
    remove_whole,
    temporary_of,
    write_whole,
)
from tests.lab.system_facts import TARGET, facts

KILLED_AT_EACH_STEP = """
import os, signal, sys
from gateway.system_dns import installing, journal
from gateway.system_dns.machine import RealMachine, Ran
from tests.gateway.system_dns.test_installing import plan

class Mortal:
    def __init__(self, root, steps):
        self.real, self.steps = RealMachine(root), steps
    def __getattr__(self, name):
        if name in ("write", "sync", "rename", "unlink", "make_directory", "remove_directory", "run"):
            self.steps -= 1
            if self.steps < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return (lambda command: Ran(0)) if name == "run" else getattr(self.real, name)

def tree():
    return sorted((place, tuple(files)) for place, _, files in os.walk(root) if "overlay-dns" not in place)

root, steps, killed = sys.argv[1], 0, 0
for name in ("etc/resolver.d", "var/lib"):
    os.makedirs(f"{root}/{name}")
open(f"{root}/etc/resolver.d/mine.conf", "w").close()
before = tree()
for act in ("install", "remove"):
    for steps in range(1000):
        if act == "remove":
            installing.install(Mortal(root, 10_000), plan(), lambda: "")
        child = os.fork()
        if not child:
            machine = Mortal(root, steps)
            if act == "install":
                installing.install(machine, plan(), lambda: "")
            else:
                installing.remove(machine)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if act == "remove" or status:
            if steps % 2:
                installing.install(Mortal(root, 10_000), plan(), lambda: "")
                assert journal.load(RealMachine(root)).state == "installed", steps
            installing.remove(Mortal(root, 10_000))
            assert tree() == before, (act, steps, tree())
        if not status:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        killed += 1
    installing.remove(Mortal(root, 10_000))
print(killed)
"""


def test_killed_at_each_step_real_files_are_put_right_by_the_next_run(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EACH_STEP, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40


def test_files_are_written_whole_with_their_mode(tmp_path):
    machine = RealMachine(str(tmp_path))
    assert missing_directories(machine, ("/a/b/c.conf", "/a/d.conf")) == ["/a", "/a/b"]
    for directory in ("/a", "/a/b"):
        make_directory(machine, directory)
    before = os.umask(0o077)
    try:
        write_whole(machine, "/a/b/c.conf", b"one")
        write_whole(machine, "/a/b/c.conf", b"two")
    finally:
        os.umask(before)
    assert machine.read("/a/b/c.conf") == b"two"
    assert machine.entries("/a/b") == ("c.conf",)
    assert (tmp_path / "a" / "b" / "c.conf").stat().st_mode & 0o777 == 0o644
    assert not machine.remove_directory("/a")
    remove_whole(machine, "/a/b/c.conf")
    remove_whole(machine, "/a/b/c.conf")
    assert machine.remove_directory("/a/b")
    assert machine.remove_directory("/a/b")
    assert not machine.is_directory("/a/b")


def test_a_link_that_waits_for_us_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / temporary_of("/x").lstrip("/")).symlink_to(victim)
    write_whole(RealMachine(str(tmp_path)), "/x", b"ours")
    assert victim.read_text() == "kept"
    assert (tmp_path / "x").read_text() == "ours"


def test_what_is_not_there_is_none(tmp_path):
    machine = RealMachine(str(tmp_path))
    assert machine.read("/none/such") is None
    assert machine.entries("/none") == ()


def test_a_file_beyond_the_bound_is_refused(tmp_path):
    (tmp_path / "full").write_bytes(b"x" * SYSTEM_FILE_BYTES)
    (tmp_path / "more").write_bytes(b"x" * (SYSTEM_FILE_BYTES + 1))
    machine = RealMachine(str(tmp_path))
    assert machine.read("/full") is not None
    with pytest.raises(OSError, match="large"):
        machine.read("/more")


def test_commands_tell_their_last_line_and_what_fails_is_one_line(monkeypatch):
    machine = RealMachine()
    ran = machine.run(("sh", "-c", "echo one; echo two >&2; exit 3"))
    assert (ran.code, ran.said) == (3, "two")
    with pytest.raises(SystemDnsError, match="is not installed"):
        machine.run(("no-such-program-here",))
    monkeypatch.setattr("gateway.system_dns.machine.SYSTEM_COMMAND_SECONDS", 0.05)
    with pytest.raises(SystemDnsError, match="did not end"):
        machine.run(("sleep", "5"))


@pytest.mark.needs("root")
def test_a_program_of_another_user_that_is_called_dnsmasq_does_not_lead_root_into_its_directory(tmp_path):
    evil = tmp_path / "evil"
    evil.mkdir()
    os.chown(evil, 65534, 65534)
    found = Process(1234, "dnsmasq", ("dnsmasq", f"--conf-dir={evil}"))
    plan = Dnsmasq().plan(facts(processes=(found,)), RealMachine(), TARGET)
    assert [file.path for file in plan.files] == [f"{evil}/overlay.conf"]
    with pytest.raises(SystemDnsError, match="can be changed by others than root"):
        installing.install(RealMachine(), plan, lambda: "")
    assert list(evil.iterdir()) == []
