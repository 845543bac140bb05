"""What root may trust on the way to a file, wherever links lead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.root_paths import changeable_by_others, is_root


@pytest.mark.needs("root")
def test_a_directory_that_others_may_change_is_told_wherever_a_link_leads(tmp_path):
    for name in ("ours", "ours/below", "evil", "evil/ours", "open", "group"):
        (tmp_path / name).mkdir()
    os.chown(tmp_path / "evil", 65534, 65534)
    (tmp_path / "open").chmod(0o777)
    os.chown(tmp_path / "group", 0, 65534)
    (tmp_path / "group").chmod(0o775)
    for name, target in (
        ("fine", "ours/below"),
        ("led", "evil/../ours"),
        ("far", str(tmp_path / "evil" / "back")),
        ("evil/back", str(tmp_path / "ours")),
        ("round", "round"),
    ):
        (tmp_path / name).symlink_to(target)
    os.chown(tmp_path / "evil" / "back", 65534, 65534, follow_symlinks=False)

    def exposed(name: str) -> str:
        return changeable_by_others(tmp_path / name / "file").removeprefix(f"{tmp_path}/")

    for name in ("ours", "ours/below", "ours/not/there", "fine"):
        assert exposed(name) == "", name
    for name in ("evil", "evil/ours", "evil/not/there", "led", "far", "open", "group"):
        assert exposed(name) == {
            "led": "evil",
            "far": "evil",
            "evil/ours": "evil",
            "evil/not/there": "evil",
        }.get(name, name)
    assert exposed("round") == "round"
    assert changeable_by_others(Path("/tmp/file")) == "/tmp"


@pytest.mark.needs("root")
def test_root_in_a_namespace_of_a_user_is_none(tmp_path):
    (tmp_path / "mapped").write_text("         0       1000          1\n")
    (tmp_path / "all").write_text("         0          0 4294967295\n")
    assert is_root(tmp_path / "all")
    assert is_root(tmp_path / "there is none")
    assert not is_root(tmp_path / "mapped")
