"""docs/complaints.md has all 45 lines, and the tests that it names are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "complaints.md").read_text(encoding="utf-8")
LINES = re.findall(r"^(\d+)\. (.*)$", PAGE, re.MULTILINE)


def test_each_line_is_there_with_what_we_do():
    assert [int(number) for number, _ in LINES] == list(range(1, 46))


def test_each_names_a_test_or_says_why_it_does_not_apply():
    assert [number for number, text in LINES if "::" not in text and "does not apply" not in text] == []


def test_the_tests_that_are_named_exist():
    missing = []
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE):
        file = ROOT / path
        functions = ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if file.exists() else []
        if not any(
            isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name == name for one in functions
        ):
            missing.append(f"{path}::{name}")
    assert missing == []
