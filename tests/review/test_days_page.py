"""The page of the days: its numbers, their order, and nothing from a record that is not escaped."""

from __future__ import annotations

import re
import shutil
from datetime import date
from html import unescape
from pathlib import Path

import pytest
from msgspec.structs import replace

import utils
from book import store
from book.rows import DayRow
from events import ExitReason
from followed import Fate
from record.journal import Journal
from review.day_pages import standing
from review.days import main
from review.days_page import page
from review.days_page.running import ticks
from review.page import page as day_page
from review.places import Unusable
from rules import Rules
from tests.review.book_days import day_on, many, told, trade
from tests.review.days import EVENING, folder

__all__ = ["folder"]  # a fixture that the tests here use, too

TUE = day_on(date(2025, 9, 30))
WED, THU, FRI = (day_on(date(2025, 10, number)) for number in (1, 2, 3))


def rendered(days: list[DayRow], pages: dict[str, str] | None = None, **following: object) -> str:
    return page.render(told(days, pages, **following))


def test_its_own_style_uses_colours_that_are_set() -> None:
    """It borrows those of a day's page, which has others besides."""
    own = page.STYLES[-1].read_text(encoding="utf-8")
    assert set(re.findall(r"var\((--[a-z0-9-]+)", own)) <= set(
        re.findall(r"(--[a-z0-9-]+):", rendered(many(3)))
    )


