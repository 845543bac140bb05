"""The counters, as Prometheus reads them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.lab.resolver_keys import key, packet
from tunnels.relay.frames import FrameKind


async def test_everything_that_happened_is_counted_and_nobody_is_named(world) -> None:
    server = await world.beacon()
    a, b = await world.client(server, 1), await world.client(server, 2)
    for kind, size in ((FrameKind.DATA, 67), (FrameKind.PATH, 17), (FrameKind.MESSAGE, 27)):
        await a.send(kind, b.endpoint_id, bytes(size))
        await b.receive()
    await a.send(FrameKind.DATA, key(9).endpoint_id, b"x")
    await a.receive()
    record = packet(1)
    async with world.http.put(f"{server.url.origin}/{record.endpoint_id}", data=record.to_payload()):
        pass
    async with world.http.get(f"{server.url.origin}/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = await answer.text()
    values = {
        (sample.name.removeprefix("overlay_beacon_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert values["sessions",] == 2
    assert values["logins_total",] == 2
    assert values["relayed_bytes_total",] == 210
    assert [values["frames_total", kind] for kind in ("data", "path", "message", "absent")] == [1, 1, 1, 1]
    assert values["dropped_frames_total", "queue"] == 0
    assert values["records_total", "put"] == 1
    for client in (a, b):
        assert str(client.endpoint_id) not in text
        assert client.welcome.observed not in text
