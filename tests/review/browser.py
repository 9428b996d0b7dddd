"""A page in a real browser, asked over its debugging port."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


class Tab:
    """A page in a browser, driven by the browser's own debugging protocol."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._session = ""
        self._count = 0
        self.faults: list[str] = []
        self.requests: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser for something; what it reports meanwhile is kept."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        await self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(await self._connection.recv())
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._keep(answer.get("method"), answer.get("params", {}))

    def _keep(self, method: str | None, said: dict[str, Any]) -> None:
        match method:
            case "Runtime.exceptionThrown":
                self.faults.append(json.dumps(said["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.faults.append(json.dumps(said["args"]))
            case "Log.entryAdded":
                self.faults.append(said["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(said["request"]["url"])
            case _:
                pass

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression, or of what it promises."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def open(self, path: Path, *, width: int = 1280, scheme: str = "light", zone: str = "UTC") -> None:
        """Show a file on such a screen, and wait until its charts are drawn or cannot be."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 700,
        )
        await self.call(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        await self.call("Emulation.setTimezoneOverride", timezoneId=zone)
        await self.call("Page.navigate", url=path.as_uri())
        await self.evaluate(DRAWN)


DRAWN = """new Promise((done) => {
  const look = () => {
    const failed = document.getElementById("failed");
    const drawn = document.documentElement && document.documentElement.dataset.drawn;
    if (drawn || (failed && failed.textContent)) done(true);
    else setTimeout(look, 20);
  };
  look();
})"""

PATIENCE_S = 90


@asynccontextmanager
async def browser() -> AsyncIterator[Tab]:
    """A browser that can reach nothing, and ends with the test."""
    assert CHROMIUM is not None
    with TemporaryDirectory(ignore_cleanup_errors=True) as home:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-port=0"),
            *(f"--user-data-dir={home}", "about:blank"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                assert process.stderr is not None
                address = await _address(process.stderr)
                async with connect(address, max_size=None, compression=None) as connection:
                    yield Tab(connection)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _address(errors: asyncio.StreamReader) -> str:
    """Where the browser listens: it says so once it does."""
    async for line in errors:
        if found := re.search(rb"ws://\S+", line):
            return found[0].decode()
    pytest.fail("the browser ended before it listened")


BOXES = """[...document.querySelectorAll("%s")].map((item) => {
  const box = item.getBoundingClientRect();
  return [item.textContent, box.left, box.right, box.top, box.bottom];
})"""


async def labels_are_apart(tab: Tab, chart: str) -> list[str]:
    """No label of a chart's axes touches another. Returns those of its time axis."""
    times: list[str] = []
    for axis, start, end in (("x", 1, 2), ("y", 3, 4), ("y2", 3, 4), ("y3", 3, 4)):
        boxes = await tab.evaluate(BOXES % f"{chart} .{axis}tick text")
        boxes.sort(key=lambda box: box[start])
        for before, after in pairwise(boxes):
            assert before[end] <= after[start] + 1, (chart, axis, before, after)
        if axis == "x":
            times = [box[0] for box in boxes]
    return times


async def traces(tab: Tab, chart: str) -> list[int]:
    """How many drawn lines and marks, and how many drawn images a chart has."""
    found = [f"{chart} .scatterlayer .trace", f"{chart} .heatmaplayer image"]
    return [await tab.evaluate(f"document.querySelectorAll('{item}').length") for item in found]


SLIDER = "document.querySelector('#session-chart [role=slider]')"

VIEW = f"[{SLIDER}.ariaValueMin, {SLIDER}.ariaValueMax].map(Number)"

READING = "document.getElementById('reading-line').textContent"

NOTE = "document.getElementById('reading-note').textContent"

CELLS = (
    "[...document.querySelectorAll('#reading-cells div')].map((cell) => [cell.className, cell.textContent])"
)


async def press(tab: Tab, key: str) -> None:
    """Press a key."""
    await tab.call("Input.dispatchKeyEvent", type="keyDown", key=key)
    await tab.call("Input.dispatchKeyEvent", type="keyUp", key=key)


async def drag(tab: Tab, start: float, end: float) -> None:
    """Drag over the session's chart, from one share of its width to another."""
    box = await tab.evaluate(
        f"(({{ left, width, top }}) => [left, width, top])({SLIDER}.getBoundingClientRect())"
    )
    kinds = (
        ("mousePressed", start),
        ("mouseMoved", (start + end) / 2),
        ("mouseMoved", end),
        ("mouseReleased", end),
    )
    for kind, share in kinds:
        x, y = box[0] + box[1] * share, box[2] + 40
        await tab.call(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1
        )


in_a_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed here (apt-get install chromium)"
)


def clock(second: int) -> str:
    """A second of the day as a clock shows it."""
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
