"""Doing a plan and undoing it, whatever happens on the way: all of it is in force afterwards, or nothing.

What will be done is noted (`journal`) before it is done. A crash at any point leaves a note that says how to get back; `install` and
`remove` begin with it, so that running either of them again is always right.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from gateway.system_dns import journal as notes
from gateway.system_dns.errors import SystemDnsError
from gateway.system_dns.journal import Journal, WrittenFile
from gateway.system_dns.machine import make_directory, missing_directories, remove_whole, write_whole
from gateway.system_dns.plan import is_ours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.system_dns.machine import Machine
    from gateway.system_dns.plan import Plan


def install(machine: Machine, plan: Plan, verify: Callable[[], str]) -> Literal["installed", "unchanged"]:
    """Do the plan, and undo it unless `verify` is content, which gives back the reason or nothing.

    A SystemDnsError says why it was not done; then nothing of ours is in force, nor of an earlier install.
    """
    before = notes.load(machine)
    if (
        before is not None
        and before.state == "installed"
        and _is_done(machine, before, plan)
        and not verify()
    ):
        return "unchanged"
    _refuse_exposed(machine, plan)
    _refuse_foreign(machine, plan)
    if before is not None:
        _refuse_changed(machine, before)
        if before.manager == plan.manager:
            _take_back(machine, before)
        else:
            undo(machine, before)
    journal = Journal(
        state="applying",
        manager=plan.manager,
        server=str(plan.target.server),
        home=plan.target.home,
        files=tuple(WrittenFile(path=file.path, after=file.text.encode()) for file in plan.files),
        directories=tuple(missing_directories(machine, (file.path for file in plan.files))),
        reloads=plan.reloads,
    )
    notes.save(machine, journal)
    try:
        for directory in journal.directories:
            make_directory(machine, directory)
        for file in journal.files:
            write_whole(machine, file.path, file.after)
        _run(machine, plan.checks)
        _run(machine, plan.reloads)
        _demand(verify)
    except KeyboardInterrupt:
        undo(machine, journal)
        raise
    except (SystemDnsError, OSError) as error:
        reason = str(error) if isinstance(error, SystemDnsError) else f"{error.filename}: {error.strerror}"
        left = undo(machine, journal)
        now = "everything is as it was before" if before is None else "nothing of ours is installed any more"
        raise SystemDnsError(f"{reason}; {now}" + "".join(f", but {each}" for each in left)) from None
    notes.save(machine, _in_state(journal, "installed"))
    return "installed"


def remove(machine: Machine, known: Iterable[str] = ()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Undo what was installed, wherever it stopped: the files that were removed, and what is left for the person to do.

    `known` are places where files of ours may lie without a note of them; they are found by their first line.
    """
    journal = notes.load(machine)
    if journal is not None:
        _refuse_changed(machine, journal)
        return tuple(file.path for file in journal.files), tuple(undo(machine, journal))
    strays = [path for path in known if is_ours(machine.read(path) or b"")]
    for path in strays:
        remove_whole(machine, path)
    return tuple(strays), tuple(f"restart your resolver: {path} is gone" for path in strays[:1])


def undo(machine: Machine, journal: Journal) -> list[str]:
    """Everything as it was, and the note gone; what could not be done, for people."""
    if journal.state != "removing":
        notes.save(machine, _in_state(journal, "removing"))
    _take_back(machine, journal)
    left = []
    try:
        _run(machine, journal.reloads)
    except SystemDnsError as error:
        left.append(f"{error}; restart the resolver yourself")
    notes.forget(machine)
    return left


def state_of(machine: Machine, journal: Journal) -> Literal["installed", "incomplete", "changed"]:
    """What is in force of it."""
    if journal.state != "installed":
        return "incomplete"
    return "installed" if all(_is_written(machine, file) for file in journal.files) else "changed"


def _take_back(machine: Machine, journal: Journal) -> None:
    for file in reversed(journal.files):
        if file.before is None:
            remove_whole(machine, file.path)
        else:
            write_whole(machine, file.path, file.before)
    for directory in reversed(journal.directories):
        if machine.remove_directory(directory) and machine.is_directory(os.path.dirname(directory)):
            machine.sync(os.path.dirname(directory))


def _is_done(machine: Machine, journal: Journal, plan: Plan) -> bool:
    noted = {file.path: file.after for file in journal.files}
    return (
        noted == {file.path: file.text.encode() for file in plan.files}
        and journal.manager == plan.manager
        and all(_is_written(machine, file) for file in journal.files)
    )


def _is_written(machine: Machine, file: WrittenFile) -> bool:
    return machine.read(file.path) == file.after


def _refuse_changed(machine: Machine, journal: Journal) -> None:
    """What neither we nor anybody before us wrote is somebody's work."""
    for file in journal.files:
        data = machine.read(file.path)
        if data is not None and data not in (file.after, file.before):
            raise SystemDnsError(
                f"{file.path}: somebody has changed this since; move it away, and run this again"
            )


def _refuse_exposed(machine: Machine, plan: Plan) -> None:
    """Where a resolver reads is told by its command line, and anybody may run a program of its name with a line of theirs."""
    for file in plan.files:
        place = machine.exposed(file.path)
        if place:
            raise SystemDnsError(
                f"{file.path} is not written: {place} can be changed by others than root; is that really the resolver's directory?"
            )


def _refuse_foreign(machine: Machine, plan: Plan) -> None:
    for file in plan.files:
        data = machine.read(file.path)
        if data is not None and not is_ours(data):
            raise SystemDnsError(f"{file.path} is there and not ours; move it away, and run this again")


def _run(machine: Machine, commands: Sequence[Sequence[str]]) -> None:
    for command in commands:
        ran = machine.run(command)
        if ran.code:
            raise SystemDnsError(f"`{' '.join(command)}` failed: {ran.said or f'exit code {ran.code}'}")


def _demand(verify: Callable[[], str]) -> None:
    problem = verify()
    if problem:
        raise SystemDnsError(f"it does not work through the system's resolver: {problem}")


def _in_state(journal: Journal, state: Literal["installed", "removing"]) -> Journal:
    return Journal(
        state=state,
        manager=journal.manager,
        server=journal.server,
        home=journal.home,
        files=journal.files,
        directories=journal.directories,
        reloads=journal.reloads,
    )
