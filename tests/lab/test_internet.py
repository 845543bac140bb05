"""The internet that other tests stand on is what it claims to be, goes wrong as told, and is gone afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.internet import an_internet

if TYPE_CHECKING:
    from tests.lab.internet import Internet

pytestmark = pytest.mark.needs("root", "ip", "nft", "conntrack", "tun")

ROOT = Path(__file__).parents[2]


def namespaces_of(pid: int) -> list[str]:
    return [path.name for path in Path("/run/netns").glob(f"ovl{pid}x*")]


# Nothing is left behind


def fill_and_raise(internet: Internet, error: type[BaseException]) -> None:
    internet.home("alice").host("laptop")
    assert "longway" in internet.core.run("ip", "link").stdout
    raise error


def test_everything_is_removed_when_a_test_fails_or_is_interrupted():
    for error in (AssertionError, KeyboardInterrupt):
        with pytest.raises(error), an_internet(delay=0.001) as internet:
            fill_and_raise(internet, error)
        assert namespaces_of(os.getpid()) == []


PROGRAM = """
import os, signal
from tests.lab.internet import an_internet
with an_internet() as internet:
    internet.server("server")
    print(os.getpid(), flush=True)
    os.kill(os.getpid(), signal.{})
"""


def program(ending: str) -> subprocess.CompletedProcess[str]:
    """Run a program that makes an internet and then ends as told."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(ending)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_ctrl_c_leaves_nothing():
    done = program("SIGINT")
    assert "KeyboardInterrupt" in done.stderr
    assert namespaces_of(int(done.stdout)) == []


def test_what_a_killed_run_left_is_removed_by_the_next():
    done = program("SIGKILL")
    assert done.returncode == -signal.SIGKILL
    assert len(namespaces_of(int(done.stdout))) == 2
    with an_internet():
        assert namespaces_of(int(done.stdout)) == []


def test_a_thread_that_entered_a_namespace_is_back_afterwards(internet):
    def where() -> Path:
        return Path("/proc/thread-self/ns/net").readlink()

    before = where()
    with contextlib.suppress(ZeroDivisionError), internet.server("server").entered():
        assert where() != before
        raise ZeroDivisionError
    assert where() == before


# The way between


def test_both_public_networks_reach_each_other_and_each_packet_takes_its_time(udp):
    with an_internet(delay=0.02) as internet:
        here, there = udp(internet.server("here")), udp(internet.server("there", net=1))
        assert here.place[0].startswith("203.0.113.")
        assert there.place[0].startswith("198.51.100.")
        begun = time.monotonic()
        here.send(b"marco", there.place)
        assert there.hear() == (b"marco", here.place)
        there.send(b"polo", here.place)
        assert here.hear() == (b"polo", there.place)
        assert time.monotonic() - begun >= 2 * 0.0195


def test_a_burst_crosses_the_long_way_as_it_was_sent(udp):
    with an_internet(delay=0.005) as internet:
        here, there = udp(internet.server("here")), udp(internet.home("home").host("laptop"))
        there.send(b"open", here.place)
        _, back = here.hear()
        segment = 103  # UDP_SEGMENT
        burst = b"".join(bytes([number]) * 1400 for number in range(40))
        here.socket.sendmsg(
            [burst], [(socket.IPPROTO_UDP, segment, (1400).to_bytes(2, sys.byteorder))], 0, back
        )
        assert [there.hear()[0] for _ in range(40)] == [bytes([number]) * 1400 for number in range(40)]


# What goes wrong


def test_a_blackhole_swallows_one_direction_until_it_is_mended(internet, udp):
    alice, bob = (udp(internet.home(name).host("laptop")) for name in ("alice", "bob"))
    alice.send(b"open", bob.place)
    bob.send(b"open", alice.place)
    assert alice.hear()[0] == b"open"
    internet.blackhole(alice.machine, bob.machine)
    alice.send(b"into the hole", bob.place)
    bob.send(b"still here", alice.place)
    assert alice.hear()[0] == b"still here"
    assert bob.hears_nothing()
    internet.mend()
    alice.send(b"again", bob.place)
    assert bob.hear()[0] == b"again"


def test_a_blackhole_works_within_a_home_too(internet, udp):
    home = internet.home("home")
    desk, laptop = udp(home.host("desk")), udp(home.host("laptop"))
    internet.blackhole(desk.machine, laptop.machine)
    desk.send(b"into the hole", (laptop.machine.address, 7000))
    assert laptop.hears_nothing()
    laptop.send(b"hello", (desk.machine.address, 7000))
    assert desk.hear()[0] == b"hello"
    internet.mend()
    desk.send(b"again", (laptop.machine.address, 7000))
    assert laptop.hear()[0] == b"again"


def test_a_server_that_is_cut_off_neither_hears_nor_is_heard(internet, udp):
    here, there = udp(internet.server("here")), udp(internet.server("there"))
    internet.cut_off(there.machine)
    here.send(b"hello", there.place)
    there.send(b"hello", here.place)
    assert here.hears_nothing()
    assert there.hears_nothing()


@pytest.mark.parametrize("who", ["server", "laptop", "router"])
def test_a_machine_that_changes_its_address_is_found_at_the_new_one_only(internet, udp, who):
    home, server = internet.home("home"), udp(internet.server("server"))
    laptop = udp(home.host("laptop"))
    machine = {"server": server.machine, "laptop": laptop.machine, "router": home.router}[who]
    before = machine.address
    laptop.send(b"hello", server.place)
    _, seen = server.hear()
    internet.change_address(machine)
    assert machine.address != before
    assert f"{before}/" not in machine.run("ip", "addr").stdout
    laptop.send(b"hello again", server.place)
    text, now_seen = server.hear()
    assert text == b"hello again"
    assert (now_seen[0] == seen[0]) is (who != "router")
    server.send(b"welcome", now_seen)
    assert laptop.hear()[0] == b"welcome"


def test_a_machine_moves_to_another_home_and_to_the_internet(internet, udp):
    first, second, server = internet.home("first"), internet.home("second"), udp(internet.server("server"))
    second.host("desk")
    laptop = udp(first.host("laptop"))
    for place in (first, second, internet):
        if place is not first:
            internet.move(laptop.machine, place)
        laptop.send(b"hello", server.place)
        assert server.hear()[1][0] == laptop.machine.public_address
        server.send(b"welcome", laptop.place)
        assert laptop.hear() == (b"welcome", server.place)
    assert laptop.machine.address == laptop.machine.public_address


def test_a_machine_with_two_links_goes_out_by_the_one_it_prefers_or_has_left(internet, udp):
    home, mobile, server = internet.home("home"), internet.provider("mobile"), udp(internet.server("server"))
    laptop = udp(home.host("laptop"))
    mobile.plug(laptop.machine, "wwan0")
    assert laptop.machine.links["wwan0"].address.startswith("100.64.0.")

    def leaves_by() -> str:
        laptop.send(b"hello", server.place)
        source = server.hear()[1]
        server.send(b"welcome", source)
        assert laptop.hear()[0] == b"welcome"
        assert source[0] == laptop.machine.public_address
        return source[0]

    assert leaves_by() == home.public_address
    laptop.machine.prefer("wwan0")
    assert leaves_by() == mobile.public_address
    laptop.machine.prefer("eth0")
    assert leaves_by() == home.public_address
    home.unplug(laptop.machine)
    assert leaves_by() == mobile.public_address
