"""What the code says itself stands in docs/reference/ as it says it now."""

from __future__ import annotations

import pytest

from scripts.reference import DIRECTORY, DOCUMENTS


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_as_the_code_says(name):
    written = (DIRECTORY / name).read_text(encoding="utf-8")
    assert written == DOCUMENTS[name](), "write it anew: python scripts/reference.py"
