"""Tests that need an event loop run on asyncio's own and on uvloop's, because a gateway may run on either."""

from __future__ import annotations

import asyncio

import uvloop


def pytest_asyncio_loop_factories(config, item):
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
