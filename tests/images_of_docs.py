"""Makes the pictures in docs/images: ``python -m tests.images_of_docs [RECORD]``.

`phone.png` shows the BUY and the SELL of docs/phone.md on a lock screen. `page.png` shows the page of a recorded session:
of RECORD, or of the demo, which is played for it. Needs Chromium and a font with coloured emoji
(Debian: fonts-noto-color-emoji).
"""

from __future__ import annotations

import asyncio
import base64
import re
import shutil
import struct
import subprocess
import sys
import zlib
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from record.folder import date_of, records
from tests.documents import PHONE, ROOT, section
from tests.review.browser import CHROMIUM, Tab, browser

IMAGES = ROOT / "docs" / "images"

PAGE_WIDTH = 1000
PHONE_WIDTH = 390
"""Width of each screen in CSS pixels."""

TALL = 4000
"""Height of the screen in CSS pixels: nothing has to be scrolled to."""

COLOURS = 256
"""Colours of a picture: as many as a palette holds."""

BITS_KEPT = 0xF8
"""Colours that differ by less than this mask shows are one: a screen's soft edges have thousands."""

LOCK_SCREEN = """<!doctype html>
<html lang="en" data-drawn="1"><head><meta charset="utf-8"><style>
  body { margin: 0; width: 390px; color: #fff; background: #1c2a44;
         font-family: Inter, "Helvetica Neue", "DejaVu Sans", sans-serif; }
  #screen { padding-bottom: 14px; }
  .clock { text-align: center; font-size: 64px; font-weight: 600; padding-top: 26px; line-height: 1; }
  .day { text-align: center; font-size: 16px; padding-bottom: 18px; opacity: 0.85; }
  .push { margin: 0 10px 10px; padding: 10px 13px; border-radius: 18px; background: #33405a; }
  .app { font-size: 11px; opacity: 0.7; display: flex; justify-content: space-between; }
  .title { font-size: 13.5px; font-weight: 600; margin: 3px 0; }
  .text { font-size: 12.5px; line-height: 1.32; white-space: pre-wrap; }
</style></head><body>
<div id="screen"><div class="clock">10:44</div><div class="day">Thursday 2 October</div>
%s
</div></body></html>
"""

PIXELS = """(async () => {
  const picture = await createImageBitmap(await (await fetch("data:image/png;base64,%s")).blob());
  const canvas = new OffscreenCanvas(picture.width, picture.height), pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0);
  const bytes = pen.getImageData(0, 0, picture.width, picture.height).data, parts = [];
  for (let at = 0; at < bytes.length; at += 32768) parts.push(String.fromCharCode(...bytes.subarray(at, at + 32768)));
  return [picture.width, picture.height, btoa(parts.join(""))];
})()"""


def lock_screen() -> str:
    """The lock screen with the two pushes of docs/phone.md, the newest first."""
    buy, sell = re.findall(r"(?s)```\n(.+?)\n```", section(PHONE, "## BUY and SELL in full"))
    ((strike,), (limit,)) = re.findall(r"(?m) (\w+c)$", buy), re.findall(r"Pay ≤ (\S+)", buy)
    (paid,) = re.findall(r"Bid .+\((\S+)%\)", sell)
    cards = [(sell, f"{paid} %", "now"), (buy, f"{strike} ≤ {limit} (30 s)", "2 min ago")]
    return LOCK_SCREEN % "\n".join(_card(*card) for card in cards)


def _card(push: str, detail: str, when: str) -> str:
    title, _, text = push.partition("\n\n")
    return (
        f'<div class="push"><div class="app"><span>PUSHOVER</span><span>{when}</span></div>'
        f'<div class="title">{escape(title)} {escape(detail)}</div>'
        f'<div class="text">{escape(text)}</div></div>'
    )


