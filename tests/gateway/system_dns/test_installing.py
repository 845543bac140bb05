from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.system_dns import installing, journal
from gateway.system_dns.errors import SystemDnsError
from gateway.system_dns.machine import Ran, temporary_of
from gateway.system_dns.plan import Plan, PlannedFile, Target, marked
from tests.lab.fake_machine import Ended, FakeMachine
from tunnels.addresses import Address

RESTART = ("systemctl", "restart", "resolver.service")
CHECK = ("resolver", "--test")
FIRST, SECOND = "/etc/resolver.d/overlay.conf", "/etc/trust/anchors.d/overlay.negative"


def plan(port: int = 5399, manager: str = "resolver") -> Plan:
    server = Address.parse(f"127.0.0.1:{port}")
    return Plan(
        manager,
        Target(server, "/home/alice"),
        files=(
            PlannedFile(FIRST, marked(f"server={server}\n"), "why"),
            PlannedFile(SECOND, marked("overlay\n", ";"), "why"),
        ),
        checks=(CHECK,),
        reloads=(RESTART,),
    )


def a_machine() -> FakeMachine:
    machine = FakeMachine()
    machine.put("/etc/resolver.d/mine.conf", "somebody's own")
    machine.loaded = machine.files
    return machine


def expected(of: Plan) -> dict[str, bytes]:
    return a_machine().files | {file.path: file.text.encode() for file in of.files}


def without_notes(files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if not path.startswith(journal.DIRECTORY)}


def is_working() -> str:
    return ""


def test_it_is_installed_read_by_the_resolver_and_noted():
    machine = a_machine()
    assert installing.install(machine, plan(), is_working) == "installed"
    assert without_notes(machine.loaded) == expected(plan())
    assert machine.ran == [CHECK, RESTART]
    noted = journal.load(machine)
    assert noted is not None
    assert (noted.state, noted.server, noted.home) == ("installed", "127.0.0.1:5399", "/home/alice")
    assert installing.state_of(machine, noted) == "installed"


def test_the_note_is_on_disk_before_the_first_file():
    machine = a_machine()
    for steps in range(200):
        machine = a_machine()
        machine.end_after(steps)
        try:
            installing.install(machine, plan(), is_working)
        except Ended:
            if FIRST in machine.names:
                assert machine.on_disk[journal.JOURNAL].synced
                return
    raise AssertionError("it was never seen half done")


def test_again_changes_nothing():
    machine = a_machine()
    installing.install(machine, plan(), is_working)
    before = machine.steps
    assert installing.install(machine, plan(), is_working) == "unchanged"
    assert machine.steps == before


def test_again_repairs_what_does_not_work():
    machine = a_machine()
    installing.install(machine, plan(), is_working)
    answers = iter(["it finds no names", ""])
    assert installing.install(machine, plan(), lambda: next(answers)) == "installed"
    assert machine.ran.count(RESTART) == 2


def test_another_server_takes_the_place_of_the_first():
    machine = a_machine()
    installing.install(machine, plan(), is_working)
    assert installing.install(machine, plan(5400), is_working) == "installed"
    assert without_notes(machine.loaded) == expected(plan(5400))
    installing.remove(machine)
    assert machine.files == a_machine().files


def test_another_resolver_is_told_and_the_first_one_forgets():
    machine = a_machine()
    installing.install(machine, plan(), is_working)
    installing.install(machine, plan(manager="another"), is_working)
    assert machine.ran == [CHECK, RESTART, RESTART, CHECK, RESTART]


def test_removing_leaves_nothing_and_is_done_once():
    machine = a_machine()
    installing.install(machine, plan(), is_working)
    assert installing.remove(machine) == ((FIRST, SECOND), ())
    assert machine.files == without_notes(machine.loaded) == a_machine().files
    assert machine.directories == a_machine().directories
    assert installing.remove(machine) == ((), ())


@pytest.mark.parametrize("problem", ["names are not found", "check", "restart", "disk"])
def test_what_does_not_work_is_undone_and_the_reason_told(problem, monkeypatch):
    machine = a_machine()
    reason = problem
    if problem == "check":
        machine.answers[CHECK], reason = Ran(1, "line 2: bad option\n"), "bad option"
    elif problem == "restart":
        machine.answers[RESTART], reason = Ran(1, "Job failed\n"), "Job failed"
    elif problem == "disk":
        reason = "No space left"
        write = machine.write

        def full(path: str, data: bytes, mode: int) -> None:
            if path == temporary_of(SECOND):
                raise OSError(28, "No space left on device", path)
            write(path, data, mode)

        monkeypatch.setattr(machine, "write", full)
    with pytest.raises(SystemDnsError, match=reason):
        installing.install(machine, plan(), lambda: problem)
    assert machine.files == a_machine().files
    assert machine.directories == a_machine().directories
    if problem != "restart":
        assert without_notes(machine.loaded) == a_machine().files


def test_what_took_the_place_of_another_and_does_not_work_leaves_neither():
    machine = a_machine()
    installing.install(machine, plan(), is_working)
    with pytest.raises(SystemDnsError, match="nothing of ours is installed any more"):
        installing.install(machine, plan(5400), lambda: "it finds no names")
    assert machine.files == without_notes(machine.loaded) == a_machine().files


