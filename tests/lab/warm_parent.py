"""The process that `tests.lab.warm` starts: it has imported what `overlay` needs, and each request makes a child of it.

A request is one JSON message on the socket in standard input, with four descriptors: the child's standard input, output and
error, and the pipe that its process id and, when it has ended, its wait status are written to.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Any, Final

MAX_REQUEST: Final = 1 << 17
NUMBER: Final = struct.Struct("=i")
_ALSO: Final = "gateway.process", "gateway.beacon.running", "gateway.control.client", "uvloop"
_CLONE_NEWNS, _CLONE_NEWNET = 0x20000, 0x40000000
_MS_BIND, _MS_REC, _MS_SLAVE, _MNT_DETACH = 0x1000, 0x4000, 0x80000, 2


def _import_all() -> None:
    from gateway.cli.app import COMMANDS

    for module in {f"gateway.cli.{name}" for name in COMMANDS.values()} | set(_ALSO):
        importlib.import_module(module)
    if threading.active_count() != 1:
        raise RuntimeError("an import started a thread, which no child would have")
    gc.collect()
    gc.freeze()


def _serve(requests: socket.socket) -> dict[str, Any]:
    """Answer requests until nobody can send any; returns in each child, with what it is to be."""
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not requests:
                    selector.unregister(key.fileobj)
                    _report_end(*key.data)
                    continue
                message, descriptors, *_ = socket.recv_fds(requests, MAX_REQUEST, 4)
                if not message:
                    sys.exit()
                *standard, told = descriptors
                pid = os.fork()
                if pid == 0:
                    return _begin(json.loads(message), standard)
                for descriptor in standard:
                    os.close(descriptor)
                os.write(told, NUMBER.pack(pid))
                ended = os.pidfd_open(pid)
                selector.register(ended, selectors.EVENT_READ, (pid, ended, told))


def _report_end(pid: int, ended: int, told: int) -> None:
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):  # whoever started it does not want to know
        os.write(told, NUMBER.pack(status))
    os.close(told)
    os.close(ended)


def _begin(request: dict[str, Any], standard: list[int]) -> dict[str, Any]:
    """In the child: as a program that was just started, with nothing of ours open."""
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if os.environ.get("PYTHONUNBUFFERED"):
        sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
    if request["namespace"]:
        _enter(request["namespace"])
    return request


def _enter(name: str) -> None:
    """As `ip netns exec` does."""
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result: int, what: str) -> None:
        if result:
            raise OSError(ctypes.get_errno(), f"{name}: {what}: {os.strerror(ctypes.get_errno())}")

    with Path("/run/netns", name).open("rb") as namespace:
        check(libc.setns(namespace.fileno(), _CLONE_NEWNET), "setns")
    check(libc.unshare(_CLONE_NEWNS), "unshare")
    check(libc.mount(b"", b"/", b"none", _MS_SLAVE | _MS_REC, None), "mount /")
    libc.umount2(b"/sys", _MNT_DETACH)
    check(libc.mount(name.encode(), b"/sys", b"sysfs", 0, None), "mount /sys")
    for path in Path("/etc/netns", name).glob("*"):
        check(libc.mount(bytes(path), bytes(Path("/etc", path.name)), b"none", _MS_BIND, None), str(path))


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the tests end us
    with socket.socket(fileno=os.dup(0)) as requests:
        _import_all()
        request = _serve(requests)
        requests.detach()  # closed already, and the number may be another's
    program, *sys.argv = request["words"]
    if program == "gateway.cli":
        from gateway.cli import main

        main()
    runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
