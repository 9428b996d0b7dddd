"""A page in a real browser, asked over its debugging port."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
        """Show a file on such a screen, and wait until its charts are drawn or cannot be. One without a script is whole once it is loaded."""
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
            mobile=width < PHONE_PX,
        )
        await self.call(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        await self.call("Emulation.setTimezoneOverride", timezoneId=zone)
        await self.call("Page.navigate", url=path.as_uri())
        await self.evaluate(DRAWN)

    async def paper(self) -> bytes:
        """The page as it is printed, a PDF."""
        answer = await self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        return base64.b64decode(answer["data"])


PHONE_PX = 700

DRAWN = """new Promise((done) => {
  const look = () => {
    const failed = document.getElementById("failed");
    const drawn = document.documentElement && document.documentElement.dataset.drawn;
    const still = document.readyState === "complete" && !document.scripts.length;
    if (drawn || still || (failed && failed.textContent)) done(true);
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


def model(name: str) -> str:
    """The first of the session's models with a name, as an expression."""
    return f"[...Bokeh.documents[0].all_models].find((model) => model.name === '{name}')"


def points(name: str, axis: str = "y") -> str:
    """What a drawn line or mark of the session has on an axis, as an expression."""
    return f"Array.from({model(name)}.data_source.data.{axis})"


async def page_is_sound(tab: Tab, path: Path, width: int) -> None:
    """The page said nothing, asked for nothing but itself, and does not scroll sideways, in none of its parts."""
    assert tab.faults == []
    assert {url.partition(",")[0] for url in tab.requests} <= {path.as_uri(), "data:image/png;base64"}
    assert await tab.evaluate("document.getElementById('failed').hidden")
    root = await tab.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert root[0] <= root[1] <= width
    assert await tab.evaluate(TOO_WIDE) == []


TOO_WIDE = """[...document.querySelectorAll("body *")].filter((item) => {
  const box = item.getBoundingClientRect();
  return box.width && (box.right > document.documentElement.clientWidth + 1 || box.left < -1);
}).map((item) => item.outerHTML.slice(0, 80))"""

INK = """(() => {
  const drawn = [];
  const look = (root) => {
    for (const item of root.querySelectorAll("*")) {
      if (item.shadowRoot) look(item.shadowRoot);
      if (item.tagName === "CANVAS" && item.width && item.height) {
        const pixels = item.getContext("2d").getImageData(0, 0, item.width, item.height).data;
        drawn.push(pixels.some((part, place) => (place & 3) === 3 && part));
      }
    }
  };
  look(document.getElementById("%s"));
  return drawn.some(Boolean);
})()"""
"""Whether anything is drawn in a chart."""


SLIDER = "document.getElementById('session-chart')"

OPENING_MS = 34_200_000
"""The open on the page's axis of times: New York's time of day, as if it were UTC's."""

VIEW = f"(({{ start, end }}) => [start, end].map((time) => (time - {OPENING_MS}) / 1000))({model('times')})"
"""From which to which second after the open the session's charts show."""

READING = "document.getElementById('reading').textContent"

NOTE = "document.getElementById('reading-note').textContent"

CELLS = (
    "[...document.querySelectorAll('#reading .cells div')].map((cell) => [cell.className, cell.textContent])"
)


async def press(tab: Tab, key: str) -> None:
    """Press a key."""
    await tab.call("Input.dispatchKeyEvent", type="keyDown", key=key)
    await tab.call("Input.dispatchKeyEvent", type="keyUp", key=key)


async def place(tab: Tab, chart: str, share: float) -> tuple[float, float]:
    """Where on the screen a share of a chart's plot is, once it is scrolled there; x and y in pixels."""
    await tab.evaluate(f"document.getElementById('{chart}').scrollIntoView({{ block: 'center' }})")
    left, top, width, height = await tab.evaluate(
        f"""(({{ left, top, width, height }}) => [left, top, width, height])(
        document.getElementById('{chart}').getBoundingClientRect())"""
    )
    return left + SIDES_PX[0] + (width - sum(SIDES_PX)) * share, top + height / 2


SIDES_PX = (8, 78)
"""What lies left and right of a plot."""


async def mouse(tab: Tab, kind: str, x: float, y: float, **given: Any) -> None:
    """Something that a mouse does, and the time that a page takes to see it."""
    await tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **given)
    await tab.evaluate(FRAMES)


FRAMES = (
    "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 60))))"
)


async def until(tab: Tab, expression: str) -> None:
    """Wait for what an expression says to become true: a page reacts to a hand when it comes to it."""
    async with asyncio.timeout(PATIENCE_S):
        await tab.evaluate(
            f"new Promise((done) => {{ const look = () => ({expression}) ? done(1) : setTimeout(look, 20); look(); }})"
        )


async def drag(tab: Tab, chart: str, start: float, end: float) -> None:
    """Drag a chart from one share of its width to another."""
    (x, y), (to, _) = await place(tab, chart, start), await place(tab, chart, end)
    held = {"button": "left", "buttons": 1, "clickCount": 1}
    await mouse(tab, "mouseMoved", x, y)
    await mouse(tab, "mousePressed", x, y, **held)
    for share in (0.3, 0.6, 1.0):
        await mouse(tab, "mouseMoved", x + (to - x) * share, y, **held)
    await mouse(tab, "mouseReleased", to, y, **held)


async def pinch(tab: Tab, chart: str, share: float, scale: float) -> None:
    """Two fingers on a chart that move apart (``scale`` over 1) or together."""
    x, y = await place(tab, chart, share)
    await tab.call("Input.synthesizePinchGesture", x=x, y=y, scaleFactor=scale, gestureSourceType="touch")
    await tab.evaluate(FRAMES)


in_a_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed here (apt-get install chromium)"
)


def clock(second: int) -> str:
    """A second of the day as a clock shows it."""
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
