"""The page in a browser: drawn, read, moved, printed, and closed to every script but its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from events import SECOND, Condition, FeedCause, HoldReason
from review import funnel, moment
from review.page import page
from review.page.asked import Asked
from review.study import Blind, Down, DownCause, Held, Study
from tests.builders import SESSION, at
from tests.review.browser import (
    CELLS,
    CHROMIUM,
    FRAMES,
    INK,
    NOTE,
    OPENING_MS,
    PATIENCE_S,
    READING,
    SLIDER,
    VIEW,
    Tab,
    browser,
    clock,
    drag,
    in_a_browser,
    model,
    mouse,
    page_is_sound,
    pinch,
    place,
    points,
    press,
    until,
)
from tests.review.pages import asked_of, hostile_day, made, opened_of, study_of, whole_day, written

__all__ = ["made"]  # fixtures that the tests here use, too

WHOLE = [0, 23_400]

MET, UNMET = "state9", "state1"
"""A condition's cell, as the page's style knows it."""


async def charts_are_drawn(tab: Tab, study: Study) -> None:
    names = ["price-chart", "volume-chart", "strip-chart"]
    names += [f"trade-{trade.opened.id}" for trade in study.trades.all if study.marks.get(trade.opened.id)]
    for name in names:
        assert await tab.evaluate(INK % name), name


@in_a_browser
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize(("scheme", "zone"), [("dark", "Asia/Tokyo"), ("light", "America/Los_Angeles")])
async def test_the_page_is_sound(made: Study, tmp_path: Path, width: int, scheme: str, zone: str) -> None:
    path = tmp_path / "2025-10-02.html"
    (tmp_path / "2025-10-01.html").touch()
    page.write(made, path, asked_of(made))
    async with browser() as tab:
        await tab.open(path, width=width, scheme=scheme, zone=zone)
        await page_is_sound(tab, path, width)
        await charts_are_drawn(tab, made)
        inverted = await tab.evaluate("getComputedStyle(document.getElementById('price-chart')).filter")
        assert inverted == {"dark": "invert(0.9) hue-rotate(180deg)", "light": "none"}[scheme]


@in_a_browser
async def test_a_whole_day_is_sound_on_a_phone_and_no_extreme_is_hidden(made: Study, tmp_path: Path) -> None:
    study = whole_day(opened_of(made))
    spike, dip, surge = 7_777, 13_001, 20_202
    for second, price in ((spike, 260.5), (dip, 220.25)):
        bar = study.bars[second]
        assert bar is not None
        study.bars[second] = replace(bar, high=price, low=price, close=price)
    seen = study.seen[surge]
    study.seen[surge] = seen._replace(evaluation=replace(seen.evaluation, volume=99_999.0))
    path = written(study, tmp_path)
    async with browser() as tab:
        await tab.open(path, width=390)
        await page_is_sound(tab, path, 390)
        await charts_are_drawn(tab, study)
        prices = await tab.evaluate(points("price", "close"))
        assert max(prices) == 260.5 and min(prices) == 220.25
        at_times = dict(zip(prices, await tab.evaluate(points("price", "x")), strict=True))
        for price, second in ((260.5, spike), (220.25, dip)):
            assert abs(at_times[price] - OPENING_MS - second * 1_000) < 64_000  # a pixel is 77 s here
        assert None not in prices and len(prices) < 4 * 390  # no gap in a day that has every second
        assert max(await tab.evaluate(f"{points('volume', 'volume')}.filter((value) => value)")) == 99_999


@in_a_browser
async def test_a_second_can_be_read_and_looked_at_closely(made: Study, tmp_path: Path) -> None:
    bought = next(seen.evaluation for seen in made.seen if seen.is_fired)
    second = (bought.start - SESSION.open) // SECOND
    async with browser() as tab:
        await tab.open(written(made, tmp_path), zone="Europe/Berlin")
        # What it shows at first: the part that was seen, for it is a short one, and the second of the first entry.
        first, last = (made.seen[place].evaluation.start for place in (0, -1))
        low, high = await tab.evaluate(VIEW)
        assert (
            0 < (first - SESSION.open) / SECOND - low < 60 and 0 < high - (last - SESSION.open) / SECOND < 60
        )
        assert (await tab.evaluate(READING)).startswith(clock(34_200 + second))
        cells = await tab.evaluate(CELLS)
        assert [kind for kind, _ in cells] == [MET] * 7 + ["gate open"]
        assert cells[3][1] == f"Volume{bought.volume:,.0f}over {bought.volume_p95:,.0f}"
        assert cells[2][1].endswith(" s≥ 30 s") and cells[6][1].endswith("≤ 0.20")
        assert cells[7][1] == "Gateopen"
        marks = "getComputedStyle(document.querySelector('#reading .cells span'), '::before').content"
        assert await tab.evaluate(marks) == '"✓ "'

        # A link in a table leads to its second.
        miss = funnel.misses(made)[0].nearest.evaluation
        start = (miss.start - SESSION.open) // SECOND
        await tab.evaluate(f"document.querySelector('#misses [data-second=\"{start}\"]').click()")
        await tab.evaluate(FRAMES)
        assert await tab.evaluate(VIEW) == [start - 300, start + 300]
        assert (await tab.evaluate(READING)).startswith(clock(34_200 + start))
        said = f"{clock(34_200 + start)} ○ Near miss: {funnel.misses(made)[0].text}"
        assert await tab.evaluate(NOTE) == said
        cells = await tab.evaluate(CELLS)
        failed = list(Condition).index(funnel.misses(made)[0].condition)
        assert [number for number, (kind, _) in enumerate(cells) if kind == UNMET] == [failed]

        await tab.evaluate("document.getElementById('whole').click()")
        await tab.evaluate(FRAMES)
        assert await tab.evaluate(VIEW) == WHOLE
        assert tab.faults == []


@in_a_browser
async def test_the_keys_go_from_second_to_second_and_read_what_was_evaluated_last(
    made: Study, tmp_path: Path
) -> None:
    second = made.index_of(made.seen[-20].evaluation.start)
    evaluated = {made.index_of(seen.evaluation.start) for seen in made.seen}
    async with browser() as tab:
        path = tmp_path / "page.html"
        page.write(made, path, Asked(at(second), moment.show(made, at(second))))
        await tab.open(path)
        await tab.evaluate(f"{SLIDER}.focus()")
        for key, here in (("ArrowRight", second + 1), ("ArrowRight", second + 2), ("ArrowLeft", second + 1)):
            await press(tab, key)
            assert await tab.evaluate(f"{SLIDER}.ariaValueNow") == str(here)
            last = max(item for item in evaluated if item <= here)
            assert (await tab.evaluate(READING)).startswith(clock(34_200 + last))
        assert tab.faults == []


@in_a_browser
async def test_wheel_drag_and_fingers_move_the_chart_and_close_up_prices_are_candles(
    made: Study, tmp_path: Path
) -> None:
    candles = f"{model('candles')}.data.x.length"
    line = f"{points('price', 'close')}.some((value) => !Number.isNaN(value))"
    async with browser() as tab:
        await tab.open(written(made, tmp_path), width=1440)
        await tab.evaluate("document.getElementById('whole').click()")
        await tab.evaluate(FRAMES)
        assert await tab.evaluate(f"[{candles}, {line}]") == [0, True]
        x, y = await place(tab, "price-chart", 0.1)
        await mouse(tab, "mouseMoved", x, y)
        reading = await tab.evaluate(READING)
        assert reading.startswith("10:09:") or reading.startswith("10:08:")
        for _ in range(8):
            await mouse(tab, "mouseWheel", x, y, deltaX=0, deltaY=-240)
        low, high = await tab.evaluate(VIEW)
        assert 20 <= high - low < 3_000 and low < 2_400 < high + 120
        assert await tab.evaluate(f"[{candles} > 5, {line}]") == [True, False]
        await drag(tab, "price-chart", 0.2, 0.6)
        await until(tab, f"{VIEW}[0] < {low}")
        moved = await tab.evaluate(VIEW)
        assert moved[1] - moved[0] == pytest.approx(high - low, abs=2)
        await tab.evaluate("document.getElementById('whole').click()")
        await until(tab, f"{VIEW}[1] === {WHOLE[1]}")
        await pinch(tab, "price-chart", 0.5, 2.0)
        await until(tab, f"{VIEW}[1] - {VIEW}[0] < {WHOLE[1] * 0.9}")
        assert tab.faults == []


@in_a_browser
async def test_a_legend_hides_and_shows_what_it_names(made: Study, tmp_path: Path) -> None:
    async with browser() as tab:
        await tab.open(written(made, tmp_path))
        await tab.evaluate("document.getElementById('whole').click()")
        await tab.evaluate(FRAMES)
        for name in ("day", "price"):
            button = f"document.querySelector('button[data-toggle={name}]')"
            for is_shown in (False, True):
                await tab.evaluate(f"{button}.click()")
                assert await tab.evaluate(f"{model(name)}.visible") is is_shown
                assert await tab.evaluate(f"{button}.getAttribute('aria-pressed')") == str(is_shown).lower()
        await tab.evaluate("document.querySelector('button[data-toggle=peak]').click()")
        assert await tab.evaluate(f"{model('peak')}.visible") is False
        assert tab.faults == []


@in_a_browser
async def test_the_second_that_was_asked_for_is_shown_first(made: Study, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    second = (made.seen[-50].evaluation.start - SESSION.open) // SECOND
    page.write(made, path, Asked(at(second), moment.show(made, at(second))))
    async with browser() as tab:
        await tab.open(path)
        assert await tab.evaluate(VIEW) == [second - 300, second + 300]
        assert (await tab.evaluate(READING)).startswith(clock(34_200 + second))


@in_a_browser
async def test_the_page_is_printed_whole_on_light_paper_and_comes_back(made: Study, tmp_path: Path) -> None:
    async with browser() as tab:
        await tab.open(written(made, tmp_path), width=1440, scheme="dark")
        await tab.evaluate(
            "addEventListener('beforeprint', () => { window.onPaper = document.querySelectorAll('.chart > canvas').length; })"
        )
        paper = await tab.paper()
        assert paper.startswith(b"%PDF") and len(paper) > 20_000
        assert await tab.evaluate("window.onPaper") == 3 + len(made.trades.all)
        assert await tab.evaluate("document.querySelectorAll('.chart > canvas').length") == 0
        await tab.call("Emulation.setEmulatedMedia", media="print")
        style = "getComputedStyle(document.querySelector('%s')).%s"
        assert await tab.evaluate(style % ("#price-chart", "filter")) == "none"
        assert await tab.evaluate(style % ("h1", "color")) == "rgb(27, 35, 48)"
        assert tab.faults == []


@in_a_browser
async def test_a_picture_that_is_taken_of_the_page_has_every_chart(made: Study, tmp_path: Path) -> None:
    """A browser that takes one is never idle."""
    assert CHROMIUM is not None
    path = written(made, tmp_path)
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *("--virtual-time-budget=20000", "--dump-dom", f"--user-data-dir={tmp_path / 'home'}", path.as_uri()),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(PATIENCE_S):
        out, _ = await process.communicate()
    chart = out.decode().partition(f'id="trade-{opened_of(made).id}"')[2].partition("</figure>")[0]
    assert "bk-Figure" in chart and "mark $" in chart


@in_a_browser
async def test_no_script_but_its_own_runs_and_nothing_is_asked_of_the_network(
    made: Study, tmp_path: Path
) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    path = written(hostile_day(opened_of(made)), tmp_path)
    async with server, browser() as tab:
        await tab.open(path)
        await page_is_sound(tab, path, 1280)
        refused = await tab.evaluate(
            f"fetch('http://127.0.0.1:{port}/').then(() => 'answered', () => 'refused')"
        )
        assert refused == "refused"
        await tab.evaluate(
            f"""new Promise((done) => {{
              const image = new Image();
              image.onload = image.onerror = done;
              image.src = 'http://127.0.0.1:{port}/image.png';
            }}).then(() => {{
              const script = document.createElement('script');
              script.textContent = 'window.ran = true';
              document.body.append(script);
            }})"""
        )
        assert await tab.evaluate("window.ran === undefined")
        assert asked == []
        assert any("Content Security Policy" in fault for fault in tab.faults)


def troubled() -> Study:
    """A day without an evaluation: blind, held, then down."""
    study = study_of([], until=at(9_000))
    study.blind.append(Blind(at(0), at(5_000), (FeedCause.LAG, FeedCause.DROPPED)))
    study.down.append(Down(at(5_000), at(9_000), DownCause.KILLED))
    study.held.append(Held(at(10_000), at(12_000), HoldReason.CLOCK_DOUBT))
    return study


@in_a_browser
async def test_a_day_without_an_evaluation_is_drawn_too(tmp_path: Path) -> None:
    path = written(troubled(), tmp_path)
    async with browser() as tab:
        await tab.open(path)
        await page_is_sound(tab, path, 1280)
        for name in ("blind", "down", "held"):
            assert len(await tab.evaluate(points(name, "from"))) == 1
        assert await tab.evaluate(NOTE) == "Blind 09:30:00–10:53:20: delayed bars, then connection lost"
        for share, said in (
            (7_000 / 23_400, "Not running 10:53:20–12:00:00: killed or crashed"),
            (11_000 / 23_400, "Entries held 12:16:40–12:50:00: clock doubt"),
        ):
            await mouse(tab, "mouseMoved", *await place(tab, "price-chart", share))
            assert await tab.evaluate(NOTE) == said
        assert await tab.evaluate(READING) == "No second up to here was evaluated."
        text = await tab.evaluate("document.getElementById('gaps').innerText")
        assert "Blind: delayed bars, then connection lost" in text
        assert "1h23m" in text and "Not running: killed or crashed" in text


@in_a_browser
async def test_the_first_chart_does_not_wait_for_the_finest_levels(made: Study, tmp_path: Path) -> None:
    path = written(made, tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace('id="finer">', 'id="finer">A'), encoding="utf-8")
    async with browser() as tab:
        await tab.open(path)
        assert await tab.evaluate("document.documentElement.dataset.useful !== undefined")
        assert await tab.evaluate(INK % "price-chart")
        assert await tab.evaluate("!document.getElementById('failed').hidden")


@in_a_browser
async def test_charts_that_cannot_be_drawn_are_said(made: Study, tmp_path: Path) -> None:
    path = written(made, tmp_path)
    text = path.read_text(encoding="utf-8")
    broken = text.replace('id="data">', 'id="data">A')
    assert broken != text
    path.write_text(broken, encoding="utf-8")
    async with browser() as tab:
        await tab.open(path)
        said = await tab.evaluate("document.getElementById('failed').innerText")
        assert said.startswith("The charts could not be drawn: ")
        assert said.endswith(". The tables are complete.")
