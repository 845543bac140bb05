from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.system_dns import journal
from gateway.system_dns.errors import SystemDnsError
from gateway.system_dns.journal import Journal, WrittenFile
from tests.lab.fake_machine import FakeMachine

NOTE = Journal(
    state="installed",
    manager="dnsmasq",
    server="127.0.0.1:5399",
    home="/home/bob",
    files=(WrittenFile(path="/etc/a", after=b"\x00\xff new", before=b"old"),),
    directories=("/etc/b",),
    reloads=(("systemctl", "restart", "dnsmasq"),),
)


def test_what_is_noted_is_read_again_until_it_is_forgotten():
    machine = FakeMachine()
    assert journal.load(machine) is None
    journal.save(machine, NOTE)
    assert journal.load(machine) == NOTE
    journal.forget(machine)
    assert journal.load(machine) is None
    assert machine.directories == FakeMachine().directories


@given(st.one_of(st.text(max_size=60), st.sampled_from(["[" * 100_000, '{"version":2}', "null", "{}"])))
def test_a_damaged_note_is_one_line_with_the_remedy(text):
    machine = FakeMachine()
    machine.put(journal.JOURNAL, text)
    with pytest.raises(SystemDnsError, match="is damaged") as caught:
        journal.load(machine)
    assert "\n" not in str(caught.value)
