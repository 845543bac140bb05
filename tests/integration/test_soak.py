"""The soak in a short form: a few rounds leave nothing behind, and what is left behind is told."""

from __future__ import annotations

from scripts.soak import Figures, Sample, judge, on_loopback, soak, table

MEGABYTE = 1_000_000


def samples(last: Figures, count: int = 40) -> list[Sample]:
    """The same all the time, and bob's last ones so."""
    usual = Figures(100 * MEGABYTE, 30, 12, 6)
    return [Sample(float(n), usual, last if n > count * 3 // 4 else usual) for n in range(count)]


def test_what_grows_is_told_by_gateway_and_figure() -> None:
    assert all(each.is_well for each in judge(samples(Figures(105 * MEGABYTE, 32, 15, 7))))
    grown = judge(samples(Figures(120 * MEGABYTE, 40, 30, 12)))
    assert {(each.gateway, each.what) for each in grown if not each.is_well} == {
        ("bob", what) for what in Figures._fields
    }
    assert table(grown).count("GREW") == 4


def test_what_is_only_there_for_a_moment_is_no_growth() -> None:
    spiky = samples(Figures(100 * MEGABYTE, 30, 12, 6))
    spiky[-1] = Sample(40.0, Figures(200 * MEGABYTE, 90, 90, 90), Figures(200 * MEGABYTE, 90, 90, 90))
    assert all(each.is_well for each in judge(spiky))


def test_some_rounds_between_real_gateways_leave_nothing_behind(tmp_path) -> None:
    with on_loopback(tmp_path) as world:
        found = judge(soak(world, 0.1, lambda _: None))
    assert [each for each in found if not each.is_well] == []
