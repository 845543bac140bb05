"""Debian's Firefox, without a screen, driven by WebDriver BiDi (W3C), which it speaks itself on a WebSocket."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.lab.gateways import clean_environment, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Self

_QUIET: dict[str, bool | int | str] = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.region.update.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.security.https_first": False,
    "extensions.update.enabled": False,
    "media.autoplay.default": 0,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.enabled": False,
}
"""What it would else ask the Internet."""


class Firefox:
    """One browser with a profile of its own; `ask` runs an expression in a page."""

    def __init__(
        self, profile: Path, settings: Mapping[str, bool | int | str], prefix: Sequence[str] = ()
    ) -> None:
        """`settings` are preferences as in about:config; `prefix` puts the command where it is to run."""
        profile.mkdir(parents=True)
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});"
            for name, value in (_QUIET | dict(settings)).items()
        ]
        (profile / "user.js").write_text("\n".join(lines))
        self._profile = profile
        self._prefix = prefix
        self._output = (profile.parent / f"{profile.name}.txt").open("w+")

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [*self._prefix, "firefox-esr", "--headless", "--no-remote", "--profile", str(self._profile),
             "--remote-debugging-port", "0", "about:blank"],
            stdout=self._output, stderr=self._output,
            env=clean_environment() | {"HOME": str(self._profile), "MOZ_DISABLE_CONTENT_SANDBOX": "1"},
        )  # fmt: skip
        wait_until(
            lambda: "WebDriver BiDi listening on ws://" in self.said(), 60, f"Firefox listens: {self.said()}"
        )
        self._url = self.said().split("WebDriver BiDi listening on ", 1)[1].split()[0] + "/session"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(20)
        self._output.close()

    def said(self) -> str:
        return (self._profile.parent / f"{self._profile.name}.txt").read_text(errors="replace")

    def ask(self, url: str, expression: str, seconds: float = 90.0) -> Any:
        """Open a page and await an expression in it that gives a text, a number or a boolean."""
        return asyncio.run(asyncio.wait_for(self._ask(url, expression), seconds))

    async def _ask(self, url: str, expression: str) -> Any:
        numbers = itertools.count(1)
        async with aiohttp.ClientSession() as http, http.ws_connect(self._url, max_msg_size=0) as socket:

            async def call(method: str, **params: Any) -> Any:
                number = next(numbers)
                await socket.send_json({"id": number, "method": method, "params": params})
                while True:
                    answer = await socket.receive_json()
                    if answer.get("id") == number:
                        assert answer["type"] == "success", answer
                        return answer["result"]

            await call("session.new", capabilities={})
            tree = await call("browsingContext.getTree")
            context = tree["contexts"][0]["context"]
            await call("browsingContext.navigate", context=context, url=url, wait="complete")
            found = await call(
                "script.evaluate", expression=expression, target={"context": context}, awaitPromise=True
            )
            await call("session.end")
            assert found["type"] == "success", found
            return found["result"].get("value")
