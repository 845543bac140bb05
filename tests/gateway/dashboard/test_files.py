"""What the page consists of."""

from __future__ import annotations

import re

from gateway.dashboard.files import INDEX, read_files

FILES = read_files()


def test_all_of_it_is_there():
    assert {INDEX, "app.js", "style.css", "icon.svg", "views/overview.js"} <= FILES.keys()
    assert FILES["app.js"].content_type == "text/javascript"


def test_nothing_is_loaded_from_elsewhere_and_no_script_is_in_the_page():
    """Without a network it works as with one, and the policy needs no exceptions."""
    for name, file in FILES.items():
        words = file.body.decode()
        for url in re.findall(r"https?://[^\s\"'`<>)]*", words):
            assert url.startswith(("http://www.w3.org/", "https://", "http://$", "https://$")), (name, url)
        if name == INDEX:
            assert re.findall(r"<script[^>]*>([^<]*)</script>", words) == [""]
            assert not re.search(r"\son\w+=|style=", words)
        if name.endswith(".js"):
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", words
            ), name


def test_each_module_that_is_imported_is_there():
    for name, file in FILES.items():
        folder = name.rpartition("/")[0]
        for path in re.findall(r"from \"(\.[^\"]+)\"", file.body.decode()):
            parts = [part for part in f"{folder}/{path}".split("/") if part not in ("", ".")]
            while ".." in parts:
                at = parts.index("..")
                del parts[at - 1 : at + 1]
            assert "/".join(parts) in FILES, (name, path)


def test_a_tag_is_of_the_content():
    assert len({file.tag for file in FILES.values()}) == len(FILES)
