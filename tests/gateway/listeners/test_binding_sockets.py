"""A socket is bound where it is wanted, or at the next best place, and the reason is told."""

from __future__ import annotations

import errno
import resource
import socket
from ipaddress import IPv4Address

import pytest

from gateway.listeners.binding_sockets import bind, reason
from gateway.listeners.bindings import LOCALHOST, Binding
from resolver.names import ServiceProtocol

_IP = IPv4Address("127.80.7.1")
_KINDS = {ServiceProtocol.TCP: socket.SOCK_STREAM, ServiceProtocol.UDP: socket.SOCK_DGRAM}


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((str(_IP), 0))
        return sock.getsockname()[1]


@pytest.mark.parametrize("protocol", list(ServiceProtocol))
def test_the_services_own_port_is_had_when_free(protocol) -> None:
    port = _free_port()
    sock, place, note = bind(Binding(_IP, port, protocol, "web.alice.overlay"))
    with sock:
        assert (place, note) == ((_IP, port), "")
        assert sock.getsockname() == (str(_IP), port)


@pytest.mark.parametrize("protocol", list(ServiceProtocol))
def test_a_taken_port_becomes_any_free_one_of_the_same_address(protocol) -> None:
    with socket.socket(type=_KINDS[protocol]) as taken:
        taken.bind((str(_IP), 0))
        port = taken.getsockname()[1]
        sock, place, note = bind(Binding(_IP, port, protocol, "web.alice.overlay"))
        with sock:
            assert place[0] == _IP
            assert place[1] != port
            assert "another program" in note


def test_a_privileged_port_that_cannot_be_had_is_offered_8000_higher() -> None:
    with socket.socket() as taken:
        try:
            taken.bind((str(_IP), 80))
            taken.listen()
        except PermissionError:
            pass  # then nor can we, which is the case that matters
        sock, place, note = bind(Binding(_IP, 80, ServiceProtocol.TCP, "web.alice.overlay"))
        with sock:
            assert place == (_IP, 8080)
            assert "127.80.7.1:80 cannot be had" in note


def test_an_address_this_system_does_not_have_becomes_a_mapped_port() -> None:
    port = _free_port()
    foreign = IPv4Address("192.0.2.1")
    sock, place, note = bind(Binding(foreign, 80, ServiceProtocol.TCP, "web.alice.overlay", mapped_port=port))
    with sock:
        assert place == (LOCALHOST, port)
        assert "no such loopback address" in note
        other, place, _ = bind(Binding(foreign, 80, ServiceProtocol.TCP, "x.overlay", mapped_port=port))
        with other:
            assert place[0] == LOCALHOST
            assert place[1] != port


def test_running_out_of_files_is_told_with_the_remedy() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="open files") as caught:
            bind(Binding(_IP, 80, ServiceProtocol.TCP, "web.alice.overlay"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE
    assert "ulimit" in reason(caught.value)
