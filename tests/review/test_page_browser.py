"""The page in a browser: drawn, read, and closed to every script but its own."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from events import SECOND, Condition, FeedCause
from review import funnel
from review.study import Blind, Down, DownCause, Study
from tests.builders import SESSION, at
from tests.made_day import END_S
from tests.review.browser import (
    CELLS,
    CHROMIUM,
    NOTE,
    PATIENCE_S,
    READING,
    SLIDER,
    VIEW,
    browser,
    clock,
    drag,
    in_a_browser,
    labels_are_apart,
    press,
    traces,
)
from tests.review.pages import hostile_day, made, opened_of, study_of, whole_day, written

__all__ = ["made"]  # fixtures that the tests here use, too


@in_a_browser
@pytest.mark.parametrize(
    ("width", "scheme", "zone"), [(390, "dark", "Asia/Tokyo"), (1440, "light", "America/Los_Angeles")]
)
async def test_the_page_in_a_browser(made: Study, tmp_path: Path, width: int, scheme: str, zone: str) -> None:
    path = written(made, tmp_path)
    async with browser() as tab:
        await tab.open(path, width=width, scheme=scheme, zone=zone)
        assert tab.faults == []
        assert {url.split(",")[0] for url in tab.requests} <= {path.as_uri(), "data:image/png;base64"}
        assert await tab.evaluate("document.getElementById('failed').hidden")

        name = opened_of(made).id
        # Three prices, two kinds of volume, its percentile, near misses, entries, exits; conditions, signals, gates.
        assert await traces(tab, "#session-chart") == [9, 3]
        assert await traces(tab, f"#trade-{name}") == [7, 0]
        page_width = await tab.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert page_width[0] <= page_width[1] <= width

        times = await labels_are_apart(tab, "#session-chart")
        assert {"09:30", "09:45", "10:00"} & set(times)
        assert all("09:30" <= text <= "10:11" for text in times) and len(times) >= 3
        seconds = await labels_are_apart(tab, f"#trade-{name}")
        assert all("10:06" <= text <= "10:11" for text in seconds) and seconds
        stroke = await tab.evaluate(
            "getComputedStyle(document.querySelectorAll('#session-chart .scatterlayer .js-line')[2]).stroke"
        )
        assert stroke == {"dark": "rgb(228, 233, 240)", "light": "rgb(27, 35, 48)"}[scheme]


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
    assert "<svg" in chart and "scatterlayer" in chart


@in_a_browser
async def test_a_second_can_be_read_and_looked_at_closely(made: Study, tmp_path: Path) -> None:
    bought = next(seen.evaluation for seen in made.seen if seen.is_fired)
    second = (bought.start - SESSION.open) // SECOND
    async with browser() as tab:
        await tab.open(written(made, tmp_path), zone="Europe/Berlin")
        # What it shows at first: the whole day, and the second of the first entry.
        assert await tab.evaluate(VIEW) == [0, END_S - 1]
        assert (await tab.evaluate(READING)).startswith(clock(34_200 + second))
        cells = await tab.evaluate(CELLS)
        assert [kind for kind, _ in cells] == ["yes"] * 8
        assert cells[3][1] == f"✓ Volume{bought.volume:,.0f} of {bought.volume_p95:,.0f}"
        assert cells[7][1] == "✓ Gateopen"

        # A link in a table leads to its second.
        miss = funnel.misses(made)[0].nearest.evaluation
        start = (miss.start - SESSION.open) // SECOND
        await tab.evaluate(f"document.querySelector('#misses [data-second=\"{start}\"]').click()")
        low, high = await tab.evaluate(VIEW)
        assert (low, high) == (END_S - 1 - 600, END_S - 1) and low < start < high
        assert (await tab.evaluate(READING)).startswith(clock(34_200 + start))
        note = f"{clock(34_200 + start)} ○ Near miss: {funnel.misses(made)[0].text}"
        assert await tab.evaluate(NOTE) == note
        cells = await tab.evaluate(CELLS)
        failed = [list(Condition).index(funnel.misses(made)[0].condition)]
        assert [place for place, (kind, _) in enumerate(cells) if kind == "no"] == failed
        times = await labels_are_apart(tab, "#session-chart")
        assert times and all(clock(34_200 + low) <= text <= clock(34_200 + high) for text in times)

        # The keys go from evaluation to evaluation.
        await tab.evaluate(f"{SLIDER}.focus()")
        await press(tab, "ArrowRight")
        following = next(seen.evaluation.start for seen in made.seen if seen.evaluation.start > miss.start)
        assert (await tab.evaluate(READING)).startswith(clock(34_200 + (following - SESSION.open) // SECOND))

        # Dragging looks closer, a button shows the day again.
        await drag(tab, 0.25, 0.75)
        assert await tab.evaluate(VIEW) == pytest.approx([low + 150, high - 150], abs=4)
        await tab.evaluate("document.getElementById('whole').click()")
        assert await tab.evaluate(VIEW) == [0, END_S - 1]
        assert tab.faults == []


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
    async with server, browser() as tab:
        await tab.open(written(hostile_day(opened_of(made)), tmp_path))
        assert tab.faults == []
        assert {url.partition(",")[0] for url in tab.requests if not url.startswith("file:")} <= {
            "data:image/png;base64"
        }
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


@in_a_browser
async def test_seen_from_afar_no_extreme_is_hidden(made: Study, tmp_path: Path) -> None:
    study = whole_day(opened_of(made))
    spike, dip, surge = 7_777, 13_001, 20_202
    for second, values in (
        (spike, {"price": 260.5}),
        (dip, {"price": 220.25}),
        (surge, {"volume": 99_999.0}),
    ):
        seen = study.seen[second]
        study.seen[second] = seen._replace(evaluation=replace(seen.evaluation, **values))
    async with browser() as tab:
        await tab.open(written(study, tmp_path), width=390)
        assert tab.faults == []
        drawn = "document.querySelector('#session-chart > div').data"
        prices = await tab.evaluate(f"{drawn}[2].y")
        assert max(prices) == 260.5 and min(prices) == 220.25
        at_seconds = dict(zip(prices, await tab.evaluate(f"{drawn}[2].x"), strict=True))
        assert (at_seconds[260.5], at_seconds[220.25]) == (spike, dip)
        assert len(prices) < 4 * 390
        sticks = await tab.evaluate(f"[...{drawn}[3].y, ...{drawn}[4].y]")
        assert max(value for value in sticks if value is not None) == 99_999
        assert None not in prices  # no gap in a day that has every second
        assert await tab.evaluate("document.querySelectorAll('.trades .scatterlayer').length") == 12
        # Near to, every second stands there.
        await tab.evaluate("document.getElementById('closer').click()")
        for _ in range(3):
            await tab.evaluate("document.getElementById('closer').click()")
        low, high = await tab.evaluate(VIEW)
        assert high - low < 100
        assert len(await tab.evaluate(f"{drawn}[2].x")) >= high - low


def troubled() -> Study:
    """A day without an evaluation: blind, then down."""
    study = study_of([], until=at(9_000))
    study.blind.append(Blind(at(0), at(5_000), (FeedCause.LAG, FeedCause.DROPPED)))
    study.down.append(Down(at(5_000), at(9_000), DownCause.KILLED))
    return study


@in_a_browser
async def test_a_day_without_an_evaluation_is_drawn_too(tmp_path: Path) -> None:
    async with browser() as tab:
        await tab.open(written(troubled(), tmp_path))
        assert tab.faults == []
        assert await tab.evaluate("document.querySelectorAll('#session-chart .shapelayer path').length") == 2
        assert await tab.evaluate(NOTE) == "Blind 09:30:00–10:53:20: delayed bars, then connection lost"
        await drag(tab, 0.7, 0.71)
        assert await tab.evaluate(NOTE) == "Not running 10:53:20–12:00:00: killed or crashed"
        assert await tab.evaluate(READING) == "No second of this session was evaluated."
        text = await tab.evaluate("document.getElementById('gaps').innerText")
        assert "Blind: delayed bars, then connection lost" in text
        assert "1h23m" in text and "Not running: killed or crashed" in text


@in_a_browser
async def test_charts_that_cannot_be_drawn_are_said(made: Study, tmp_path: Path) -> None:
    path = written(made, tmp_path)
    text = path.read_text(encoding="utf-8")
    broken = re.sub(r'"price":\{"type":"f4","bytes":"', '"price":{"type":"f4","bytes":"*', text, count=1)
    assert broken != text
    path.write_text(broken, encoding="utf-8")
    async with browser() as tab:
        await tab.open(path)
        said = await tab.evaluate("document.getElementById('failed').innerText")
        assert said.startswith("The charts could not be drawn: ")
        assert said.endswith(". The tables are complete.")
