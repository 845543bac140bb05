"""A page that does in a browser what people do: a WebSocket, a large download, a film with seeking, a large upload.

Chromium and Firefox open the same page; what it found out is `window.trial`, a promise.
"""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING, Any

import imageio_ffmpeg

if TYPE_CHECKING:
    from pathlib import Path

DOWNLOAD_BYTES = 200_000_000
UPLOAD_BYTES = 50_000_000
FILM_SECONDS = 30
SEEK_TO = 25
_BLOCK = 1_000_000

_PAGE = """<!doctype html><title>Trial</title><link rel="icon" href="data:,"><video id="film" muted></video>
<script src="trial.js"></script>"""

_SCRIPT = f"""
const once = (target, event) => new Promise((resolve, reject) => {{
  target.addEventListener(event, resolve, {{once: true}});
  target.addEventListener("error", () => reject(new Error(event + " failed")), {{once: true}});
}});

async function socket() {{
  const socket = new WebSocket("ws://" + location.host + "/socket");
  await once(socket, "open");
  socket.send("marco");
  const answer = (await once(socket, "message")).data;
  socket.close();
  return answer;
}}

async function download() {{
  const reader = (await fetch("download.bin")).body.getReader();
  let at = 0, wrong = 0;
  for (;;) {{
    const {{done, value}} = await reader.read();
    if (done) return {{bytes: at, wrong}};
    for (let i = 0; i < value.length; i++, at++) {{
      const inside = at % {_BLOCK};
      if (value[i] !== (inside < 1 ? Math.floor(at / {_BLOCK}) & 255 : inside * 7 & 255)) wrong++;
    }}
  }}
}}

async function film() {{
  const film = document.getElementById("film");
  film.src = "film.webm";
  await once(film, "loadedmetadata");
  film.currentTime = {SEEK_TO};
  await once(film, "seeked");
  await film.play();
  await once(film, "timeupdate");
  film.pause();
  return {{duration: film.duration, at: film.currentTime, width: film.videoWidth}};
}}

async function upload() {{
  const part = new Uint8Array({_BLOCK}).map((_, i) => i * 7 & 255);
  const blob = new Blob(Array({UPLOAD_BYTES // _BLOCK}).fill(part));
  return (await fetch("/hash", {{method: "PUT", body: blob}})).text();
}}

async function all() {{
  const found = {{}};
  for (const each of [socket, download, film, upload]) {{
    try {{ found[each.name] = await each(); }} catch (error) {{ found[each.name] = String(error); }}
  }}
  return JSON.stringify(found);
}}
window.trial = all();
"""


def put_trial(place: Path) -> None:
    """Write the page and what it needs into a directory that is served at /files."""
    (place / "trial.html").write_text(_PAGE)
    (place / "trial.js").write_text(_SCRIPT)
    block = bytearray(i * 7 & 255 for i in range(_BLOCK))
    with (place / "download.bin").open("wb") as file:
        for number in range(DOWNLOAD_BYTES // _BLOCK):
            block[0] = number & 255
            file.write(block)
    picture = f"testsrc2=size=640x360:rate=25:duration={FILM_SECONDS},noise=alls=40"
    subprocess.run(
        [
            imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-f", "lavfi", "-i", picture,
            *("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "6M", "-g", "50"),
            str(place / "film.webm"),
        ],
        check=True,
        timeout=120,
    )  # fmt: skip


def check_trial(found: dict[str, Any]) -> None:
    """What the page must have found out."""
    assert found["socket"] == "marco polo"
    assert found["download"] == {"bytes": DOWNLOAD_BYTES, "wrong": 0}
    film = found["film"]
    assert isinstance(film, dict), film
    assert abs(film["duration"] - FILM_SECONDS) < 1
    assert SEEK_TO <= film["at"] < FILM_SECONDS
    assert film["width"] == 640
    block = bytes(i * 7 & 255 for i in range(_BLOCK))
    assert hashlib.sha256(block * (UPLOAD_BYTES // _BLOCK)).hexdigest() in found["upload"]
