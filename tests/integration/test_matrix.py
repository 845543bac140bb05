"""Part of the matrix of `make matrix`: real gateways in pairs of kinds of home networks, over links of 20 ms; and the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.matrix import chosen
from tests.lab.kinds import KINDS
from tests.lab.matrix_pairs import AIMS, all_pairs, class_of, is_feasible
from tests.lab.matrix_results import DIRECT_WORDS
from tests.lab.matrix_tries import Terms, measure

pytestmark = [
    pytest.mark.needs("root", "ip", "nft", "conntrack", "tun"),
    pytest.mark.timeout(180),
]
ROOT = Path(__file__).parents[2]
DIRECT_AIM = 0.5
FIRST_BYTE_AIM = 0.8
CHEAP_MAPPINGS = 16
"""A router that remembers more new flows than this for one direct path was sprayed through."""

PAIRS = [
    ("open", "symmetric-random"),
    ("full-cone", "symmetric-sequential"),
    ("address-restricted", "symmetric-block"),
    ("port-restricted", "port-restricted"),
    ("cgnat", "kernel-masquerade"),
    pytest.param("mapping", "kernel-fully-random", marks=pytest.mark.needs("miniupnpd")),
    ("ipv6-firewalled", "ipv6-firewalled"),
    ("symmetric-random", "symmetric-random"),
    ("port-restricted", "udp-blocked"),
]
"""One of each class that simultaneous checks make direct, and two that never are: by the relay, or by TCP where UDP is blocked."""


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_data_comes_at_once_and_the_path_is_direct_where_that_is_feasible(tmp_path, figure, one, other):
    (tried,) = measure(tmp_path, (one, other), Terms(tries=1, give_up=20.0, give_up_infeasible=2.0))
    assert tried.exchanged, tried
    figure(tried.first_byte, aim=FIRST_BYTE_AIM, what="first byte")
    sides = tried.dialling, tried.answering
    if not is_feasible(one, other):
        lasting = {"relay", "TCP"} if "udp-blocked" in (one, other) else {"relay"}
        assert {side.path for side in sides} <= lasting
        return
    assert tried.direct is not None, tried
    figure(tried.direct, aim=AIMS.get(class_of(one, other), DIRECT_AIM), what="direct both ways")
    for side in sides:
        assert side.path in DIRECT_WORDS
        assert side.router is None or side.router["mappings"] <= CHEAP_MAPPINGS


def test_the_command_writes_a_table_and_json_and_its_exit_code_tells_whether_all_is_well(tmp_path):
    done = command(tmp_path, "--pairs", "open:open,open:udp-blocked", "--tries", "1", "--jobs", "2")
    said, told = done.communicate(timeout=120)
    assert done.returncode == 0, told
    assert "direct every time: 1 of 1 pairs" in said
    assert (tmp_path / "matrix.md").read_text() == said.rstrip("\n") + "\n"
    kept = json.loads((tmp_path / "matrix.json").read_bytes())
    assert [each["pair"] for each in kept["tries"]] == [["open", "open"], ["open", "udp-blocked"]]
    assert "open → udp-blocked: first byte" in told


def test_when_interrupted_it_tells_what_it_has_and_leaves_nothing(tmp_path):
    process = command(tmp_path, "--pairs", "open:open", "--tries", "50")
    assert process.stderr is not None
    assert "open → open" in process.stderr.readline()
    (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert list(Path("/run/netns").glob(f"ovl{worker}x*"))
    process.send_signal(signal.SIGINT)
    said, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "open x open" in said
    assert not list(Path("/run/netns").glob(f"ovl{worker}x*"))
    assert not Path(f"/proc/{worker}").exists()


def command(out: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.matrix", "--out", str(out), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def test_pairs_are_chosen_by_kinds_by_name_and_by_what_is_feasible():
    assert chosen(None, None) == all_pairs(KINDS)
    assert len(chosen(None, None, only_feasible=True)) == 71
    assert chosen("open,full-cone", None) == [
        ("open", "open"),
        ("open", "full-cone"),
        ("full-cone", "full-cone"),
    ]
    assert chosen(None, "symmetric-random:port-restricted") == [("port-restricted", "symmetric-random")]
    assert chosen("port-restricted-guarded", None) == [("port-restricted-guarded",) * 2]
    for kinds, pairs in (("opne", None), (None, "open:opne"), (None, "open"), ("udp-blocked", None)):
        with pytest.raises(ValueError, match=r"there is no kind|a pair is written|no pair is left"):
            chosen(kinds, pairs, only_feasible=True)
