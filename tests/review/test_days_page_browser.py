"""The page of the days in a browser: nothing is said, nothing asked for, nothing scrolls sideways."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from review.days_page import page
from tests.review.book_days import many, told
from tests.review.browser import browser, in_a_browser

TOO_WIDE = """[...document.querySelectorAll("body *")].filter((item) => {
  const box = item.getBoundingClientRect();
  return box.width && (box.right > document.documentElement.clientWidth + 1 || box.left < -1
    || item.scrollWidth > item.clientWidth + 1 && getComputedStyle(item).overflowX !== "visible");
}).map((item) => item.outerHTML.slice(0, 80))"""

CUT = """[...document.querySelectorAll(".month td > *")].filter((item) =>
  item.scrollWidth > item.clientWidth + 1 || item.scrollHeight > item.clientHeight + 1
).map((item) => item.textContent)"""
"""The cells of the calendar whose words do not fit."""

SPILT = """[...document.querySelectorAll(".days th > *, .days td > *")].filter((item) =>
  item.getBoundingClientRect().right > item.parentElement.getBoundingClientRect().right + 1
).map((item) => item.textContent)"""
"""What lies on the cell beside its own in the table of days."""

COLOURS = """[...document.querySelectorAll(".key i.cell")].map((item) => getComputedStyle(item).filter)"""

AXIS = "getComputedStyle(document.querySelector('.running text')).fill"

DARK = {"name": "prefers-color-scheme", "value": "dark"}

INK = "getComputedStyle(document.body).color"


@in_a_browser
@pytest.mark.parametrize("count", [0, 1, 60])
@pytest.mark.parametrize(
    ("width", "scheme"), [(390, "dark"), (390, "light"), (1440, "dark"), (1440, "light")]
)
async def test_the_page_in_a_browser(tmp_path: Path, count: int, width: int, scheme: str) -> None:
    path = tmp_path / "days.html"
    days = [replace(day, simulated=True) for day in many(count)]
    page.write(told(days, {day.date: f"{day.date}.html" for day in days}), path)
    async with browser() as tab:
        await tab.open(path, width=width, scheme=scheme)
        assert tab.faults == []
        assert tab.requests == [path.as_uri()]
        root = await tab.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert root[0] <= root[1] <= width
        assert await tab.evaluate(TOO_WIDE) == []
        assert await tab.evaluate(CUT) == []
        assert await tab.evaluate(SPILT) == []
        assert set(await tab.evaluate(COLOURS)) <= {"none"}  # the same as in the calendar
        if count > 1:
            colour = await tab.evaluate(AXIS)
            assert colour == {"dark": "rgb(154, 167, 185)", "light": "rgb(90, 101, 119)"}[scheme]
        assert await tab.evaluate(INK) == {"dark": "rgb(228, 233, 240)", "light": "rgb(27, 35, 48)"}[scheme]
        await tab.call("Emulation.setEmulatedMedia", media="print", features=[DARK])
        assert await tab.evaluate(INK) == "rgb(27, 35, 48)"  # paper is light
        assert await tab.evaluate("document.querySelectorAll('.days tbody tr').length") == count
        assert await tab.evaluate("document.querySelectorAll('.month a').length") == count
