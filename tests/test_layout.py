"""Facts about the tree: each module says what it is for, and has its tests where they are looked for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("gateway", "overlay", "resolver", "tunnels")
MODULES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

TESTED_ELSEWHERE = {
    "tunnels/errors.py": "names and sentences only; each is raised in some test",
    "gateway/traffic/admission.py": "tests/gateway/traffic/test_control.py; it does what the control says",
    "tunnels/driver.py": "the shell of a tunnel, tested with real sockets in tests/tunnels/test_endpoint.py",
    "tunnels/dialer.py": "tests/tunnels/test_endpoint.py, with real sockets",
    "tunnels/incoming.py": "tests/tunnels/test_attacks.py fills it, with real sockets",
    "tunnels/status.py": "values only; what they tell is asked for in tests/tunnels/test_endpoint.py",
    "tunnels/mapped_port.py": "joins two rooms that have tests; tests/integration/test_port_mapping.py, with real routers",
    "tunnels/whereabouts.py": "tests/tunnels/test_endpoint.py, test_lying_peers.py and test_lying_beacons.py, with real sockets",
    "tunnels/reception.py": "tests/tunnels/test_endpoint.py and test_attacks.py, with real sockets",
    "tunnels/events.py": "names and a protocol only; tests/tunnels/test_tunnel.py",
    "tunnels/relay/status.py": "values only; tests/tunnels/transports/test_relayed.py",
    "tunnels/transports/beacon_connection.py": "one WebSocket of tests/tunnels/transports/test_relayed.py",
    "tunnels/transports/beacon_connections.py": "all of them; tests/tunnels/transports/test_relayed.py",
    "tunnels/paths/reports.py": "values only; tests/tunnels/paths/test_path_set.py and test_table.py ask for them",
    "tunnels/quic/engines.py": "one choice; tests/tunnels/quic/test_conformance.py makes both",
    "tunnels/quic/qh3_engine.py": "tests/tunnels/quic/test_conformance.py",
    "tunnels/quic/aioquic_engine.py": "tests/tunnels/quic/test_conformance.py",
    "tunnels/quic/binding.py": "tests/tunnels/quic/test_conformance.py",
    "tunnels/crossing/strategies/direct.py": "a row without an attempt; tests/tunnels/crossing/strategies/test_passive.py",
    "tunnels/crossing/strategies/hairpin.py": "a row without an attempt; tests/tunnels/crossing/strategies/test_passive.py",
    "tunnels/crossing/strategies/ipv6.py": "a row without an attempt; tests/tunnels/crossing/strategies/test_passive.py",
    "tunnels/crossing/strategies/lan.py": "a row without an attempt; tests/tunnels/crossing/strategies/test_passive.py",
    "tunnels/crossing/strategies/mapped.py": "a row without an attempt; tests/tunnels/crossing/strategies/test_passive.py",
    "tunnels/crossing/strategies/nat64.py": "a row without an attempt; tests/tunnels/crossing/strategies/test_passive.py",
    "tunnels/crossing/strategies/punch.py": "a row without an attempt; tests/tunnels/crossing/strategies/test_passive.py",
    "tunnels/crossing/strategies/pwnat.py": "a row without an attempt; tests/tunnels/nat/test_pwnat.py has what it names",
    "tunnels/crossing/strategies/relay.py": "a row without an attempt; tests/tunnels/crossing/strategies/test_passive.py",
    "tunnels/crossing/strategies/reverse.py": "a row without an attempt; tests/tunnels/crossing/strategies/test_passive.py",
    "tunnels/crossing/strategies/turn.py": "a row without an attempt; tests/tunnels/crossing/strategies/test_passive.py",
    "overlay/attaching.py": "tests/overlay/test_streams.py, test_listening.py and test_datagrams.py attach to a real desk",
    "overlay/standalone.py": "tests/integration/test_python_api.py runs it",
    "overlay/endpoint.py": "tests/integration/test_python_api.py, with real gateways; its parts are in tests/overlay",
    "gateway/programs/client.py": "tests/gateway/programs/test_desk.py and tests/overlay/test_sync.py ask by it",
    "gateway/programs/offering.py": "one service of a desk; tests/gateway/programs/test_desk.py",
    "gateway/cli/netcat.py": "tests/integration/test_pipes.py, with real gateways",
    "gateway/cli/piping.py": "tests/integration/test_pipes.py, with real gateways",
    "gateway/cli/forwarding.py": "tests/integration/test_pipes.py, with real gateways",
    "gateway/cli/ssh.py": "tests/integration/test_ssh.py, with a real ssh and sshd",
    "gateway/errors.py": "names and sentences only; each is raised in some test",
    "gateway/collecting.py": "one end of a stream; tests/gateway/test_introductions.py and test_overlay_dialer.py read by it",
    "gateway/dialing.py": "the seam between adapters and tunnels; values and protocols only",
    "gateway/beacon/door.py": "strangers with real connections, in tests/gateway/beacon/test_server.py",
    "gateway/beacon/offers.py": "a seam and its plain form; tests/gateway/beacon/test_sessions.py asks for each offer",
    "gateway/expose/connecting.py": "the acceptor's way to a target; tests/gateway/expose/test_acceptor.py",
    "gateway/expose/incoming.py": "one stream of the acceptor; tests/gateway/expose/test_acceptor.py",
    "gateway/expose/quota.py": "the acceptor's counts; tests/gateway/expose/test_acceptor.py",
    "gateway/flows/dialed.py": "one end of a flow; tests/gateway/flows/test_served.py joins both",
    "gateway/flows/stream.py": "what both ends of a flow share; tests/gateway/flows/test_served.py",
    "gateway/listeners/tcp.py": "tests/gateway/listeners/test_loopback.py, with real sockets",
    "gateway/listeners/udp.py": "tests/gateway/listeners/test_loopback.py, with real sockets",
    "gateway/daemon.py": "the whole gateway; tests/integration runs it as a process",
    "gateway/process.py": "the process around it; tests/integration",
    "gateway/local_doors.py": "each door has tests of its own; tests/integration goes through all",
    "gateway/web_port.py": "the port of two servers: tests/gateway/test_metrics_door.py and dashboard/test_server.py",
    "gateway/records.py": "joins rooms that have tests; tests/integration/test_records.py, test_publishing.py and test_roots.py",
    "gateway/answers/base.py": "what the rooms beside it share",
    "gateway/answers/contacts.py": "as the facade: tests/integration",
    "gateway/answers/dashboard.py": "as the facade: tests/integration/test_dashboard.py",
    "gateway/dashboard/door.py": "connections of our own user and others, in tests/gateway/dashboard/test_server.py",
    "gateway/dashboard/streams.py": "two handlers of the web server; tests/gateway/dashboard/test_server.py",
    "gateway/answers/invites.py": "as the facade: tests/integration/test_invites.py and test_spoken_codes.py",
    "gateway/inviting.py": "joins two rooms that have tests; tests/integration/test_invites.py",
    "gateway/control/base.py": "what tests/gateway/control/test_api.py says of every request and report",
    "gateway/control/configuration.py": "values only; tests/gateway/control/test_client.py takes them over the wire",
    "gateway/control/names.py": "values only; tests/gateway/control/test_client.py takes them over the wire",
    "gateway/control/paths.py": "values only; tests/gateway/control/test_client.py takes them over the wire",
    "gateway/control/services.py": "values only; tests/gateway/control/test_client.py takes them over the wire",
    "gateway/control/tickets.py": "values only; tests/gateway/control/test_client.py takes them over the wire",
    "gateway/control/vouchers.py": "values only; tests/gateway/cli/test_vouchers.py takes them over the wire",
    "gateway/control/status.py": "values only; tests/gateway/control/test_api.py",
    "gateway/invites/errors.py": "names and sentences only; tests/gateway/control/test_errors.py has each code",
    "gateway/invites/stream.py": "one message at either end of a stream; tests/gateway/test_overlay_dialer.py joins both",
    "gateway/answers/metrics.py": "as the facade: tests/integration/test_live.py",
    "gateway/answers/live.py": "as the facade: tests/integration/test_live.py",
    "gateway/answers/names.py": "as the facade: tests/integration",
    "gateway/answers/network.py": "as the facade: tests/integration/test_netcheck.py",
    "gateway/answers/services.py": "as the facade: tests/integration",
    "gateway/answers/topics.py": "as the facade: tests/integration/test_topics.py",
    "gateway/topics/base.py": "a seam and its value; tests/gateway/topics/test_sources.py holds the sources and the fake to it",
    "gateway/topics/service.py": "joins rooms that have tests; tests/integration/test_topics.py",
    "gateway/answers/usage.py": "as the facade: tests/integration/test_usage.py",
    "gateway/answers/zones.py": "as the facade: tests/integration/test_zones.py",
    "gateway/doctor/facts.py": "values only; tests/gateway/doctor/checks/test_every.py judges them",
    "gateway/doctor/findings.py": "values only; tests/gateway/doctor/checks/test_every.py makes each",
    "gateway/doctor/gathering.py": "this machine as it is; tests/integration/test_doctor.py, with gateways that are broken",
    "gateway/doctor/channels.py": "tests/integration/test_doctor.py tries all of them at a real gateway",
    "gateway/doctor/checks/home.py": "tests/gateway/doctor/checks/test_every.py has a case for each finding",
    "gateway/doctor/checks/channels.py": "tests/gateway/doctor/checks/test_every.py has a case for each finding",
    "gateway/doctor/checks/ports.py": "tests/gateway/doctor/checks/test_every.py has a case for each finding",
    "gateway/doctor/checks/machine.py": "tests/gateway/doctor/checks/test_every.py has a case for each finding",
    "gateway/doctor/checks/network.py": "tests/gateway/doctor/checks/test_every.py has a case for each finding",
    "gateway/system_dns/base.py": "a seam; tests/gateway/system_dns/test_managers.py holds each resolver to it",
    "gateway/system_dns/errors.py": "names and sentences only; each is raised in some test",
    "gateway/system_dns/report.py": "values only; tests/gateway/system_dns/test_status.py and tests/gateway/cli/test_dns.py",
    "gateway/secure/serving.py": "one connection of a front door; tests/gateway/secure/test_doors.py",
    "gateway/facade.py": "each of its answers is asked for by a command in tests/integration",
}


def test_there_are_modules():
    assert len(MODULES) > 50


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_each_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8")))


def _has_code(path: Path) -> bool:
    """Bounds are numbers only; each is filled by the tests of what it bounds."""
    return path.name != "__init__.py" and (path.name != "limits.py" or path.parent.name == "cli")


@pytest.mark.parametrize("path", list(filter(_has_code, MODULES)), ids=str)
def test_each_module_has_a_test_file_that_mirrors_its_path(path):
    mirror = ROOT / "tests" / path.parent / f"test_{path.name}"
    if str(path) in TESTED_ELSEWHERE:
        assert not mirror.exists(), "it has tests of its own now: take it off the list"
    else:
        assert mirror.exists(), f"write {mirror.relative_to(ROOT)}"


def test_the_exceptions_are_about_modules_that_exist():
    assert {Path(name) for name in TESTED_ELSEWHERE} <= set(MODULES)
