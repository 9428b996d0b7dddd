"""The report in a browser: nothing is said, nothing asked for, nothing scrolls sideways, and every chart is drawn."""

from __future__ import annotations

from pathlib import Path

from research.report_page import page
from research.report_page.told import of_backtest
from tests.research.report_page.told import backtest, entries, session_dates, source
from tests.review.browser import INK, browser, in_a_browser, mouse, page_is_sound, place, until

CUT = """[...document.querySelectorAll(".month td > *")].filter((item) =>
  item.scrollWidth > item.clientWidth + 1 || item.scrollHeight > item.clientHeight + 1
).map((item) => item.textContent)"""
"""The cells of the calendar whose words do not fit."""

COLOUR = "getComputedStyle(document.body).color"
TIP = """(() => {
  const look = (root) => [...root.querySelectorAll("*")].map((item) =>
    (item.shadowRoot ? look(item.shadowRoot) : "") + (item.matches(".bk-tooltip-row-label") ? item.textContent : "")
  ).join(" ");
  return look(document);
})()"""
"""What the charts say of the session that is pointed at."""

DARK = {"name": "prefers-color-scheme", "value": "dark"}


INKS = {"dark": "rgb(228, 233, 240)", "light": "rgb(27, 35, 48)"}


@in_a_browser
async def test_the_report_in_a_browser(tmp_path: Path) -> None:
    path, days = tmp_path / "report.html", session_dates(60)
    sources = [source(day, simulated=True) for day in days]
    pages = {day: f"{day}.html" for day in days[:9]}
    page.write(of_backtest(backtest(60, simulated=True), entries(30), sources, pages), path)
    async with browser() as tab:  # one for all screens: its start is the dearest part
        for width in (390, 1440):
            for scheme, ink in INKS.items():
                await tab.open(path, width=width, scheme=scheme)
                await page_is_sound(tab, path, width)
                assert await tab.evaluate(COLOUR) == ink
                assert await tab.evaluate(CUT) == []
                for chart in ("equity-chart", "delays-chart", "attribution-chart"):
                    assert await tab.evaluate(INK % chart), (chart, width, scheme)
        assert await tab.evaluate("document.querySelectorAll('.month a').length") == 9
        x, y = await place(tab, "equity-chart", 0.5)
        await mouse(tab, "mouseMoved", x, y)
        await until(tab, f"{TIP}.includes('so far')")
        assert (await tab.paper()).startswith(b"%PDF")
        await page_is_sound(tab, path, 1440)
        await tab.call("Emulation.setEmulatedMedia", media="print", features=[DARK])
        assert await tab.evaluate(COLOUR) == INKS["light"]  # paper is light