async def taken(tab: Tab, path: Path, width: int, element: str, *, scale: float = 1) -> str:
    """A picture of an element of a page, as Chromium's own PNG in base64. ``element`` is JavaScript."""
    await tab.open(path, width=width)
    screen = {"width": width, "height": TALL, "deviceScaleFactor": 1, "mobile": False}
    await tab.call("Emulation.setDeviceMetricsOverride", **screen)
    top, height = await tab.evaluate(f"(({{y, height}}) => [y, height])({element}.getBoundingClientRect())")
    area = {"x": 0, "y": top, "width": width, "height": height, "scale": scale}
    answer = await tab.call("Page.captureScreenshot", format="png", clip=area, captureBeyondViewport=True)
    return str(answer["data"])


async def pixels(tab: Tab, png: str) -> npt.NDArray[np.uint8]:
    """The pixels of a PNG (base64), decoded by the browser: height × width × 3."""
    width, height, data = await tab.evaluate(PIXELS % png)
    flat = np.frombuffer(base64.b64decode(data), dtype=np.uint8)
    return flat.reshape(height, width, 4)[:, :, :3]


def quantised(picture: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A picture in at most `COLOURS` colours: the palette (n × 3), and each pixel's place in it."""
    coarse = (picture & BITS_KEPT).reshape(-1, 3)
    found, first, where, counts = np.unique(
        coarse, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    most = np.argsort(-counts)[:COLOURS]
    # The colour that stands for its like is one that is there: flat areas keep their own.
    palette = picture.reshape(-1, 3)[first[most]]
    distance = ((found[:, None, :].astype(int) - found[most][None, :, :].astype(int)) ** 2).sum(axis=2)
    nearest = distance.argmin(axis=1).astype(np.uint8)
    return palette, nearest[where.reshape(-1)].reshape(picture.shape[:2])


def png(picture: npt.NDArray[np.uint8]) -> bytes:
    """A picture as a PNG with a palette (https://www.w3.org/TR/png-3/#4Concepts.PNGImage)."""
    palette, places = quantised(picture)
    height, width = places.shape
    rows = np.concatenate([np.zeros((height, 1), dtype=np.uint8), places], axis=1).tobytes()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            chunk(b"PLTE", palette.tobytes()),
            chunk(b"IDAT", zlib.compress(rows, 9)),
            chunk(b"IEND", b""),
        )
    )


def page_of(record: Path, folder: Path) -> Path:
    """Writes the page of a record into a folder. Returns its path."""
    path = folder / "day.html"
    _run("diagnose.py", "why", date_of(record), "--data-dir", str(record), "--html", str(path))
    return path


def demo_record(folder: Path) -> Path:
    """Plays the demo. Returns its record, in the folder."""
    _run("main.py", "--demo", "--keep", str(folder / "demo"))
    (record,) = records(folder / "demo")
    return record


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


async def make(record: Path | None) -> None:
    """Makes both pictures."""
    IMAGES.mkdir(exist_ok=True)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        phone = folder / "phone.html"
        phone.write_text(lock_screen(), encoding="utf-8")
        page = page_of(record or demo_record(folder), folder)
        async with browser() as tab:
            chart = "document.getElementById('session-chart').closest('section')"
            screen = "document.getElementById('screen')"
            shots = {
                "page": await taken(tab, page, PAGE_WIDTH, chart),
                "phone": await taken(tab, phone, PHONE_WIDTH, screen, scale=1.5),
            }
            for name, shot in shots.items():
                path = IMAGES / f"{name}.png"
                path.write_bytes(png(await pixels(tab, shot)))
                print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


def lacking() -> str:
    """What this machine lacks for the pictures; empty if it lacks nothing."""
    if CHROMIUM is None:
        return "Chromium is not installed"
    found = (
        shutil.which("fc-list")
        and subprocess.run(["fc-list", ":charset=1f525"], capture_output=True, text=True, check=True).stdout
    )
    return "" if found else "no font with emoji is installed (Debian: fonts-noto-color-emoji)"


if __name__ == "__main__":
    if why := lacking():
        sys.exit(f"python -m tests.images_of_docs: {why}")
    asyncio.run(make(Path(sys.argv[1]) if sys.argv[1:] else None))
