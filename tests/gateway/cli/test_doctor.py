"""`overlay doctor`: how findings are printed, which exit code they make, where the report goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.gateway.doctor.facts import facts, home, machine

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.doctor.facts import Facts
    from tests.gateway.cli.conftest import Alone


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Facts]:
    """The facts that are gathered, the last one again and again."""
    values = [facts()]
    monkeypatch.setattr("gateway.doctor.gathering.gather", lambda *_, **__: values[-1])
    return values


def test_all_is_well_is_exit_code_0(alone: Alone, given: list[Facts]) -> None:
    done = alone("doctor")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("\nAll is well.\n")
    assert "✗" not in done.out


def test_a_warning_is_no_failure_and_a_problem_is(alone: Alone, given: list[Facts]) -> None:
    given.append(facts(machine=machine(receive_buffer=212_992)))
    done = alone("doctor")
    assert done.code == 0
    assert "! machine   UDP sockets get 208 KB" in done.out
    assert "→ sudo sysctl -w net.core.rmem_max=4194304 net.core.wmem_max=4194304" in done.out
    assert "1 warning." in done.out
    given.append(facts(home=home(free_bytes=1)))
    done = alone("doctor")
    assert done.code == 1
    assert "✗           0 MB left" in done.out
    assert "1 problem." in done.out


def test_json_is_all_there_is_on_stdout(alone: Alone, given: list[Facts]) -> None:
    report = alone("doctor", "--json").json
    assert report["worst"] == "ok"
    assert {"id", "subject", "severity", "what", "why", "remedy", "fixable"} == set(report["findings"][0])


def test_subjects_are_checked(alone: Alone, given: list[Facts]) -> None:
    assert alone("doctor", "dns", "clock").code == 0
    done = alone("doctor", "dnss")
    assert done.code == 2
    assert "'dnss' is not one of" in done.err


def test_a_bundle_goes_to_a_file_or_to_stdout(alone: Alone, given: list[Facts], tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    assert f"{file}: the report" in alone("doctor", "--bundle", str(file)).out
    assert json.loads(file.read_text())["findings"]
    assert alone("doctor", "--bundle", str(file)).code == 2
    assert alone("doctor", "--bundle", "-").json["version"] == "1.0"
    assert alone("doctor", "--bundle", "-", "--json").code == 2
    done = alone("doctor", "--bundle", str(tmp_path / "no" / "where"))
    assert (done.code, done.err.count("\n")) == (1, 1)


def test_a_bundle_that_would_be_too_large_leaves_the_contacts_out(
    alone: Alone, given: list[Facts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cli.doctor.DOCTOR_BUNDLE_BYTES", 10)
    assert alone("doctor", "--bundle", "-").json["status"]["contacts"] == []
