"""The report as a page: the verdict first, no rate without its n and interval, and nothing of a file can run."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import numpy as np
import pytest

import utils
from research.__main__ import main
from research.judgement import judged
from research.report_page import page
from research.report_page.published import BEAT_SESSIONS, VWAP_SESSIONS
from research.report_page.told import Told, of_backtest, of_judgement
from research.track_record import TrackRecord
from tests.research.report_page.told import HOSTILE, backtest, entries, session_dates, source
from tests.research.samples import noise


def rendered(told: Told) -> str:
    """The page without its script."""
    return page.render(told, "/* charting */")


def text_of(rendered_page: str) -> str:
    """What the page shows, in its order."""
    body = rendered_page.partition("<body>")[2].partition('<script type="application/json"')[0]
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def report(count: int, **given: object) -> Told:
    """The report on a made backtest."""
    days = session_dates(count)
    pages = {days[0]: f"{days[0]}.html"}
    return of_backtest(backtest(count, **given), entries(30), [source(day) for day in days], pages)  # type: ignore[arg-type]


def test_the_verdict_comes_first_and_every_part_is_there() -> None:
    told = report(90, mean=-0.03)
    shown = rendered(told)
    assert text_of(shown).startswith("Loses: −")
    for name in (
        *("equity", "hours", "weekday", "reasons", "deltas", "spreads", "delays", "attribution", "signals"),
        *("calendar", "figures", "ledger", "quality", "published"),
    ):
        assert f'<section id="{name}">' in shown, name
    for chart in ("equity-chart", "delays-chart", "attribution-chart"):
        assert f'id="{chart}"' in shown and f'"{chart}"' in shown.partition('id="data">')[2]
    assert '<a href="2025-01-02.html">' in shown
    assert "30 sets of rules on this span" in text_of(shown)
    assert "The vault was opened 1 time" in text_of(shown)
    assert "1 block of quotes missing" in text_of(shown)
    assert rendered(told) == shown  # to the byte


RATES = re.compile(r"mean \S?\d|Sharpe ratio|deflated|profit factor|95%:")


def test_few_sessions_have_counts_and_no_rates() -> None:
    told = report(6, simulated=True)
    shown = text_of(rendered(told))
    assert shown.startswith("Simulated market Too little to say: 6 sessions, ")
    ours, _, published = shown.partition("Beside what others have published")
    assert not RATES.search(ours)
    assert "Simulated market: this report" in published and "too few for a rate" in published
    assert "delays-chart" not in rendered(told) and '"VArea"' not in rendered(told)


def test_nothing_of_a_file_can_run() -> None:
    days = session_dates(4)
    found = backtest(4, left_out=["2024-12-31"])
    told = of_backtest(found, entries(1), [source(day) for day in ("2024-12-31", *days)], {})
    names = ("</script><script>alert(1)//", HOSTILE)
    record = TrackRecord(tuple(map(date.fromisoformat, days)), names, noise(4, 2, 1), (HOSTILE,))
    for each in (told, of_judgement(judged(record))):
        shown = rendered(each)
        assert "<script>alert" not in shown
        assert "&lt;script&gt;alert" in shown
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', shown)
        assert policy is not None and policy[1].startswith("default-src 'none'; script-src 'sha256-")
        assert "http:" not in shown.partition("<body>")[2].replace("http://www.w3.org", "")


def test_a_track_record_tells_what_choosing_again_and_again_brings() -> None:
    days = tuple(map(date.fromisoformat, session_dates(100)))
    told = of_judgement(judged(TrackRecord(days, ("one", "other"), noise(100, 2, 5), ())))
    shown = text_of(rendered(told))
    assert shown.startswith("Cannot be told from luck: ")
    assert "Chosen on 60 sessions, run for 20, 2 times" in shown
    assert '"walk-chart"' in rendered(told)
    assert "By weekday (n: days with a result)" in shown and "By hour of the BUY" not in shown
    assert "field-chart" not in rendered(told)
    many = of_judgement(judged(TrackRecord(days, tuple("abcde"), noise(100, 5, 5), ())))
    assert "Each of 5 trials, a dot: its mean day in the first 50 sessions, and in the 50 after" in text_of(
        rendered(many)
    )
    alone = of_judgement(judged(TrackRecord(days, ("one",), noise(100, 1, 5), ())))
    assert "walk-chart" not in rendered(alone)


def test_days_that_all_bring_nothing_have_a_page() -> None:
    days = tuple(map(date.fromisoformat, session_dates(25)))
    told = of_judgement(judged(TrackRecord(days, ("one",), np.zeros((25, 1)), ())))
    assert text_of(rendered(told)).startswith("Too little to say")


def test_judge_writes_the_page_and_replaces_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, html = tmp_path / "results.csv", tmp_path / "report.html"
    rows = (f"{day},{value:.4f}" for day, value in zip(session_dates(40), noise(40, 1, 2)[:, 0], strict=True))
    file.write_text("day,result\n" + "\n".join(rows), encoding="utf-8")
    for _ in range(2):  # its own page is replaced
        assert main(["judge", str(file), "--html", str(html)]) == 0
        assert capsys.readouterr().out.endswith(f"\nWritten: {html}\n")
    assert html.read_bytes().startswith(page.PAGE_BEGINS.encode())
    assert main(["judge", str(file), "--json", "--html", str(html)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("{") and "Written" not in said.out and "Written" in said.err
    for name, why in (
        ("results.csv", "already holds something"),
        ("2025-01-02.html", "is the name of one day's page"),
    ):
        assert main(["judge", str(file), "--html", str(tmp_path / name)]) == 2
        assert why in " ".join(capsys.readouterr().err.split())
    assert file.read_text(encoding="utf-8").startswith("day,result")


def test_dates_of_the_published_spans_are_counted_by_the_calendar() -> None:
    for first, last, count in (
        (date(2018, 1, 2), date(2023, 9, 28), VWAP_SESSIONS),
        (date(2007, 1, 3), date(2024, 4, 30), BEAT_SESSIONS),
    ):
        days = (date.fromordinal(number) for number in range(first.toordinal(), last.toordinal() + 1))
        assert sum(utils.session_on(day) is not None for day in days) == count
