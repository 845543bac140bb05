"""Values in error messages are short and stay on their line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.values import shown


@given(st.one_of(st.text(), st.binary(), st.lists(st.text()), st.floats(), st.integers(), st.booleans()))
def test_any_value_is_shown_on_one_short_line(value: object) -> None:
    text = shown(value)
    assert text.isprintable()
    assert len(text) <= 60


def test_values_look_like_toml() -> None:
    assert [shown(value) for value in (True, 1, "x", ["a"])] == ["true", "1", '"x"', "['a']"]
