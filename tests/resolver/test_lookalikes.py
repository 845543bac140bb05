"""Text and names that others chose, and what they could be mistaken for."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.limits import MARKS_TOGETHER
from resolver.lookalikes import check_text, objection, shown, skeleton

GOOD = [
    "alice", "Alice's laptop", "naïve", "Nguyễn", "Алиса", "Привет", "Ελλάδα", "日本語とkana", "東京tower", "ウェブサーバー", "時々",
    "한국어", "한 글 abc", "ㄅㄆ中文", "יוסי", "العربية", "हिन्दी", "ไทย", "ქართული", "✓ ok", "½ pint", "👩\u200d💻 dev", "I ❤\ufe0f tea", "Əli",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert objection(text) == ""
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "says", "as_seen"),
    [
        ("аlice", "mixes the scripts", "xn--lice-43d"),  # Cyrillic а
        ("alіce", "mixes the scripts", None),  # Ukrainian і
        ("Ꭺlice", "hardly written", "xn--lice-49t"),  # Cherokee
        ("аррӏе", "taken for Latin", "xn--80ak6aa92e"),  # all Cyrillic
        ("ɑlice", "phonetics", None),
        ("𝐚lice", "style of its own", "xn--lice-4u20c"),
        ("ｆｕｌｌ", "style of its own", "xn--ri7cmaa8a"),
        ("a١", "mixes the scripts", None),
        ("١۱", "digits of two scripts", None),
        ("a\u202ecod.exe", "without a shape", None),
        ("a\u200bb", "without a shape", "xn--ab-g1t"),
        ("a\u200db", "without a shape", "xn--ab-m1t"),
        ("a\ufe0fb", "without a shape", None),
        ("a\u00a0b", "without a shape", None),
        ("a\x1b[31m", "without a shape", r"a\x1b[31m"),
        ("a\nb", "without a shape", r"a\x0ab"),
        ("a\x1b[31mа", "without a shape", None),
        (" a", "spaces", " a"),
        ("a  b", "spaces", "a  b"),
        ("a\u0301", "normal form", None),
        ("q" + "\u0301\u0302\u0303\u0304\u0306", "pile of marks", None),
        ("q\u0301\u0301", "pile of marks", None),
        ("\u0301a", "begins with a mark", None),
        ("a\u20dd", "encloses", None),
        ("\ue000", "without a shape", None),
    ],
)  # fmt: skip
def test_what_is_not_what_it_looks_like_is_seen_in_punycode(
    text: str, says: str, as_seen: str | None
) -> None:
    reason = objection(text)
    assert (says in reason) if says else reason == ""
    if as_seen:
        assert shown(text) == as_seen
    if says:
        if shown(text).startswith("xn--") and "\\x" not in shown(text):
            assert shown(text).removeprefix("xn--").encode().decode("punycode") == text
        assert shown(text).isascii()
        assert shown(text).isprintable()
        with pytest.raises(ValueError, match="name") as caught:
            check_text(text, "display name")
        assert str(caught.value).isprintable()


def test_prose_may_have_words_in_two_languages_but_no_word_in_two_scripts() -> None:
    assert objection("Сервер for all", is_name=False) == ""
    assert objection("сахар", is_name=False) == "", "a word of its language"
    assert "mixes" in objection("Сервер for аll", is_name=False)
    assert objection("Сервер for all")


def test_as_many_marks_as_languages_have_are_taken() -> None:
    marks = "\u0301\u0302\u0303\u0304\u0306"
    assert objection(unicodedata.normalize("NFC", "q" + marks[:MARKS_TOGETHER])) == ""


@pytest.mark.parametrize(
    ("first", "second"),
    [("alice", "a1ice"), ("alice", "aiice"), ("modem", "rnodem"), ("bob", "b0b"), ("wilma", "vvilma"), ("dan", "clan"), ("a-b", "a--b")],
)  # fmt: skip
def test_lookalikes_have_one_skeleton(first: str, second: str) -> None:
    assert skeleton(first) == skeleton(second)


@pytest.mark.parametrize(
    ("first", "second"), [("node1", "node2"), ("alice", "alice-2"), ("bob", "bop"), ("nas", "mas")]
)
def test_others_do_not(first: str, second: str) -> None:
    assert skeleton(first) != skeleton(second)


def test_scripts_by_name_are_those_that_the_rules_know() -> None:
    """Each letter that may stand in a text belongs to one of the recommended scripts, or to none."""
    for script, letters in {
        "LATIN": "azÀþ",
        "CYRILLIC": "аяё",
        "GREEK": "αω",
        "HAN": "中々",
        "HANGUL": "한ㄱ",
    }.items():
        for letter in letters:
            assert "hardly written" not in objection(f"x{letter}x"), script


@given(st.text(max_size=40), st.booleans())
def test_any_text_can_be_shown_and_nothing_of_it_commands_a_terminal(text: str, is_name: bool) -> None:
    seen = shown(text, is_name=is_name)
    assert all(c.isprintable() or c in "\u200d" for c in seen), "but for what joins two pictures"
    assert "\x1b" not in seen
    if seen == text and text:
        assert text == text.strip() or text.isascii()
