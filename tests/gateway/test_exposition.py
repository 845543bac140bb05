"""Figures are written in Prometheus's text format, as a parser of its own reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from gateway import exposition


def test_every_kind_of_figure_is_read_back() -> None:
    families = exposition.Families("x_")
    told = exposition.text(
        lambda: [
            families.gauge("a", "One.", 1.5),
            families.counter("b", "Two.", 2),
            families.gauges("c", "Three.", "kind", {'a"b\n': 3}),
            families.counters("d", "Four.", "kind", {"x": 4, "y": 5}),
        ]
    ).decode()
    samples = [s for family in text_string_to_metric_families(told) for s in family.samples]
    assert [(s.name, s.labels, s.value) for s in samples] == [
        ("x_a", {}, 1.5),
        ("x_b_total", {}, 2.0),
        ("x_c", {"kind": 'a"b\n'}, 3.0),
        ("x_d_total", {"kind": "x"}, 4.0),
        ("x_d_total", {"kind": "y"}, 5.0),
    ]
