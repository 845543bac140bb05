from __future__ import annotations

import pytest

from gateway.system_dns import asking, installing, journal
from gateway.system_dns.dnsmasq import Dnsmasq
from gateway.system_dns.facts import Listener
from gateway.system_dns.status import status
from tests.lab.fake_machine import FakeMachine
from tests.lab.system_facts import TARGET, facts

DNSMASQ = "/usr/sbin/dnsmasq -7 /etc/dnsmasq.d"
SEEN = facts(DNSMASQ)


@pytest.fixture
def problem(monkeypatch):
    """What asking names says: an empty list for nothing wrong, or the problem."""
    said = []
    monkeypatch.setattr(asking, "check", lambda *_: said[0] if said else "")
    return said


@pytest.fixture
def installed(problem):
    machine = FakeMachine()
    machine.directories.add("/etc/dnsmasq.d")
    installing.install(machine, Dnsmasq().plan(SEEN, machine, TARGET), lambda: "")
    return machine


def test_what_is_installed_and_works(installed):
    report = status(installed, facts=SEEN)
    assert (report.state, report.manager, report.verified) == ("installed", "dnsmasq", True)
    assert (report.server, report.home) == (str(TARGET.server), TARGET.home)
    assert report.files == ("/etc/dnsmasq.d/overlay.conf",)
    assert report.listeners[0].address == "127.0.0.1:53"
    assert report.listeners[0].program == "dnsmasq"
    assert report.remedies == ()


def test_nothing_is_installed(problem):
    problem.append("it finds no names")
    report = status(FakeMachine(), facts=SEEN, server=TARGET.server, command="overlay --home X")
    assert (report.state, report.verified, report.problem) == ("none", False, "it finds no names")
    assert report.remedies == ("sudo overlay --home X dns install",)


def test_nobody_knows_where_our_server_is(problem):
    report = status(FakeMachine(), facts=SEEN)
    assert (report.state, report.verified) == ("none", None)


def test_with_nobody_to_tell_the_reason_is_the_remedy(problem):
    problem.append("it finds no names")
    report = status(FakeMachine(), facts=facts(nameservers=("192.0.2.1",)), server=TARGET.server)
    assert "directly" in report.remedies[0]


def test_the_gateway_is_away(installed, problem):
    problem.append("our own DNS server does not answer")
    report = status(installed, facts=SEEN)
    assert (report.state, report.verified) == ("installed", False)
    assert report.remedies[0].startswith("overlay up")


def test_a_file_of_ours_is_gone(installed):
    installed.unlink("/etc/dnsmasq.d/overlay.conf")
    report = status(installed, facts=SEEN)
    assert report.state == "changed"
    assert "dns install" in report.remedies[0]


def test_it_was_interrupted(installed):
    noted = journal.load(installed)
    journal.save(
        installed,
        type(noted)(
            **{name: getattr(noted, name) for name in noted.__struct_fields__} | {"state": "applying"}
        ),
    )
    assert status(installed, facts=SEEN).state == "incomplete"


def test_a_damaged_note_is_told(problem):
    machine = FakeMachine()
    machine.put(journal.JOURNAL, "?")
    report = status(machine, facts=SEEN)
    assert report.state == "incomplete"
    assert "damaged" in report.problem


def test_adguard_home_has_a_line_to_be_added(problem):
    seen = facts("/opt/AdGuardHome/AdGuardHome -s run", listeners=(Listener("udp", "0.0.0.0", 53, 100),))
    assert any("AdGuard" in line for line in status(FakeMachine(), facts=seen).remedies)
