"""Text and names that others chose, and what they could be mistaken for (after UTS 39 and UTS 55).

A text for people is refused if it is not what it looks like: letters of scripts that nobody writes together (the highly
restrictive level of UTS 39 §5.2), letters of rare scripts or of styles (its §3.1), digits of two scripts (§5.3), piles of marks
(§5.4), characters that have no shape or turn the direction of others. What is refused is shown in Punycode (RFC 3492), which
can be mistaken for nothing. In a name all of it is looked at together, in prose each word, for people write in two languages.

Scripts are told by the names of characters, with which Python knows all of Unicode: they agree with the Script property for
every letter that passes the other rules. Two petnames are lookalikes if their skeletons (UTS 39 §4) are the same.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from resolver.limits import MARKS_TOGETHER

_SCRIPTS: Final = frozenset(
    {
        "ARABIC",
        "ARMENIAN",
        "BENGALI",
        "BOPOMOFO",
        "CJK",
        "CYRILLIC",
        "DEVANAGARI",
        "ETHIOPIC",
        "GEORGIAN",
        "GREEK",
    }
    | {"GUJARATI", "GURMUKHI", "HANGUL", "HEBREW", "HIRAGANA", "KANNADA", "KATAKANA", "KHMER", "LAO", "LATIN"}
    | {"MALAYALAM", "MYANMAR", "ORIYA", "SINHALA", "TAMIL", "TELUGU", "THAANA", "THAI", "TIBETAN"}
)
"""The first words of the names of letters in the recommended scripts (UAX 31, table 5)."""
_COMMON: Final = frozenset({"MODIFIER", "COMBINING"})
"""The same of what belongs to no script."""
_OTHER_WORDS: Final = {
    "IDEOGRAPHIC": "CJK",
    "KATAKANA-HIRAGANA": "KATAKANA",
    "ARABIC-INDIC": "ARABIC",
    "EXTENDED": "ARABIC",
}
"""Scripts whose characters have names that begin with another word."""
_TECHNICAL: Final = ((0x250, 0x2AF), (0x1D00, 0x1DBF), (0xA720, 0xA7FF), (0xAB30, 0xAB6F))
"""First and last of the Latin letters of phonetics, most of which look like usual ones (UTS 39 §3.1)."""
_IN_USE: Final = frozenset("əɓɗɖɛɔɣɲʋ")
"""Those of them that languages are written with."""
_TOGETHER: Final = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)
"""Scripts that are written together (UTS 39 §5.2, highly restrictive)."""
_LIKE_LATIN: Final = frozenset("асеорхуіјѕһԁԛԝӏкпνοαρυικωϲհոսցօ")
"""Small letters of Cyrillic, Greek and Armenian that are taken for Latin ones (from the confusables of UTS 39)."""
_JOINER: Final = "\u200d"
_EMOJI_STYLE: Final = "\ufe0f"

_SKELETON: Final = str.maketrans({"0": "o", "1": "l", "i": "l"})
_PAIRS: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("--", "-"))


def objection(text: str, *, is_name: bool = True) -> str:
    """Why a text is not what it looks like; empty if it is. `is_name` if people tell by it who or what something is."""
    if not text or text != text.strip() or "  " in text:
        return "it is empty, or has spaces around it or two together"
    if text.isascii():
        return "" if text.isprintable() else "it has a character without a shape"
    if unicodedata.normalize("NFC", text) != text:
        return "it is not in the normal form of Unicode (NFC)"
    return (
        next(filter(None, map(_odd, text, _before(text), text[1:] + " ")), "")
        or _marks(text)
        or _digits(text)
        or next(filter(None, (_scripts(part) for part in ([text] if is_name else text.split(" ")))), "")
        or (_like_latin(text) if is_name else "")
    )


def check_text(text: str, what: str, *, is_name: bool = True) -> str:
    """The text; ValueError with `what` it is, if it is not what it looks like."""
    reason = objection(text, is_name=is_name)
    if reason:
        raise ValueError(f"{what} '{shown(text, is_name=is_name)}': {reason}")
    return text


def shown(text: str, *, is_name: bool = True) -> str:
    """The text as people may see it: itself, or in Punycode with all that is no plain letter written out."""
    if not text or not objection(text, is_name=is_name):
        return text
    safe = "".join(c if c.isprintable() or not c.isascii() else f"\\x{ord(c):02x}" for c in text)
    return safe if safe.isascii() else f"xn--{safe.encode('punycode').decode('ascii')}"


def skeleton(petname: str) -> str:
    """What a petname looks like: two with the same skeleton can be taken for each other, such as `alice` and `a1ice`."""
    text = petname
    for pair, one in _PAIRS:
        text = text.replace(pair, one)
    return text.translate(_SKELETON)


def _before(text: str) -> str:
    return " " + text[:-1]


def _odd(character: str, before: str, after: str) -> str:
    """Why the character does not belong into a text."""
    category = unicodedata.category(character)
    if character == _JOINER:  # only between pictures, which it makes one of
        return "" if _is_picture(before) and _is_picture(after) else "it has a character without a shape"
    if character == _EMOJI_STYLE:
        return "" if _is_picture(before) else "it has a character without a shape"
    if category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or (category == "Zs" and character != " "):
        return "it has a character without a shape, or one that turns the direction of others"
    if category == "Me":
        return "it has a mark that encloses letters"
    if category[0] in "LN" and category != "No" and unicodedata.normalize("NFKC", character) != character:
        return f"{character!r} is a letter in a style of its own"
    if any(first <= ord(character) <= last for first, last in _TECHNICAL) and character not in _IN_USE:
        return f"{character!r} is a letter of phonetics"
    return ""


def _is_picture(character: str) -> bool:
    return unicodedata.category(character) in ("So", "Sk") or character == _EMOJI_STYLE


def _marks(text: str) -> str:
    run: list[str] = []
    for character in unicodedata.normalize("NFD", " " + text):
        if unicodedata.category(character) != "Mn":
            run = []
            continue
        if character == _EMOJI_STYLE:
            continue
        if character in run or len(run) >= MARKS_TOGETHER:
            return "it has a pile of marks on one letter"
        run.append(character)
    first = unicodedata.category(text[0])
    return "it begins with a mark" if first[0] == "M" else ""


def _digits(text: str) -> str:
    zeros = {ord(c) - unicodedata.decimal(c) for c in text if unicodedata.category(c) == "Nd"}
    return "it has digits of two scripts" if len(zeros) > 1 else ""


def _scripts(text: str) -> str:
    found: set[str] = set()
    for character in text:
        category = unicodedata.category(character)
        if character.isascii() and category == "Nd":
            continue
        if (category[0] in "LM" or category == "Nd") and character != _EMOJI_STYLE:
            word = unicodedata.name(character, "?").split(" ")[0]
            found.add(_OTHER_WORDS.get(word, word))
    found -= _COMMON
    rare = found - _SCRIPTS
    if rare:
        return f"it has letters of a script that is hardly written today ({min(rare).lower()})"
    if len(found) > 1 and not any(found <= together for together in _TOGETHER):
        return f"it mixes the scripts {' and '.join(sorted(script.lower() for script in found))}"
    return ""


def _like_latin(text: str) -> str:
    """Whole words of another script that are taken for Latin ones (UTS 39 §4, whole-script confusables)."""
    letters = {c for c in text.lower() if unicodedata.category(c)[0] == "L"}
    return (
        "its letters are of another script, and all of them are taken for Latin ones"
        if letters and letters <= _LIKE_LATIN
        else ""
    )
