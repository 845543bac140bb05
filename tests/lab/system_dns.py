"""Machines with a resolver of their own: a namespace whose /etc, /usr, /var and /run look as if that resolver had been installed.

Nothing of the real machine is changed: the directories are laid over the real ones, and the programs come from `build/debian`, where
`make packages` unpacks them. `systemctl` is a stand-in that knows the services which a test has started here. Outside lies a network
whose DNS server knows `outside.example` and `ipv4only.arpa`, so that it is seen whether other names still work.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lab.netns import Namespace, new_tag, uninterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGES: Final = Path(__file__).parents[2] / "build" / "debian" / "root"
"""As if they were installed: see scripts/debian-packages."""
UPSTREAM: Final = "192.0.2.53"
OUTSIDE: Final = "outside.example"
OUTSIDE_ADDRESS: Final = "9.9.9.7"
"""dnsmasq takes addresses for documentation for private ones, and keeps them back."""

_USERS: Final = ("systemd-resolve", "unbound", "dnsmasq", "messagebus")

_SYSTEMCTL: Final = """#!/bin/sh
# What systemd would do with the services that the test has started.
action=$1 unit=${2%.service} place=/run/lab
[ "$action" != show ] || exit 0
[ -x $place/$unit.start ] || { echo "Unit $unit.service not found." >&2; exit 5; }
pid=$(cat $place/$unit.pid 2>/dev/null)
alive() { # and no zombie that nobody has collected yet, which has no threads
    [ "$pid" ] && state=$(cat /proc/$pid/stat 2>/dev/null) || return 1
    case $state in *") Z"*) [ "$(ls /proc/$pid/task | wc -l)" -gt 1 ] ;; esac
}
case $action in
is-active) if alive; then echo active; else echo inactive; exit 3; fi ;;
reload) kill -HUP $pid ;;
stop | start | restart | reload-or-restart)
    if alive && [ $action != start ]; then
        kill $pid
        while alive; do sleep 0.02; done
        pkill -KILL -s $pid || : # what it started
    fi
    if [ $action != stop ]; then
        setsid $place/$unit.start </dev/null >>$place/$unit.log 2>&1 &
        echo $! >$place/$unit.pid
    fi ;;
