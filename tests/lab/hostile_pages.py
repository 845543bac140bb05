"""Web servers for a browser that something is tried on: a page that tries everything against the dashboard, and a long answer."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 30_000_000

HOSTILE = """<!doctype html><title>hostile</title><body><script>
const at = "http://" + location.hash.slice(1);
const got = [];
const attempts = [];
const tried = (name, promise) => attempts.push(promise.then((what) => got.push(name + ": " + what), () => {}));
for (const path of ["/", "/v1/status", "/v1/contacts", "/events?watch=status", "/proxy.pac", "/dns-query?dns=AAABAAABAAAAAAAAA3d3dwVhbGljZQdvdmVybGF5AAABAAE", "/static/app.js"]) {
  for (const credentials of ["include", "omit"]) {
    tried("fetch " + path, fetch(at + path, {credentials}).then((reply) => reply.text()));
    tried("opaque " + path, fetch(at + path, {credentials, mode: "no-cors"}).then((reply) => reply.text()).then((text) => text || Promise.reject()));
  }
  tried("script " + path, new Promise((done, not) => { const it = document.createElement("script"); it.src = at + path; it.onload = () => done("ran"); it.onerror = not; document.body.append(it); }));
  tried("module " + path, new Promise((done, not) => { const it = document.createElement("script"); it.type = "module"; it.src = at + path; it.onload = () => done("ran"); it.onerror = not; document.body.append(it); }));
  tried("image " + path, new Promise((done, not) => { const it = new Image(); it.src = at + path; it.onload = () => done("shown"); it.onerror = not; }));
}
tried("icon", new Promise((done, not) => { const it = new Image(); it.src = at + "/static/icon.svg"; it.onload = () => done("shown"); it.onerror = not; }));
tried("style", new Promise((done, not) => { const it = document.createElement("link"); it.rel = "stylesheet"; it.href = at + "/static/style.css"; it.onload = () => done("read"); it.onerror = not; document.head.append(it); }));
for (const headers of [{"Content-Type": "application/json"}, {"Content-Type": "text/plain"}, {"Overlay-Key": "x"}]) {
  tried("write", fetch(at + "/v1/services", {method: "POST", credentials: "include", headers, body: JSON.stringify({name: "stolen", settings: {target: "1", public: true}})}).then((reply) => reply.status));
}
fetch(at + "/v1/services", {method: "POST", mode: "no-cors", credentials: "include", body: JSON.stringify({name: "stolen", settings: {target: "1", public: true}})}).catch(() => {});
tried("socket", new Promise((done, not) => { const it = new WebSocket(at.replace("http", "ws") + "/events"); it.onopen = () => done("open"); it.onerror = not; }));
tried("events", new Promise((done, not) => { const it = new EventSource(at + "/events", {withCredentials: true}); it.onopen = () => done("open"); it.onerror = not; }));
const frame = document.createElement("iframe"); frame.name = "frame"; frame.src = at + "/"; document.body.append(frame);
const form = document.createElement("form"); form.method = "post"; form.enctype = "text/plain"; form.action = at + "/v1/services"; form.target = "frame2";
const field = document.createElement("input"); field.name = '{"name":"stolen","settings":{"target":"1","public":true},"x":"'; field.value = '"}'; form.append(field);
const frame2 = document.createElement("iframe"); frame2.name = "frame2"; document.body.append(frame2); document.body.append(form); form.submit();
setTimeout(() => Promise.allSettled(attempts).then(() => { window.done = got; }), 500);
</script>"""


class HostilePage(BaseHTTPRequestHandler):
    """A page that tries everything; at /idle one that does nothing yet."""

    def do_GET(self) -> None:
        data = b"<!doctype html><title>idle</title>" if self.path == "/idle" else HOSTILE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class LongAnswer(BaseHTTPRequestHandler):
    """Something long."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for _ in range(SIZE // 100_000):
                self.wfile.write(bytes(100_000))

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
