from __future__ import annotations

from gateway.system_dns.plan import is_ours, marked


def test_ours_is_what_says_so_in_its_first_line():
    assert is_ours(marked("x\n").encode())
    assert marked("x\n", ";").startswith("; ")
    assert not is_ours(b"x\n" + marked("x\n").encode())
    assert not is_ours(b"")
