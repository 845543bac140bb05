"""Commands are found in documents as people read them."""

from __future__ import annotations

import pytest

from tests.lab.consoles import Step, fill_in, is_as_expected, other_blocks, steps

PAGE = """# Title

```console
alice$ overlay up            # leave it running
alice$ overlay expose web 127.0.0.1:8000
exposed web …
  undo: overlay unexpose web
bob# overlay dns install \\
       --yes
```

```toml
[dns]
```
- in a list
  ```console
  bob$ sleep 100 &
  ```
"""


def test_steps_are_found_with_who_types_them_and_what_they_print():
    assert steps(PAGE) == [
        Step(4, "alice", False, "overlay up", True, ()),
        Step(
            5,
            "alice",
            False,
            "overlay expose web 127.0.0.1:8000",
            False,
            ("exposed web …", "  undo: overlay unexpose web"),
        ),
        Step(8, "bob", True, "overlay dns install --yes", False, ()),
        Step(17, "bob", False, "sleep 100", True, ()),
    ]
    assert other_blocks(PAGE) == ["toml"]


@pytest.mark.parametrize("text", ["```console\nno prompt\n```\n", "```console\na$ b\n"])
def test_a_block_that_is_none_is_an_error(text):
    with pytest.raises(ValueError, match="line"):
        steps(text)


def test_placeholders_are_what_was_printed_last():
    printed = ["take overlay:i1abc now", "or overlay:i1def", "and overlay:i1…"]
    assert fill_in("overlay join overlay:i1… --name a", {}, printed) == "overlay join overlay:i1def --name a"
    assert fill_in("ping ALICE-ID", {"alice": "xyz"}, []) == "ping xyz"
    with pytest.raises(LookupError, match="i2"):
        fill_in("join i2…", {}, printed)


@pytest.mark.parametrize(
    ("expected", "fits"),
    [
        (("exposed web",), True),
        (("exposed …", "undo: x"), True),
        (("undo: x", "exposed web"), False),
        (("exposed   web  at …0",), True),
        (("exposed web at 8.",), False),
    ],
)
def test_output_is_compared_line_by_line_with_gaps(expected, fits):
    assert is_as_expected(expected, "hello\nexposed web at 80\nmore\n  undo: x\n") is fits


def test_a_question_in_the_output_has_its_answer_with_it():
    (step,) = steps("```console\nbob$ overlay join x\nTake it? [y/N]: y\nhello\n```\n")
    assert step.answer == "y"
    assert is_as_expected(step.expected, "Take it? [y/N]: y\nhello\n")