def test_ctrl_c_takes_it_back():
    def interrupted() -> str:
        raise KeyboardInterrupt

    machine = a_machine()
    with pytest.raises(KeyboardInterrupt):
        installing.install(machine, plan(), interrupted)
    assert machine.files == without_notes(machine.loaded) == a_machine().files


def test_a_resolver_that_does_not_start_again_is_told_of():
    machine = a_machine()
    machine.answers[RESTART] = Ran(1, "Job failed\n")
    with pytest.raises(SystemDnsError, match="restart the resolver yourself"):
        installing.install(machine, plan(), is_working)
    assert machine.files == a_machine().files


def test_what_somebody_wrote_there_is_not_touched():
    machine = a_machine()
    machine.put(SECOND, "somebody's own\n")
    before = machine.files
    with pytest.raises(SystemDnsError, match="not ours"):
        installing.install(machine, plan(), is_working)
    assert machine.files == before


@pytest.mark.parametrize(
    "act", [installing.remove, lambda machine: installing.install(machine, plan(1), is_working)]
)
def test_what_somebody_changed_since_is_not_thrown_away(act):
    machine = a_machine()
    installing.install(machine, plan(), is_working)
    machine.put(FIRST, plan().files[0].text + "server=/corp/192.0.2.1\n")
    with pytest.raises(SystemDnsError, match="changed this since"):
        act(machine)
    assert b"corp" in machine.files[FIRST]
    noted = journal.load(machine)
    assert noted is not None
    assert installing.state_of(machine, noted) == "changed"


def test_files_of_ours_are_found_without_a_note():
    machine = a_machine()
    installing.install(machine, plan(), is_working)
    del machine.names[journal.JOURNAL]
    files, left = installing.remove(machine, (FIRST, SECOND, "/etc/resolver.d/mine.conf", "/etc/none"))
    assert files == (FIRST, SECOND)
    assert left
    assert "/etc/resolver.d/mine.conf" in machine.files


def steps_of_an_install() -> int:
    machine = a_machine()
    installing.install(machine, plan(), is_working)
    return machine.steps


INSTALL_STEPS = steps_of_an_install()


def run_until(machine: FakeMachine, steps: int, act) -> bool:
    """Whether it came to its end before the machine did."""
    machine.end_after(steps)
    try:
        act()
    except Ended:
        return False
    finally:
        machine.end_after(None)
    return True


@given(
    data=st.data(),
    ends=st.lists(
        st.tuples(
            st.integers(0, 2 * INSTALL_STEPS), st.booleans(), st.sampled_from(["install", "other", "remove"])
        ),
        max_size=4,
    ),
    finally_installed=st.booleans(),
)
def test_whatever_is_cut_off_and_how_often_the_next_one_ends_well(data, ends, finally_installed):
    machine = a_machine()
    acts = {
        "install": lambda: installing.install(machine, plan(), is_working),
        "other": lambda: installing.install(machine, plan(5400), is_working),
        "remove": lambda: installing.remove(machine),
    }
    allowed = {
        file.path: {plan().files[n].text.encode(), plan(5400).files[n].text.encode()}
        for n, file in enumerate(plan().files)
    }
    for steps, is_power, act in ends:
        run_until(machine, steps, acts[act])
        if is_power:
            machine.lose_power(lambda choices: data.draw(st.sampled_from(list(choices))))
        for path, texts in allowed.items():  # a resolver that reads now reads whole files
            assert machine.files.get(path) in {None, *texts}
    if finally_installed:
        installing.install(machine, plan(), is_working)
        assert without_notes(machine.files) == without_notes(machine.loaded) == expected(plan())
        noted = journal.load(machine)
        assert noted is not None
        assert installing.state_of(machine, noted) == "installed"
    had_note = journal.JOURNAL in machine.files
    installing.remove(machine)
    assert without_notes(machine.files) == a_machine().files
    if had_note:
        assert without_notes(machine.loaded) == a_machine().files


@pytest.mark.parametrize("steps", range(INSTALL_STEPS))
@pytest.mark.parametrize("act", ["install", "remove"])
def test_each_point_at_which_a_process_may_die(steps, act):
    machine = a_machine()
    assert not run_until(machine, steps, lambda: installing.install(machine, plan(), is_working))
    if act == "install":
        installing.install(machine, plan(), is_working)
        assert without_notes(machine.loaded) == expected(plan())
    installing.remove(machine)
    assert without_notes(machine.files) == without_notes(machine.loaded) == a_machine().files
    assert machine.directories - {journal.DIRECTORY} == a_machine().directories


def test_where_others_may_write_root_does_not():
    machine = a_machine()
    machine.open_to_others = "/etc/resolver.d"
    with pytest.raises(
        SystemDnsError, match=r"overlay.conf is not written: /etc/resolver.d can be changed by others"
    ):
        installing.install(machine, plan(), is_working)
    assert machine.files == a_machine().files
    assert machine.steps == 0
