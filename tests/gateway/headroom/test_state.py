"""What is short is refused with a reason, told once, and over only when there is more than a little room again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.headroom.limits import DESCRIPTORS_RESERVED, DISK_RESERVED_BYTES, MEMORY_RELIEVED
from gateway.headroom.state import Change, Headroom

GIGABYTE = 1_000_000_000


def headroom(descriptors: int | None = 4096) -> Headroom:
    return Headroom(memory=GIGABYTE, descriptors=descriptors, home="/home/me")


def look(
    room: Headroom, *, resident: int = 0, free_descriptors: int | None = 4000, free_disk: int = 10**9
) -> list[Change]:
    return room.measured(resident=resident, free_descriptors=free_descriptors, free_disk=free_disk)


def test_with_room_nothing_is_refused_or_told() -> None:
    room = headroom()
    assert look(room) == []
    assert room.refusal(4000) == ("", [])
    assert room.warnings() == ()


def test_memory_is_short_until_there_is_more_than_a_little_room() -> None:
    room = headroom()
    (change,) = look(room, resident=GIGABYTE + 1)
    assert change.is_short
    assert "[resources]" in change.text
    assert look(room, resident=GIGABYTE - 1) == []
    assert "memory is used up" in room.refusal(4000)[0]
    (change,) = look(room, resident=int(GIGABYTE * MEMORY_RELIEVED) - 1)
    assert not change.is_short
    assert room.refusal(4000)[0] == ""


def test_descriptors_are_short_at_once_when_a_connection_asks_and_it_is_told_once() -> None:
    room = headroom()
    why, changes = room.refusal(DESCRIPTORS_RESERVED - 1)
    assert "too many files and connections" in why
    assert [change.is_short for change in changes] == [True]
    assert room.refusal(DESCRIPTORS_RESERVED - 1)[1] == []
    assert room.refused == 2
    assert look(room, free_descriptors=DESCRIPTORS_RESERVED + 1) == []
    assert room.refusal(DESCRIPTORS_RESERVED + 1)[0]
    assert [change.is_short for change in look(room, free_descriptors=DESCRIPTORS_RESERVED * 2)] == [False]
    assert room.refusal(DESCRIPTORS_RESERVED + 1) == ("", [])


def test_few_descriptors_are_not_all_reserved() -> None:
    assert headroom(128).reserved == 16
    assert headroom(10**6).reserved == DESCRIPTORS_RESERVED
    assert headroom(None).refusal(None) == ("", [])


def test_a_full_disk_refuses_no_connection_and_is_told() -> None:
    room = headroom()
    (change,) = look(room, free_disk=DISK_RESERVED_BYTES - 1)
    assert "/home/me" in change.text
    assert room.warnings() == (change.text,)
    assert room.refusal(4000)[0] == ""
    assert look(room, free_disk=DISK_RESERVED_BYTES + 1) == []
    assert [change.is_short for change in look(room, free_disk=DISK_RESERVED_BYTES * 2)] == [False]


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(0, 2**40),
            st.none() | st.integers(0, 4096),
            st.none() | st.integers(0, 2**40),
        )
    )
)
def test_news_come_in_turns_and_a_refusal_always_has_a_reason(
    looks: list[tuple[int | None, int | None, int | None]],
) -> None:
    room = headroom()
    told: dict[str, bool] = {}
    for resident, free_descriptors, free_disk in looks:
        changes = room.measured(resident=resident, free_descriptors=free_descriptors, free_disk=free_disk)
        why, more = room.refusal(free_descriptors)
        for change in (*changes, *more):
            name = change.text.partition(":")[0]
            assert told.get(name, False) is not change.is_short
            told[name] = change.is_short
        assert bool(why) is (told.get("memory", False) or told.get("descriptors", False))
        assert {warning.partition(":")[0] for warning in room.warnings()} == {
            name for name, is_short in told.items() if is_short
        }
