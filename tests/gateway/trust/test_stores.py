"""Running the programs of stores."""

from __future__ import annotations

import pytest

from gateway.trust.stores import StoreFailed, found, run, typed


def test_what_a_program_says_is_told():
    said = run(["sh", "-c", "echo out; echo 'so  and' >&2; echo so >&2; exit 3"])
    assert (said.code, said.output, said.error) == (3, b"out\n", "so and so")


def test_a_program_that_asks_gets_no_answer():
    assert run(["cat"]).output == b""


def test_one_that_is_missing_or_does_not_end_is_an_error_of_ours(monkeypatch):
    with pytest.raises(StoreFailed, match="no-such-program"):
        run(["no-such-program"])
    monkeypatch.setattr("gateway.trust.stores.TRUST_COMMAND_SECONDS", 0.1)
    with pytest.raises(StoreFailed, match="did not end"):
        run(["sleep", "10"])


def test_programs_are_found_and_commands_shown_as_they_are_typed():
    assert found("sh") is not None
    assert found("no-such-program") is None
    assert typed(("a", "b c", "$d")) == "a 'b c' '$d'"
