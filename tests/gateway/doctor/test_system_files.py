"""What the system says in its own files, read; whatever else is in them does no harm."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.doctor import limits
from gateway.doctor.system_files import hosts_order, listening, nameservers

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0438 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:0438 0100007F:E000 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
"""
UDP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
 7: 00000000000000000000000001000000:14E9 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000  0        0 99 2 0 0
"""


def test_listening_sockets_are_told_and_connections_are_not():
    assert list(listening(TCP.splitlines(), "tcp")) == [("127.0.0.1", 1080, 4711)]
    assert list(listening(UDP6.splitlines(), "udp")) == [("::1", 5353, 99)]
    assert list(listening(UDP6.splitlines(), "tcp")) == []


@given(st.lists(st.text(alphabet="0123456789ABCDEF:x \t", max_size=160)))
def test_lines_that_are_none_are_passed_over(lines):
    for ip, port, inode in listening(lines, "tcp"):
        assert ip
        assert port >= 0
        assert inode >= 0


def test_no_more_lines_are_read_than_the_bound(monkeypatch):
    monkeypatch.setattr("gateway.doctor.system_files.DOCTOR_LISTENING", 3)
    assert len(list(listening([TCP.splitlines()[1]] * 10, "tcp"))) == 3
    assert limits.DOCTOR_LISTENING > 1000


def test_who_the_system_asks_for_names():
    assert nameservers("# x\nnameserver 127.0.0.53\nsearch example\nnameserver ::1 # y\nnameserver\n") == (
        "127.0.0.53",
        "::1",
    )
    assert hosts_order("passwd: files\nhosts:  files  resolve [!UNAVAIL=return] dns # x\n") == (
        "files resolve [!UNAVAIL=return] dns"
    )
    assert hosts_order("hosts") == ""