def words(html: str) -> str:
    """What a reader sees, with single spaces."""
    html = re.sub(r"<style>.*?</style>|</?span[^>]*>", "", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def part(html: str, name: str) -> str:
    found = re.search(rf'<section id="{name}">.*?</section>', html, re.DOTALL)
    assert found is not None
    return found[0]


def rows(html: str) -> list[str]:
    return [words(row) for row in re.findall(r"<tr.*?</tr>", html, re.DOTALL)]


def cell(html: str, number: int) -> str:
    """The calendar's cell of a day of the month."""
    found = re.search(rf'<td [^>]*>(?:(?!</td>).)*<span class="date">{number}</span>.*?</td>', html)
    assert found is not None
    return found[0]


# --- Numbers -----------------------------------------------------------------------------------------


def two_days() -> list[DayRow]:
    """Two trades on the second, none on the first; at 15 s +20 and −5.50."""
    both = (
        trade(THU, 1, 10, ExitReason.TIME_STOP, 30.0, 25.0, 20.0, 10.0, 5.0),
        trade(THU, 2, 95, ExitReason.STOP_LOSS, 1.0, 0.0, -5.5, Fate.OVER_LIMIT, -20.0),
    )
    return [WED, replace(THU, trades=both, entries=2, signals=3)]


def test_the_page_leads_with_the_owners_delay_and_names_the_pushes_own_prices_second() -> None:
    text = words(rendered(two_days()))
    headline = (
        "15 s after each push: +$14 from 2 trades, 1 up, 1 down; mean +$7.25 (n 2). By hand, 15 s late +$14"
    )
    assert headline in text
    assert text.index("By hand, 15 s late") < text.index("By hand, 0 s: the pushes' own prices +$31")
    assert "no interval below 5 days with a trade" in text
    assert "do not show that the alerts are worth anything, nor that they are not" in text


def test_an_interval_stands_beside_its_mean() -> None:
    days = [
        replace(
            day, trades=(trade(day, number, 30, "time stop", 10.0), trade(day, 99, 60, "time stop", -4.0))
        )
        for number, day in enumerate(many(6))
    ]
    assert "mean +$3.00 (n 12, 95%: +$3.00 to +$3.00)." in words(rendered(days))


def test_the_owners_delay_may_be_none() -> None:
    text = words(rendered(two_days(), follow_delay_seconds=0))
    assert "At the pushes' own prices (0 s): +$31 from 2 trades" in text
    assert "By hand, 0 s: the pushes' own prices" not in text


def test_a_delay_of_ones_own_has_its_column() -> None:
    html = part(rendered(two_days(), follow_delay_seconds=20), "days")
    assert "0 s 5 s 15 s 20 s 30 s 60 s" in words(html)
    assert html.count('data-head="20 s"') == 2


def test_fees_are_taken_off() -> None:
    assert "+$12 from 2 trades" in words(rendered(two_days()[1:], fee_per_contract=0.65))


def test_what_could_not_be_followed_is_counted() -> None:
    days = [
        replace(
            THU, trades=(trade(THU, 1, 10, "time stop", Fate.OVER_LIMIT), trade(THU, 2, 20, "", Fate.OPEN))
        )
    ]
    html = rendered(days)
    assert "15 s after each push: no trade that could be followed." in words(html)
    assert "Left out at 15 s 2 1 not taken, 1 still open" in words(html)
    assert words(part(html, "running")) == "The running total No trade that could be followed."
    assert "no SELL recorded 1 still open — — — — —" in words(part(html, "reasons"))
    assert words(cell(html, 2)) == "2 1 not taken, 1 still open"


# --- The calendar ------------------------------------------------------------------------------------


def test_a_session_has_a_cell_with_its_result_and_its_number() -> None:
    html = rendered(two_days())
    assert words(cell(html, 1)) == "1 no trade" and 'class="none"' in cell(html, 1)
    assert words(cell(html, 2)) == "2 +$14 n 2" and 'class="up-3"' in cell(html, 2)
    assert 'title="2025-10-02: +$14 at 15 s (n 2), +$31 at 0 s (n 2); seen 6h30m of 6h30m, blind 0s"' in html


def test_a_colour_is_as_deep_as_the_result_is_large() -> None:
    days = [
        replace(day, trades=(trade(day, 1, 10, "", dollars),))
        for day, dollars in zip(many(5), (90.0, -40.0, 20.0, -90.0, 0.0), strict=True)
    ]
    html = part(rendered(days), "calendar")
    looks = re.findall(r'<td class="([^"]+)" title="2025', html)
    assert looks == ["up-3", "down-2", "up-1", "down-3", "up-1"]


@pytest.mark.parametrize(("unseen_s", "is_hatched"), [(2_340, False), (2_341, True), (23_400, True)])
def test_a_session_that_was_not_seen_for_over_a_tenth_is_hatched(unseen_s: int, is_hatched: bool) -> None:
    html = rendered([day_on(date(2025, 10, 2), unseen_s=unseen_s)])
    assert ("unseen" in cell(html, 2)) is is_hatched


def test_seconds_in_which_the_program_was_away_are_unseen_too() -> None:
    html = rendered([replace(THU, seen_s=THU.seen_s - 3_000, away_s=3_000)])
    assert "unseen" in cell(html, 2)


def test_a_holiday_is_empty_and_a_session_without_a_row_is_said() -> None:
    days = [day_on(date(2025, 11, number)) for number in (25, 28)]
    html = part(rendered(days), "calendar")
    assert words(cell(html, 26)) == "26 no row" and "2025-11-26: not in the book" in cell(html, 26)
    assert words(cell(html, 27)) == "27"  # Thanksgiving
    assert words(cell(html, 24)) == "24"  # before the first
    assert '<span class="date">29</span>' not in html  # a Saturday
    assert '<span class="date">17</span>' not in html  # a week before the first


def test_months_without_a_session_are_counted_not_drawn() -> None:
    days = [day_on(date(2024, 12, 2)), day_on(date(2025, 3, 3)), THU]
    html = part(rendered(days), "calendar")
    assert re.findall(r"<caption>(.*?)</caption>", html) == ["December 2024", "March 2025", "October 2025"]
    assert "2 months without a session" in html and "6 months without a session" in html


def test_a_large_amount_fits_into_a_cell() -> None:
    html = rendered([replace(THU, trades=(trade(THU, 1, 10, "", -12_345.0),))])
    assert words(cell(html, 2)) == "2 −$12.3k n 1"


# --- The running sum ---------------------------------------------------------------------------------


def test_the_line_steps_at_each_session_to_the_sum_so_far() -> None:
    days = [
        replace(day, trades=(trade(day, 1, 10, "", dollars),)) for day, dollars in zip((WED, THU, FRI), (100.0, -50.0, 150.0), strict=True)
    ]  # fmt: skip
    html = part(rendered(days), "running")
    # From $0 to $200 in 218 pixels that begin at 12.
    assert '<path class="own" d="M0 230.0V121.0H1V175.5H2V12.0H3"/>' in html
    assert html.index('class="zero" d=') < html.index('class="own" d=')  # the owner's over the other
    assert "15 s after each push: +$200, 3 trades" in words(html)
    assert "2025-10-02: −$50 at 15 s (n 1), −$50 at 0 s (n 1); seen 6h30m of 6h30m, blind 0s. So far: +$50 at 15 s, +$50 at 0 s" in words(html)  # fmt: skip
    assert "1 Oct 2 Oct 3 Oct" in words(html)


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (0.0, 0.0, [0.0, 0.2]),
        (0.0, 200.0, [0, 50, 100, 150, 200]),
        (-30.5, 12.0, [-30, -20, -10, 0, 10, 20]),
        (-900.0, 0.0, [-1000, -800, -600, -400, -200, 0]),
        (-1.0, 499.0, [0, 100, 200, 300, 400, 500]),
    ],
)
def test_the_grid_has_a_handful_of_round_amounts(low: float, high: float, found: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(found)


# --- Tables ------------------------------------------------------------------------------------------


def test_results_by_hour_of_the_buy_in_new_york() -> None:
    found = rows(part(rendered(two_days()), "hours"))
    assert found[:4] == [
        "Hour n up down sum mean",
        "09:30–10:00 1 1 — +$20 +$20.00",
        "10:00–11:00 — — — — —",
        "11:00–12:00 1 — 1 −$6 −$5.50",
    ]
    assert len(found) == 8


def test_results_by_reason_in_the_order_of_the_rules_and_unknown_ones_last() -> None:
    made = [
        trade(THU, number, 30, reason, 10.0)
        for number, reason in enumerate(["", "shutdown", "a rule of tomorrow", "stop loss", "time stop"])
    ]
    found = rows(part(rendered([replace(THU, trades=tuple(made))]), "reasons"))
    assert [row.partition(" 1 ")[0] for row in found[1:]] == [
        *("time stop", "stop loss", "shutdown", "a rule of tomorrow", "no SELL recorded")
    ]


def test_results_by_delay() -> None:
    found = rows(part(rendered(two_days()), "delays"))
    assert found[1] == "0 s, the pushes' own prices 2 2 — +$31 +$15.50"
    assert found[3] == "15 s, yours 2 1 1 +$14 +$7.25"
    assert found[4] == "30 s 1 not taken 1 1 — +$10 +$10.00"


def test_bars_are_in_proportion_and_go_to_their_side() -> None:
    html = part(rendered(two_days()), "reasons")
    assert '<path class="up" d="M0 0H100.0V8H0Z"/>' in html
    assert '<path class="down" d="M0 0H-27.5V8H0Z"/>' in html


def test_the_days_stand_with_everything_the_oldest_first() -> None:
    found = rows(part(rendered(two_days()), "days"))
    assert found[1].startswith("2025-10-01 Wed 6h30m — 0 0 — — — — — 10:36:40 volume 3,912, needed")
    assert found[2].startswith(
        "2025-10-02 Thu 6h30m — 3 2 n 2 +$31 n 2 +$25 n 2 +$14 n 1 +$10 n 2 −$15 10:36:40"
    )


def test_a_day_leads_to_its_page_if_there_is_one() -> None:
    html = rendered(two_days(), {"2025-10-02": "2025-10-02.html"})
    assert cell(html, 2).count('<a href="2025-10-02.html">') == 1
    assert "<a " not in cell(html, 1)
    assert part(html, "days").count("<a href=") == 1
    assert "1 of 2 have one in this folder" in html


# --- What comes from records -------------------------------------------------------------------------

HOSTILE = "</style><script>alert(1)</script>&'\""


def test_texts_from_records_are_escaped() -> None:
    day = replace(
        THU,
        symbol=HOSTILE,
        version=HOSTILE,
        rules=HOSTILE,
        miss=HOSTILE,
        miss_condition=HOSTILE,
        trades=(replace(trade(THU, 1, 10, HOSTILE, 10.0), contract=HOSTILE, id=HOSTILE),),
    )
    html = rendered([day])
    assert "<script" not in html and html.count("</style>") == 1
    assert html.count("&lt;/style&gt;&lt;script&gt;alert(1)") >= 5


@pytest.mark.parametrize("text", ["", "yesterday", "20251002", '2025-10-02" onload="'])
def test_a_row_of_no_date_is_refused(text: str) -> None:
    with pytest.raises(Unusable, match="no date"):
        rendered([replace(THU, date=text)])


def test_nothing_may_run_or_be_loaded() -> None:
    html = rendered(many(3))
    assert re.search(
        r"content=\"default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'none'\"", html
    )
    assert not re.search(r"<script|<link|<img|<iframe|style=|\son\w+=|src=", html)


def test_a_simulated_market_is_said() -> None:
    played = replace(THU, simulated=True)
    text = words(rendered([played]))
    assert text.startswith(
        "Simulated market: No trade at 15 s · IWM, 2025-10-02 Simulated market IWM, 1 session"
    )
    html = rendered([WED, played])
    assert "Simulated market on 1 of 2 days" in words(html)
    assert rows(part(html, "days"))[2].startswith("2025-10-02 Thu, simulated")
    assert "blind 0s; simulated market" in cell(html, 2)
    assert "imulated" not in rendered([WED]).partition("<body>")[2]


def test_no_days_are_said() -> None:
    html = rendered([])
    assert words(html.partition("<body>")[2]).startswith("No session in the book for these dates.")
    assert "<section" not in html


def test_one_day_and_sixty() -> None:
    assert "1 session, 2025-09-02." in words(rendered(many(1)))
    html = rendered(many(60))
    assert len(rows(part(html, "days"))) == 61
    assert len(html) < 200_000


# --- The command -------------------------------------------------------------------------------------


@pytest.fixture
def place(folder: Path, tmp_path: Path) -> Path:
    """A folder of data of one's own, with the record of a session that had a BUY and its SELL, and a row without one."""
    data = tmp_path / "data"
    shutil.copytree(folder / "sessions", data / "sessions")
    store.enter(store.path_in(data), [WED])
    return data


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments], EVENING)
    out, err = capsys.readouterr()
    return status, out, err


