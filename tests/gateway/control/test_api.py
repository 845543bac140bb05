"""Requests and reports keep their meaning on the wire and between versions."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from gateway.control import api
from gateway.control.client import ControlClient
from gateway.control.names import PingReport, PingRequest
from gateway.control.status import StatusReport
from tests.lab.control import FakeGateway


def test_a_report_of_a_newer_daemon_is_understood() -> None:
    newer = b'{"name": "a", "endpoint_id": "b", "rtt_ms": 1, "address": "c", "invented_later": [1]}'
    assert msgspec.json.decode(newer, type=PingReport).rtt_ms == 1.0


def test_a_field_of_a_newer_command_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="invented_later"):
        msgspec.json.decode(b'{"name": "a", "invented_later": 1}', type=PingRequest)


async def test_a_status_survives_the_wire() -> None:
    report = await FakeGateway().status()
    assert msgspec.json.decode(msgspec.json.encode(report), type=StatusReport) == report


async def test_a_status_tells_where_a_listener_is() -> None:
    report = await FakeGateway().status()
    assert report.listener("proxy") == "127.0.0.1:1080"
    assert report.listener("tunnels") == ""


def test_the_client_has_every_method_of_the_gateway() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in vars(kind).items()
            if inspect.isfunction(method) and not name.startswith("_")
        }

    assert methods(ControlClient) == methods(api.Gateway)
