"""What tickets and invites have in common as text; the rest is in their own tests."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.text_forms import TextForm


class NotOne(Exception):
    pass


class Truncated(Exception):
    pass


class Damaged(Exception):
    pass


class Newer(Exception):
    pass


FORM = TextForm("x", "letter", 100, 400, not_one=NotOne, truncated=Truncated, damaged=Damaged, newer=Newer)


@given(st.binary(max_size=100))
def test_what_is_written_reads_back_and_fits_alphanumeric_mode(data: bytes) -> None:
    text = FORM.write(data)
    assert re.fullmatch(r"overlay:x1[a-z0-9]+", text)
    assert FORM.read(text) == FORM.read(f"> <{text.upper()}>\n") == data
    assert FORM.claims(text)


@given(st.integers(0, 9), st.binary(min_size=9, max_size=100))
def test_a_text_cut_short_is_told_from_one_that_is_damaged(cut: int, data: bytes) -> None:
    text = FORM.write(data)
    with pytest.raises(Truncated, match="copy all of it"):
        FORM.read(text[: len(text) - 1 - cut])
    with pytest.raises(Damaged, match="1 characters too many; copy only the letter"):
        FORM.read(text + "y")


def test_texts_of_other_kinds_and_versions_are_told_apart() -> None:
    with pytest.raises(Newer, match=r"newer overlay .form x2.; upgrade"):
        FORM.read("overlay:x2yyyy")
    with pytest.raises(NotOne, match="overlay:t1yyyy… is no letter; one begins with overlay:x1"):
        FORM.read("overlay:t1yyyy")
    with pytest.raises(NotOne, match="401 characters of text; a letter has at most 400"):
        FORM.read("y" * 401)
    assert not FORM.claims("overlay:t1yyyy")


@given(
    st.text(max_size=120)
    | st.text("ybndrfg8ejkmcpqxot1uwisza345h769", max_size=200).map("overlay:x1".__add__)
)
def test_any_text_is_refused_by_its_own_errors(text: str) -> None:
    with contextlib.suppress(NotOne, Truncated, Damaged, Newer):
        data = FORM.read(text)
        assert FORM.read(FORM.write(data)) == data