def test_the_page_is_written_beside_the_answer(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = place.parent / "days.html"
    status, out, _ = run(capsys, "--data-dir", place, "--html", path)
    assert status == 0 and out.endswith(f"\nWritten: {path}\n") and "2 sessions" in out
    assert "2 sessions, 2025-10-01 to 2025-10-02" in words(path.read_text(encoding="utf-8"))
    assert [found.name for found in place.parent.glob("*.html")] == ["days.html"]
    assert run(capsys, "2025-10-01", "--data-dir", place, "--html", path)[0] == 0  # written anew
    assert "1 session, 2025-10-01." in words(path.read_text(encoding="utf-8"))


def test_missing_pages_are_written_from_the_records_still_kept(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place.parent / "days.html"
    single = path.with_name("2025-10-02.html")
    status, out, err = run(capsys, "--data-dir", place, "--html", path, "--pages", "--json")
    assert (status, err) == (0, f"Page 1 of 1: {single}\n\nWritten: {path}\n")
    assert out.startswith("{")
    assert single.read_text(encoding="utf-8").startswith(day_page.PAGE_BEGINS)
    assert 'href="2025-10-02.html"' in path.read_text(encoding="utf-8")
    assert "← " not in words(single.read_text(encoding="utf-8").partition("<header>")[0])
    before = single.stat().st_mtime_ns
    _, out, _ = run(capsys, "--data-dir", place, "--html", path, "--pages")
    assert single.stat().st_mtime_ns == before and "Page 1" not in out


def begun(data: Path, day: DayRow) -> None:
    """A record of a session in which the program saw nothing."""
    session = utils.session_on(date.fromisoformat(day.date))
    assert session is not None
    journal = Journal(data / "sessions" / f"{day.date}.jsonl")
    journal.begin(Rules(), session, session.open)
    journal.close()


def test_pages_that_are_written_at_once_lead_to_each_other(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(place, TUE)
    begun(place, WED)
    path = place.parent / "days.html"
    assert run(capsys, "--data-dir", place, "--html", path, "--pages")[0] == 0
    found = [
        re.findall(
            r'<a rel="(prev|next)" href="([^"]+)"', path.with_name(f"{day.date}.html").read_text("utf-8")
        )
        for day in (TUE, WED, THU)
    ]
    assert found == [
        [("next", "2025-10-01.html")],
        [("prev", "2025-09-30.html"), ("next", "2025-10-02.html")],
        [("prev", "2025-10-01.html")],
    ]


def test_what_is_no_page_is_neither_linked_nor_overwritten(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    single = place.parent / "2025-10-02.html"
    single.write_text("a letter")
    path = place.parent / "days.html"
    status, out, _ = run(capsys, "--data-dir", place, "--html", path, "--pages")
    assert status == 0 and "No page of 2025-10-02" in out and single.read_text() == "a letter"
    assert "<a href" not in path.read_text(encoding="utf-8")
    assert standing(place.parent, [THU.date]) == {}


def test_a_damaged_record_costs_its_own_page(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.enter(store.path_in(place), [THU])
    (record,) = (place / "sessions").iterdir()
    record.write_text("nothing that is a record\n")
    status, out, _ = run(capsys, "--data-dir", place, "--html", place.parent / "days.html", "--pages")
    assert status == 0 and "⚠️ No page of 2025-10-02: " in " ".join(out.split()) + " "


@pytest.mark.parametrize("begins", ["a letter", day_page.PAGE_BEGINS])
def test_a_file_that_is_not_its_own_is_not_overwritten(
    place: Path, capsys: pytest.CaptureFixture[str], begins: str
) -> None:
    path = place.parent / "other.html"
    path.write_text(begins, encoding="utf-8")
    status, _, err = run(capsys, "--data-dir", place, "--html", path)
    assert status == 2 and "already holds something that is not ours" in " ".join(err.split())
    assert path.read_text(encoding="utf-8") == begins
    with pytest.raises(Unusable, match="already holds something"):
        page.write(told([THU]), path)


def test_a_days_own_page_is_not_the_page_of_all(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "--data-dir", place, "--html", place.parent / "2025-10-01.html")
    assert status == 2 and "is the name of one day's page" in " ".join(err.split())
    path = place.parent / "days.html"
    page.write(told([THU]), path)
    with pytest.raises(Unusable, match="already holds something"):
        day_page.check(path)


def test_pages_need_a_file_to_stand_beside(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--pages"], EVENING)
    assert ended.value.code == 2 and "--pages needs --html FILE" in capsys.readouterr().err