*) echo "systemctl: $action is not known to this stand-in" >&2; exit 1 ;;
esac
"""


class SystemMachine(Namespace):
    """A namespace with files of its own; commands run in it see those."""

    def __init__(self, name: str, place: Path) -> None:
        super().__init__(name)
        self.place = place
        self._outside = Namespace(f"{name}o")
        self._holder: subprocess.Popen[str] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        assert self._holder is not None
        return ["nsenter", f"--target={self._holder.pid}", "--mount", "--net", "--wd=/", *arguments]

    def create(self) -> None:
        super().create()
        self.place.mkdir()
        script = [f"mount -t tmpfs tmpfs {self.place}"]
        for name in ("etc", "usr", "var"):
            lower = f"{PACKAGES / name}:/{name}" if (PACKAGES / name).exists() else f"/{name}"
            up, work = self.place / name, self.place / f"{name}.work"
            script.append(
                f"mkdir {up} {work} && mount -t overlay overlay -o lowerdir={lower},upperdir={up},workdir={work} /{name}"
            )
        script += ["mount -t tmpfs tmpfs /run", "echo ready", "exec sleep infinity"]
        self._holder = subprocess.Popen(
            super().command("sh", "-ec", "\n".join(script)), stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n", (
            "the directories could not be laid over the real ones"
        )
        self._furnish()

    def _furnish(self) -> None:
        known = self.read("/etc/passwd")
        for number, user in enumerate(_USERS, start=980):
            if f"\n{user}:" not in known:
                self.append("/etc/passwd", f"{user}:x:{number}:{number}::/:/usr/sbin/nologin\n")
                self.append("/etc/group", f"{user}:x:{number}:\n")
        self.write("/usr/bin/systemctl", _SYSTEMCTL, mode=0o755)
        self.run("mkdir", "-p", "/run/lab", "/run/systemd/system", "/run/dbus", "/run/lock")
        self.run("rm", "-f", "/etc/resolv.conf")
        self.write("/etc/resolv.conf", f"nameserver {UPSTREAM}\n")
        self.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
        self._outside.create()
        self._outside.ip(
            f"link add eth0 type veth peer name eth0 netns {self.name}",
            f"addr add {UPSTREAM}/24 dev eth0",
            "link set eth0 up",
        )
        self.ip("addr add 192.0.2.2/24 dev eth0", "link set eth0 up", f"route add default via {UPSTREAM}")
        words = (
            "dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --pid-file= --user=root --local=/#/"
            f" --address=/{OUTSIDE}/{OUTSIDE_ADDRESS} --address=/ipv4only.arpa/192.0.0.170"
        )
        self._server = subprocess.Popen(self._outside.command(*words.split()))
        self.wait_until(
            lambda: OUTSIDE_ADDRESS in self.dig(OUTSIDE, server=UPSTREAM), "the server outside answers"
        )

    # -- files and services --------------------------------------------------------------------------------

    def read(self, path: str) -> str:
        return self.run("cat", path).stdout

    def exists(self, path: str) -> bool:
        return self.run("test", "-e", path, check=False).returncode == 0

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        where = shlex.quote(path)
        self.run(
            "sh", "-c", f"mkdir -p $(dirname {where}) && cat >{where} && chmod {mode:o} {where}", input=text
        )

    def append(self, path: str, text: str) -> None:
        self.run("sh", "-c", f"cat >>{shlex.quote(path)}", input=text)

    def start(self, unit: str, command: str) -> None:
        """Start a service; `systemctl restart` in here knows it from now on."""
        self.write(f"/run/lab/{unit}.start", f"#!/bin/sh\nexec {command}\n", mode=0o755)
        self.systemctl("start", unit)

    def systemctl(self, action: str, unit: str) -> None:
        self.run("systemctl", action, unit)

    def log(self, unit: str) -> str:
        return self.read(f"/run/lab/{unit}.log")

    def remove(self) -> None:
        if self._holder is not None:
            for pid in self._inside():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._holder.wait(20)
            assert self._holder.stdout is not None
            self._holder.stdout.close()
        if self._server is not None:
            self._server.kill()
            self._server.wait(20)
        self._outside.remove()
        super().remove()

    def _inside(self) -> list[int]:
        """Every process that sees our directories: nobody else's do."""
        assert self._holder is not None
        ours = os.readlink(f"/proc/{self._holder.pid}/ns/mnt")
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if os.readlink(entry / "ns" / "mnt") == ours:
                        found.append(int(entry.name))
        return found

    # -- asking ----------------------------------------------------------------------------------------------

    def dig(self, name: str, *words: str, server: str | None = None) -> str:
        """What `dig +short` says; of the server in resolv.conf unless told otherwise."""
        at = [f"@{server}"] if server else []
        return self.run("dig", *at, "+short", "+tries=1", "+time=5", name, *words, check=False).stdout.strip()

    def getent(self, name: str) -> str:
        """The address that programs find, or nothing."""
        found = self.run("getent", "ahostsv4", name, check=False).stdout.split()
        return found[0] if found else ""

    @staticmethod
    def wait_until(condition: Callable[[], object], what: str, seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
            time.sleep(0.05)


# -- The resolvers ---------------------------------------------------------------------------------------------


def with_dnsmasq(machine: SystemMachine, *flags: str, check: bool = True) -> str:
    """As Debian's package dnsmasq sets it up, in front of the server outside."""
    machine.run("mkdir", "-p", "/etc/dnsmasq.d", "/run/dnsmasq")
    words = " ".join(flags)
    machine.start(
        "dnsmasq",
        "dnsmasq --keep-in-foreground --conf-file=/dev/null --conf-dir=/etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new"
        f" --pid-file=/run/dnsmasq/dnsmasq.pid --no-resolv --no-hosts --server={UPSTREAM} --user=root --bind-interfaces"
        f" --listen-address=127.0.0.1 --stop-dns-rebind {words}",
    )
    _is_asked(machine, check=check)
    return "dnsmasq"


def with_unbound(machine: SystemMachine, server: str = "", *, check: bool = True) -> str:
    """As Debian's package sets it up, with the server outside for everything else; which does not validate, if that is not to be checked."""
    machine.write(
        "/etc/unbound/unbound.conf",
        'include-toplevel: "/etc/unbound/unbound.conf.d/*.conf"\n'
        f'server:\n    username: ""\n    chroot: ""\n    directory: "/etc/unbound"\n    use-syslog: no\n    pidfile: "/run/unbound.pid"\n'
        "    interface: 127.0.0.1\n    private-address: 127.0.0.0/8\n"
        f"{server}"
        f'forward-zone:\n    name: "."\n    forward-addr: {UPSTREAM}\n',
    )
    machine.run("rm", "-rf", "/etc/unbound/unbound.conf.d")
    machine.run("mkdir", "-p", "/etc/unbound/unbound.conf.d")
    machine.start("unbound", "unbound -d -c /etc/unbound/unbound.conf")
    _is_asked(machine, check=check)
    return "unbound"


def with_resolved(machine: SystemMachine, config: str = "") -> str:
    """systemd-resolved with the server outside on the link, as a network manager would tell it."""
    machine.write("/etc/systemd/resolved.conf", f"[Resolve]\n{config}")
    _start_bus(machine)
    machine.start("systemd-resolved", "/usr/lib/systemd/systemd-resolved")
    machine.wait_until(
        lambda: machine.run("resolvectl", "dns", "eth0", UPSTREAM, check=False).returncode == 0,
        "resolved answers on the bus",
    )
    machine.run("rm", "-f", "/etc/resolv.conf")
    machine.run("ln", "-s", "/run/systemd/resolve/stub-resolv.conf", "/etc/resolv.conf")
    return "systemd-resolved"


def with_network_manager(machine: SystemMachine) -> str:
    """NetworkManager with a connection that has the server outside, and a dnsmasq of its own before it."""
    machine.write(
        "/etc/NetworkManager/NetworkManager.conf",
        "[main]\nplugins=keyfile\ndns=dnsmasq\nauth-polkit=false\nrc-manager=file\n"
        "[keyfile]\nunmanaged-devices=interface-name:lo\n",
    )
    machine.write(
        "/etc/NetworkManager/system-connections/wired.nmconnection",
        "[connection]\nid=wired\ntype=ethernet\ninterface-name=eth0\n"
        f"[ipv4]\nmethod=manual\naddresses=192.0.2.2/24\ngateway={UPSTREAM}\ndns={UPSTREAM};\n[ipv6]\nmethod=disabled\n",
        mode=0o600,
    )
    machine.run(
        "mkdir", "-p", "/etc/NetworkManager/dnsmasq.d", "/var/lib/NetworkManager", "/run/NetworkManager"
    )
    machine.run("rm", "-rf", "/etc/resolv.conf", "/etc/NetworkManager/dispatcher.d")
    machine.run("mount", "-o", "remount,ro", "/sys")  # as in a container: there is no udev to wait for
    _start_bus(machine)
    machine.start("NetworkManager", "NetworkManager --no-daemon --debug")
    machine.wait_until(
        lambda: machine.run("nmcli", "connection", "up", "wired", check=False).returncode == 0,
        "the network is up",
    )
    machine.wait_until(lambda: machine.getent(OUTSIDE) == OUTSIDE_ADDRESS, "names outside are found")
    return "NetworkManager"


RESOLVERS: Final[dict[str, Callable[[SystemMachine], str]]] = {
    "dnsmasq": with_dnsmasq,
    "unbound": with_unbound,
    "systemd-resolved": with_resolved,
    "network-manager": with_network_manager,
}
"""By the names that `overlay dns install --manager` has for them; each gives back the service that `systemctl` knows it by."""


def _start_bus(machine: SystemMachine) -> None:
    if machine.exists("/run/dbus/system_bus_socket"):
        return
    machine.start("dbus", "dbus-daemon --system --nofork --nopidfile --nosyslog")
    machine.wait_until(lambda: machine.exists("/run/dbus/system_bus_socket"), "the bus is there")


def _is_asked(machine: SystemMachine, nameserver: str = "127.0.0.1", *, check: bool = True) -> None:
    """Programs ask this one from now on; until it answers."""
    machine.run("rm", "-f", "/etc/resolv.conf")
    machine.write("/etc/resolv.conf", f"nameserver {nameserver}\n")
    if check:
        machine.wait_until(lambda: machine.getent(OUTSIDE) == OUTSIDE_ADDRESS, "names outside are found")


@contextlib.contextmanager
def system_machine(place: Path) -> Iterator[SystemMachine]:
    """A machine that asks the server outside; give it a resolver by one of the functions above."""
    tag = new_tag()
    machine = SystemMachine(tag, place / tag)
    try:
        machine.create()
        yield machine
    finally:
        with uninterrupted():
            machine.remove()
