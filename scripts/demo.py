"""`make demo`: two gateways on this machine, one web server, opened in every way; leaves nothing running.

Needs no root and no network: both gateways keep to 127.0.0.1, on ports that happen to be free, with their state
in a directory that is removed at the end. What is typed here is what a person would type.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path
from typing import Any

from dnslib import DNSRecord

OVERLAY = str(Path(sys.executable).with_name("overlay"))
BOLD, DIM, PLAIN = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if sys.stdout.isatty() else ("", "", "")
SECONDS = 30


class Page(http.server.BaseHTTPRequestHandler):
    """The web server that alice has: it says who asks, as far as it can tell."""

    def do_GET(self) -> None:
        body = f"Hello from alice's web server! You asked for {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


def say(text: str = "") -> None:
    print(text, flush=True)


def step(text: str) -> None:
    say(f"\n{BOLD}{text}{PLAIN}")


def overlay(who: str, home: Path, *arguments: str, show: bool = True) -> str:
    """Run one `overlay` command as `who`; its output is shown, shortened, and returned."""
    if show:
        say(f"{DIM}{who}$ overlay {' '.join(shorten(argument) for argument in arguments)}{PLAIN}")
    done = subprocess.run(
        [OVERLAY, "--home", str(home), *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"demo: `overlay {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout


def shorten(text: str) -> str:
    return text if len(text) < 70 else f"{text[:30]}…"


def overlay_json(who: str, home: Path, *arguments: str, show: bool = True) -> Any:
    return json.loads(overlay(who, home, *arguments, "--json", show=show))


class Gateway:
    """One `overlay up` with a directory of its own."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name, self.home = name, directory / name
        command = [
            OVERLAY,
            "--home",
            str(self.home),
            "up",
            "--nickname",
            name,
            "--bind",
            "127.0.0.1",
            "--dht",
            "off",
        ]
        for port in ("proxy", "dns", "dashboard", "front-door", "https"):
            command += [f"--{port}-port", "0"]
        self.log = (directory / f"{name}.log").open("w+")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        assert self.process.stdout is not None
        if not self.process.stdout.readline():  # the first line is printed once everything listens
            self.log.seek(0)
            raise SystemExit(f"demo: {name}'s gateway did not start: {self.log.read().strip()}")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.status = overlay_json(name, self.home, "status", show=False)
        self.id = self.status["endpoint_id"]

    def listens(self, name: str) -> str:
        return next(entry["addresses"][0] for entry in self.status["listeners"] if entry["name"] == name)

    def stop(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(SystemExit, subprocess.TimeoutExpired):
                overlay(self.name, self.home, "down", show=False)
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(SECONDS)
        self.log.close()


def fetch(who: str, url: str, *, socks: str | None = None, proxy: str | None = None) -> None:
    """Open a URL with curl, or, where curl is not installed, with Python."""
    if shutil.which("curl"):
        options = (
            ["--proxy", f"socks5h://{socks}"] if socks else ["--proxy", f"http://{proxy}"] if proxy else []
        )
        say(f"{DIM}{who}$ curl {' '.join((*options, url))}{PLAIN}")
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--max-time", "15", *options, url],
            capture_output=True, text=True, check=False, env={**os.environ, "no_proxy": "", "NO_PROXY": ""},
        )  # fmt: skip
        body = done.stdout or done.stderr
    else:
        say(
            f"{DIM}{who} (Python, as curl is not installed): {url} through {socks or proxy or 'nothing'}{PLAIN}"
        )
        body = socks_get(socks, url) if socks else http_get(url, proxy)
    say(f"  {body.strip()}")
    if "Hello from alice" not in body:
        raise SystemExit("demo: that is not what alice's web server says")


def http_get(url: str, proxy: str | None) -> str:
    handler = urllib.request.ProxyHandler({"http": f"http://{proxy}"} if proxy else {})
    with urllib.request.build_opener(handler).open(url, timeout=15) as response:
        return str(response.read().decode())


def socks_get(place: str, url: str) -> str:
    host = url.split("/")[2]
    ip, _, port = place.rpartition(":")
    with socket.create_connection((ip, int(port)), timeout=15) as sock:
        sock.sendall(b"\5\1\0" + b"\5\1\0\3" + bytes([len(host)]) + host.encode() + struct.pack("!H", 80))
        replies = sock.recv(2) + sock.recv(10)
        if replies[3] != 0:
            return f"SOCKS reply {replies[3]}"
        sock.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: sock.recv(65536), b"")).decode().partition("\r\n\r\n")[2]


def resolve(who: str, server: str, name: str) -> tuple[str, int]:
    """The loopback address of a name and the port of its web service there, asked of the gateway's DNS server."""
    ip, _, port = server.rpartition(":")
    address = str(DNSRecord.parse(DNSRecord.question(name).send(ip, int(port), timeout=15)).get_a().rdata)
    service = DNSRecord.parse(DNSRecord.question(f"_http._tcp.{name}", "SRV").send(ip, int(port), timeout=15))
    offered = next(int(entry.rdata.port) for entry in service.rr)
    say(f"{DIM}{who}$ dig @{ip} -p {port} {name} +short{PLAIN}\n  {address}")
    return address, offered


def run(directory: Path) -> None:
    say(
        f"{BOLD}Two machines, played by two gateways on this one: alice has a web server, bob wants to see it.{PLAIN}"
    )
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    gateways: list[Gateway] = []
    try:
        for name in ("alice", "bob"):
            gateways.append(Gateway(name, directory))
            say(f"{name} runs `overlay up` and is {gateways[-1].id}")
        alice, bob = gateways

        step("alice offers her web server, and makes an invite to it for bob, which nobody can take twice")
        overlay("alice", alice.home, "expose", "web", f"127.0.0.1:{server.server_port}")
        made = overlay_json("alice", alice.home, "invite", "--service", "web", "--name", "bob")

        step("he takes it")
        overlay("bob", bob.home, "join", made["invite"], "--name", "alice", "--yes")

        step("bob opens it: through SOCKS, as an HTTP proxy, and by name and address without any proxy")
        proxy = bob.listens("proxy")
        fetch("bob", "http://web.alice.overlay/", socks=proxy)
        fetch("bob", "http://web.alice.overlay/", proxy=proxy)
        address, port = resolve("bob", bob.listens("dns"), "web.alice.overlay")
        fetch("bob", f"http://{address}/" if port == 80 else f"http://{address}:{port}/")
        if port != 80:
            say(f"  (port 80 needs privileges on this machine, so it is offered at {port}; SRV records tell)")
        say(f"  A browser needs one setting for all of it: http://{bob.listens('dashboard')}/proxy.pac")

        step("the tunnel between them")
        say(f"  {overlay('bob', bob.home, 'ping', 'alice').strip().splitlines()[0]}")

        step("alice takes it away again, and bob is told")
        overlay("alice", alice.home, "unexpose", "web")
        say(f"{DIM}bob$ open http://web.alice.overlay/{PLAIN}")
        try:
            http_get("http://web.alice.overlay/", proxy)
        except urllib.error.HTTPError as refusal:
            with refusal:
                say(f"  {refusal.code} {refusal.reason}")
        else:
            raise SystemExit("demo: the service should be gone")
    finally:
        for gateway in gateways:
            gateway.stop()
        server.shutdown()
        server.server_close()
    say(
        f'\n{BOLD}Both gateways are stopped and their state is removed.{PLAIN} Next: README.md, "Quick start".'
    )


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="overlay-demo-") as directory:
        run(Path(directory))


if __name__ == "__main__":
    main()
