"""`overlay usage` shows a month by what one asks for, and has everything as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Alone, Overlay


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


async def test_each_contact_service_and_path_is_a_line_and_the_last_one_is_all_of_them(
    overlay: Overlay,
) -> None:
    done = await overlay("usage")
    assert (done.code, done.err) == (0, "2026-11, by UTC. There are accounts of 2026-10, too.\n")
    assert lines(done.out) == [
        ["contact", "service", "whose", "path", "sent", "received"],
        ["bob", "web", "ours", "direct", "3.0", "GB", "1.0", "MB"],
        ["bob", "web", "ours", "relay", "1.0", "GB", "0", "B"],
        ["alice", "ssh", "theirs", "LAN", "1.0", "KB", "2.0", "KB"],
        ["(strangers)", "web", "ours", "(none", "seen)", "500", "B", "0", "B"],
        ["in", "all", "4.0", "GB", "1.0", "MB"],
    ]


async def test_lines_of_one_contact_service_path_or_day_are_summed_the_largest_first(
    overlay: Overlay,
) -> None:
    done = await overlay("usage", "--by", "contact")
    assert [line[0] for line in lines(done.out)] == ["contact", "bob", "alice", "(strangers)", "in"]
    assert lines(done.out)[1] == ["bob", "4.0", "GB", "1.0", "MB"]
    done = await overlay("usage", "--by", "service")
    assert [line[:2] for line in lines(done.out)][1:-1] == [["web", "ours"], ["ssh", "theirs"]]
    done = await overlay("usage", "--by", "path")
    assert [line[0] for line in lines(done.out)][1:-1] == ["direct", "relay", "LAN", "(none"]
    done = await overlay("usage", "--by", "day")
    assert [line[0] for line in lines(done.out)][1:-1] == ["2026-11-01", "2026-11-02"]


async def test_json_has_every_row_whatever_the_lines_are(overlay: Overlay) -> None:
    report = (await overlay("usage", "--by", "day", "--json")).json
    assert (report["month"], len(report["rows"]), len(report["days"])) == ("2026-11", 4, 3)


async def test_a_month_in_which_nothing_moved_says_so_and_which_there_are(overlay: Overlay) -> None:
    done = await overlay("usage", "--month", "2020-01")
    assert (done.code, done.out) == (0, "")
    assert done.err == "Nothing moved in 2020-01. There are accounts of 2026-11, 2026-10, too.\n"


async def test_accounts_that_cannot_be_written_are_warned_of(overlay: Overlay) -> None:
    overlay.gateway.usage_problem = "the disk is full"
    assert "warning: the disk is full" in (await overlay("usage")).err


def test_without_a_gateway_it_says_so(alone: Alone) -> None:
    assert alone("usage").code == 5
