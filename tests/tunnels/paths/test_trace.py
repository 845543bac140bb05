"""Facts about the decision trace."""

from __future__ import annotations

from tunnels import limits
from tunnels.paths.trace import Trace


def test_decisions_are_lines_for_people_oldest_first():
    trace = Trace()
    trace.add(1.0, "changed to 192.0.2.1:7", "a direct path is better")
    trace.add(2.0, "asked all")
    assert [str(entry) for entry in trace.entries] == [
        "changed to 192.0.2.1:7: a direct path is better",
        "asked all",
    ]
    assert [entry.at for entry in trace.entries] == [1.0, 2.0]


def test_what_is_repeated_takes_one_place():
    trace = Trace()
    for now in range(1000):
        trace.add(float(now), "asked all", "QUIC hears nothing")
    (entry,) = trace.entries
    assert str(entry) == "asked all: QUIC hears nothing (1000 times)"
    assert entry.at == 0.0


def test_only_the_last_decisions_are_kept():
    trace = Trace()
    for now in range(1000):
        trace.add(float(now), f"decision {now}")
    assert len(trace) == limits.TRACE_ENTRIES
    assert trace.entries[-1].what == "decision 999"
