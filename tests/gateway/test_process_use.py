"""What our own process uses is what this system counts."""

from __future__ import annotations

import os
import threading

from gateway.process_use import process_use


def test_each_descriptor_and_thread_counts() -> None:
    before = process_use()
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    ends = os.pipe()
    try:
        during = process_use()
    finally:
        for end in ends:
            os.close(end)
        ended.set()
        thread.join()
    assert before.descriptors is not None
    assert during.descriptors == before.descriptors + 2
    assert during.threads == before.threads + 1


def test_memory_and_time_are_counted() -> None:
    before = process_use()
    kept = b"x" * (64 << 20)
    after = process_use()
    assert before.rss is not None
    assert after.rss is not None
    assert after.rss - before.rss > len(kept) // 2
    assert after.cpu_seconds > before.cpu_seconds > 0
