"""Every command of README and docs/ is run, in order, by people on machines of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.belongings import BELONGINGS
from tests.lab.consoles import other_blocks, steps
from tests.lab.people import company

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted([ROOT / "README.md", ROOT / "configs", *(ROOT / "docs").rglob("*.md")])
    if path.is_file()
}
"""Each document that tells people what to type."""
SHELLS = {"sh", "bash", "shell", "shell-session", "zsh"}


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if steps(text)])
@pytest.mark.needs("root", "ip", "curl")
@pytest.mark.timeout(180)
def test_all_commands_of_a_page_work_as_it_says(page, tmp_path):
    with company(tmp_path) as people:
        for who, has in BELONGINGS.get(page, ()):
            has(people.person(who))
        for step in steps(PAGES[page]):
            people.follow(step)


@pytest.mark.parametrize("page", PAGES)
def test_no_command_stands_in_a_block_that_is_not_run(page):
    assert not SHELLS.intersection(other_blocks(PAGES[page])), "blocks of commands are `console` blocks"
