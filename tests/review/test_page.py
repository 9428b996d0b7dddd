"""The page: what stands in its file."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import entry
from events import SECOND, AlertKind, AlertOutcome, Condition, DeclineReason, Outcome, Tick
from followed import DELAYS_S, Fate, dollars_text, headline
from review import funnel, moment, what_if
from review.answer import answer
from review.keeper import read
from review.page import page
from review.page import tables as page_tables
from review.page.colours import COLOURS, FIRST_GATE, GATES, SHADES, SIGNAL, palette
from review.page.columns import packed
from review.page.data import GATE_KINDS, shown, time_of
from review.page.levels import GAP_S, LINES, known_seconds, levels
from review.page.reading import CELLS, second_words
from review.page.session import GATE_TEXTS
from review.places import Unusable
from review.study import Seen, Study
from rules import Rules
from tests.builders import SESSION, at
from tests.made_day import Made
from tests.review.pages import (
    HOSTILE,
    ROOT,
    asked_of,
    evaluation,
    hostile_day,
    made,
    opened_of,
    study_of,
    whole_day,
    written,
)
from tests.review.studies import EASY, bought
from utils import option_price, signed_percent
from wording import condition_name

__all__ = ["made"]  # fixtures that the tests here use, too


MEGABYTE = 1_000_000

LIMIT_BYTES = 2.5 * MEGABYTE


class Elements(HTMLParser):
    """Every element of a page with its attributes, the text of scripts, and the cells of tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.rows: list[list[str]] = []
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self._in = tag
            self.scripts.append("")
        elif tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self._in = tag
            self.rows[-1].append("")
        elif tag == "small" and self._in in {"td", "th"}:
            self.rows[-1][-1] += " | "

    def handle_endtag(self, tag: str) -> None:
        if tag == self._in:
            self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        elif self._in:
            self.rows[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of a kind."""
        return [attributes for name, attributes in self.found if name == tag]


def contents(text: str) -> dict[str, Any]:
    """What a page's script reads: the first of its scripts."""
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(Elements(text).scripts[0])))
    return found


def unpacked(found: dict[str, Any]) -> list[float | None]:
    """A column's numbers."""
    total = 0
    return [
        None if step is None else (total := total + step) / 10 ** found["digits"] for step in found["steps"]
    ]


def columns_of(level: dict[str, Any]) -> dict[str, list[float | None]]:
    """A level's columns."""
    return {name: unpacked(found) for name, found in level["columns"].items()}


def test_a_whole_session_weighs_less_than_the_limit(made: Study, tmp_path: Path) -> None:
    path = written(whole_day(opened_of(made)), tmp_path)
    assert path.stat().st_size < LIMIT_BYTES


def test_the_file_needs_nothing_else_and_lets_nothing_else_in(made: Study, tmp_path: Path) -> None:
    elements = Elements(written(made, tmp_path).read_text(encoding="utf-8"))
    assert not [
        tag for tag, _ in elements.found if tag in {"link", "img", "iframe", "object", "embed", "base"}
    ]
    assert not [
        attributes for _, attributes in elements.found if "src" in attributes or "srcset" in attributes
    ]
    assert {link["href"] for link in elements.all("a")} == {"#session"}
    style = (ROOT / "review" / "page" / "page.css").read_text(encoding="utf-8")
    assert "url(" not in style and "@import" not in style

    policy = next(item["content"] for item in elements.all("meta") if "http-equiv" in item)
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    running = [
        text
        for text, item in zip(elements.scripts, elements.all("script"), strict=True)
        if "type" not in item
    ]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running]
    assert len(hashes) == 2
    assert rules == {
        "default-src": "'none'",
        "script-src": " ".join(f"'sha256-{value}'" for value in hashes),
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_what_a_record_says_is_text(made: Study, tmp_path: Path) -> None:
    text = written(hostile_day(opened_of(made)), tmp_path).read_text(encoding="utf-8")
    elements = Elements(text)
    assert not elements.all("img")
    assert len(elements.scripts) == 4
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]
    assert list(contents(text)["paths"]) == ["</script><i>"]
    assert "<" not in elements.scripts[0] + elements.scripts[1]
    assert (
        HOSTILE.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("'", "&#x27;")
        .replace('"', "&quot;")
        in text
    )


def test_the_sentence_and_the_tables_say_what_the_study_says(made: Study, tmp_path: Path) -> None:
    text = written(made, tmp_path).read_text(encoding="utf-8")
    assert f"<h1>{escape(answer(made), quote=True)}</h1>" in text
    rows = Elements(text).rows
    steps = {step.name: step for step in funnel.funnel(made)}
    for name, words in (
        ("session", "Seconds of the session"),
        ("evaluated", "evaluated as they came"),
        ("fired", "BUY"),
    ):
        step = steps[name]
        assert [words, f"{step.left:,}"] in [row[:2] for row in rows]
    for item in funnel.failing(made):
        name = f"{condition_name(item.condition, 'SPY')} {item.condition}"
        assert [name, f"{item.failed:,}", f"{item.alone:,}", f"{item.alone_open:,}"] in rows
        assert [name, f"{steps[item.condition.value].left:,}"] in [row[:2] for row in rows]

    trade = made.trades.told[0]
    late = [made.trades.followed(delay).every[0] for delay in DELAYS_S]
    cells = next(row for row in rows if row[0] == f"#{trade.opened.id}")[1:]
    assert len(cells) == len(late) == 5
    for cell, fill in zip(cells, late, strict=True):
        assert fill.paid is not None and fill.got is not None
        prices = f"{option_price(fill.paid)}{'*' * (fill.fate is Fate.OVER_LIMIT)} → {option_price(fill.got)}"
        assert cell == f"{'' if fill.percent is None else signed_percent(fill.percent)} | {prices}"
    told = next(row for row in rows if row[0].startswith(f"#{trade.opened.id} | "))
    by_hand = made.trades.followed().every[0]
    assert by_hand.fate is Fate.OVER_LIMIT and told[3] == "not taken | ask above Pay ≤"
    at_once = made.trades.followed(0).every[0]
    assert at_once.dollars is not None
    assert told[4] == f"{dollars_text(at_once.dollars)} | {signed_percent(at_once.percent)}"
    assert told[5] == signed_percent(trade.told_percent)


def test_every_chart_has_words_for_those_who_cannot_see_it(made: Study, tmp_path: Path) -> None:
    elements = Elements(written(made, tmp_path).read_text(encoding="utf-8"))
    charts = [item for item in elements.all("div") if item.get("role") == "img"]
    assert len(charts) == len(made.trades.all)
    charts += [item for item in elements.all("figure") if item.get("role") == "slider"]
    assert len(charts) == 1 + len(made.trades.all)
    for chart in charts:
        assert chart["aria-label"] and len(chart["aria-label"]) > 40
    for table in elements.all("table"):
        assert table["aria-label"]
    assert elements.all("html") == [{"lang": "en"}]


def test_the_finest_level_holds_what_was_evaluated(made: Study) -> None:
    data = levels(made)
    lines, strip = columns_of(data.lines[0]), columns_of(data.strip[0])
    opening = time_of(made, SESSION.open)
    assert lines["x"] == strip["x"] == [opening + second * 1_000 for second in range(known_seconds(made))]
    assert opening == 9.5 * 3_600_000
    seconds = {made.index_of(seen.evaluation.start): seen for seen in made.seen}
    for second, seen in seconds.items():
        item = seen.evaluation
        assert lines["price"][second] == pytest.approx(item.price, abs=1e-4)
        assert lines["volume"][second] == round(item.volume)
        assert (lines["volume_p95"][second] is None) is (item.volume_p95 is None)
        for condition, passed in item.by_condition.items():
            assert strip[f"is_{condition}"][second] == {None: 0, False: 1, True: SHADES}[passed]
        assert strip["signals"][second] == SIGNAL * item.holds
        stopped = funnel.stopped_by(seen)
        gate = lines["gate"][second]
        assert gate is not None
        assert data.gates[int(gate)] == ("open" if stopped is None else stopped.value)
        kind = next((kind for kind, reasons in GATE_KINDS.items() if stopped in reasons), "open")
        assert strip["gates"][second] == FIRST_GATE + GATES.index(kind)
    assert {place for place, gate in enumerate(lines["gate"]) if gate is not None} == set(seconds)


@pytest.mark.parametrize("most", [0, 100, 10_000_000])
def test_no_level_is_lost_between_the_first_and_the_finer_ones(made: Study, most: int) -> None:
    every = levels(made)
    first, finer = every.apart(most)
    assert first["gates"] == every.gates
    for name in ("lines", "candles", "strip"):
        assert first[name] and [*finer[name], *first[name]] == getattr(every, name)
        assert all(len(level["columns"]["x"]["steps"]) > most for level in finer[name])
        assert all(len(level["columns"]["x"]["steps"]) <= most for level in first[name][:-1])


def test_a_line_stands_for_thirty_seconds_without_a_value_and_no_longer(made: Study) -> None:
    first, *_, last = (second for second, bar in enumerate(made.bars) if bar is not None)
    made_bar, lines = made.bars[last], columns_of(levels(made).lines[0])
    assert made_bar is not None
    closes = lines["close"]
    assert closes[last:] == [made_bar.close] * (GAP_S + 1)
    silent = dataclasses.replace(made, bars=[*made.bars])
    silent.bars[last - GAP_S - 2 : last] = [None] * (GAP_S + 2)
    closes = columns_of(levels(silent).lines[0])["close"]
    assert None not in closes[last - GAP_S - 3 : last - 2]
    assert closes[last - 2 : last + 1] == [None, None, made_bar.close]
    assert set(closes[:first]) <= {None}


def test_a_coarser_level_hides_neither_the_highest_nor_the_lowest(made: Study) -> None:
    data = levels(made)
    finest = columns_of(data.lines[0])
    for level in data.lines[1:]:
        seconds, found = level["seconds"], columns_of(level)
        for name in LINES:
            for place in range(0, known_seconds(made), seconds):
                known = [value for value in finest[name][place : place + seconds] if value is not None]
                drawn = found[name][2 * place // seconds : 2 * place // seconds + 2]
                assert sorted(drawn) == [min(known), max(known)] if known else drawn == [None, None]  # type: ignore[type-var]
        for name in ("volume", "surge"):
            assert max(filter(None, found[name])) == max(filter(None, finest[name]))


def test_candles_are_made_of_the_bars_as_finally_known(made: Study) -> None:
    for level in levels(made).candles:
        seconds, found = level["seconds"], columns_of(level)
        for place in range(0, known_seconds(made), seconds):
            bars = [bar for bar in made.bars[place : place + seconds] if bar is not None]
            drawn = [found[name][place // seconds] for name in ("open", "high", "low", "close", "falls")]
            if not bars:
                assert drawn == [None] * 4 + [0]
                continue
            ends = bars[0].open, bars[-1].close
            high, low = max(bar.high for bar in bars), min(bar.low for bar in bars)
            assert drawn == pytest.approx([ends[0], high, low, ends[1], float(ends[1] < ends[0])], abs=1e-4)


def test_the_strip_is_the_darker_the_more_seconds_met_a_condition() -> None:
    seen = [
        Seen(at(second + 2), evaluation(second, 240.0, passes=second < 3), False, "", None)
        for second in range(4)
    ]
    strip = levels(study_of(seen)).strip
    first = f"is_{next(iter(Condition))}"
    assert [columns_of(level)[first][0] for level in strip[:3]] == [SHADES, SHADES, 1 + 6]  # 3 of 4
    assert columns_of(strip[2])[first][1] == 0


def test_the_average_of_the_session_is_weighted_by_volume(made: Study) -> None:
    day = columns_of(levels(made).lines[0])["day"]
    seconds = [second for second, bar in enumerate(made.bars) if bar is not None]
    for second in (seconds[0], seconds[100], seconds[-1]):
        bars = [bar for bar in made.bars[: second + 1] if bar is not None]
        paid, shares = sum(bar.vwap * bar.volume for bar in bars), sum(bar.volume for bar in bars)
        assert day[second] == pytest.approx(paid / shares, abs=0.001)


def test_a_session_without_a_share_has_no_average() -> None:
    study = study_of([Seen(at(2_003), replace(evaluation(2_000, 215.0), volume=0.0), False, "", None)])
    assert set(columns_of(levels(study).lines[0])["day"]) == {None}


@pytest.mark.parametrize(
    ("left", "percent"),
    [(0, 0.0), (10_000, 100.0), (1_000, 75.0), (10, 25.0), (1, page_tables.LEAST_BAR_PERCENT)],
)
def test_the_bars_of_the_funnel_are_the_share_of_all_on_a_log_scale(left: int, percent: float) -> None:
    assert page_tables.bar_percent(left, 10_000, 4) == pytest.approx(percent)


def test_the_title_leads_with_what_a_hand_could_have_got_and_says_whether_the_market_is_simulated(
    made: Study, tmp_path: Path
) -> None:
    text = written(made, tmp_path).read_text(encoding="utf-8")
    assert "<title>No trade" not in text and "Simulated" not in text
    result = headline(made.trades.followed(), made.trades.followed(0))
    assert f"<title>{escape(result)} · IWM 2025-10-02</title>" in text
    path = tmp_path / "2025-10-02.jsonl"
    story = Made(path)
    story.journal.begin(Rules(), SESSION, at(-10), simulated=True)
    story.journal.close()
    study = read(path)
    assert study.is_simulated
    text = written(study, tmp_path).read_text(encoding="utf-8")
    assert "<title>Simulated market: no entry · IWM 2025-10-02</title>" in text
    assert '<header><p class="simulated">Simulated market</p>' in text


def test_how_many_seconds_were_evaluated_is_so_far_only_in_progress(made: Study, tmp_path: Path) -> None:
    made.asked_at = made.session.open + 3 * 3_600 * SECOND
    assert f"of {made.seconds:,} so far</small>" in written(made, tmp_path).read_text(encoding="utf-8")
    made.asked_at = made.session.close
    assert f"of {made.seconds:,}</small>" in written(made, tmp_path).read_text(encoding="utf-8")


def test_a_trades_card_leaves_the_results_to_the_table(made: Study, tmp_path: Path) -> None:
    (trade,) = made.trades.told
    assert trade.closed is not None
    text = written(made, tmp_path).read_text(encoding="utf-8")
    mark, bid = (option_price(price) for price in (trade.closed.mark, trade.closed.bid))
    assert text.count(f"mark at the SELL {mark}, bid {bid}") == 2  # the card's and the table's
    card = text.split('<div class="trades">')[1].split("</figure>")[0]
    assert (
        f"Entry {option_price(trade.opened.entry)}; mark at the SELL" in card
        and "by hand" not in card.lower()
    )


def test_a_page_named_by_its_day_leads_to_those_beside_it(made: Study, tmp_path: Path) -> None:
    names = (
        "2025-09-30.html",
        "2025-10-01.html",
        "2025-10-06.html",
        "2025-10-07.html",
        "notes.html",
        "2025-1-1.html",
    )
    for name in names:
        (tmp_path / name).touch()
    for name, links in (("2025-10-02.html", ["2025-10-01.html", "2025-10-06.html"]), ("why.html", [])):
        page.write(made, tmp_path / name)
        elements = Elements((tmp_path / name).read_text(encoding="utf-8"))
        assert [link["href"] for link in elements.all("a") if link["href"] != "#session"] == links
    page.write(made, tmp_path / "2025-10-08.html")
    assert page.neighbours_of(tmp_path / "2025-10-08.html") == ("2025-10-07.html", "")


def test_what_was_asked_is_on_the_page(made: Study, tmp_path: Path) -> None:
    path, asked = tmp_path / "page.html", asked_of(made)
    assert asked.shown is not None and asked.compared is not None and asked.at is not None
    page.write(made, path, asked)
    text = path.read_text(encoding="utf-8")
    rows = Elements(text).rows
    for condition, value, needed, passed in asked.shown.table:
        name = f"{moment.MARKS[passed]} {condition_name(condition, 'SPY')} {condition}"
        assert [name, value, moment.takes_text(needed, passed)] in rows
    for line in (*asked.shown.seen, asked.shown.state, *asked.shown.ahead):
        assert escape(line.strip()) in text
    assert escape(asked.compared.question) in text
    for line in (*asked.compared.caveats, *(text for sums in asked.compared.sums for text in sums)):
        assert escape(line) in text
    assert all(list(cells) in rows for cells in asked.compared.rows)
    other = what_if.compare(made, study_of([]), {"A": "1"}, None)
    assert other.answer.startswith("Under that rule: No entry")
    page.write(made, path, asked._replace(compared=other))
    assert escape(other.answer) in path.read_text(encoding="utf-8")


def test_before_the_open_the_whole_session_is_shown() -> None:
    found = shown(study_of([], until=SESSION.open - 60 * SECOND), [])
    assert found.view == (found.opening, found.closing) == (34_200_000, 57_600_000)
    assert (found.start, found.paths) == (found.opening, [])


def test_a_column_takes_the_steps_from_number_to_number() -> None:
    found = packed([240.1, None, 240.25, 240.0], 2)
    assert found == {"digits": 2, "steps": [24_010, None, 15, -25]}
    assert unpacked(found) == [240.1, None, 240.25, 240.0]


def test_every_gate_has_a_colour() -> None:
    kinds = [reason for reasons in GATE_KINDS.values() for reason in reasons]
    assert sorted(kinds) == sorted(DeclineReason)
    assert set(GATE_TEXTS) == set(GATES) == {"open", *GATE_KINDS}
    assert len(palette()) == FIRST_GATE + len(GATES) <= 256
    assert {f"gate-{kind}" for kind in GATES} <= COLOURS.keys()


def test_every_condition_is_read_out_with_its_limit() -> None:
    words = second_words(Rules())
    assert set(CELLS) == set(Condition)
    assert "LIMIT" not in words and "≥ 30 s" in words and "≤ 0.20" in words
    drawn = set(columns_of(levels(study_of([])).lines[0])) | {f"is_{condition}" for condition in Condition}
    assert set(re.findall(r"@(\w+)", words)) <= drawn


def test_without_bokeh_it_says_how_to_install_it() -> None:
    program = (
        "import sys\n"
        "sys.modules['bokeh'] = None\n"
        "from review.page.library import library\n"
        "from review.places import Unusable\n"
        "try:\n"
        "    library()\n"
        "except Unusable as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith(f"--html needs the package bokeh: {entry.remedy(entry.REVIEW_PACKAGES)}")
    assert re.search(r"^bokeh==", (ROOT / done.stdout.split()[-1]).read_text(encoding="utf-8"), re.MULTILINE)


def test_a_file_that_cannot_be_written_is_said(made: Study, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"--html .*/page\.html: there is no folder .*/missing"):
        page.write(made, tmp_path / "missing" / "page.html")
    with pytest.raises(Unusable, match=r"--html .*/page\.html: there is no folder .*/missing"):
        page.check(tmp_path / "missing" / "page.html")
    with pytest.raises(Unusable, match=r": is a folder; give a file name"):
        page.check(tmp_path)
    page.check(tmp_path / "page.html")


def test_a_page_replaces_a_page_and_nothing_else(made: Study, tmp_path: Path) -> None:
    mine = tmp_path / "page.html"
    mine.write_text("<!doctype html>\n<title>Letters</title>\n", encoding="utf-8")
    (tmp_path / "link.html").symlink_to(made.path)
    shutil.copy(made.path, tmp_path / "copy")
    before = {path: path.read_bytes() for path in (mine, made.path, tmp_path / "copy")}
    for path in (*before, made.path.with_name("2025-10-01.jsonl.gz"), tmp_path / "link.html"):
        with pytest.raises(Unusable, match=r"choose another file"):
            page.check(path)
        with pytest.raises(Unusable, match=r"choose another file"):
            page.write(made, path)
    assert {path: path.read_bytes() for path in before} == before
    mine.write_bytes(b"")
    page.write(made, mine)
    first = mine.read_bytes()
    page.write(made, mine)
    assert mine.read_bytes() == first


def test_the_way_of_a_withdrawn_position_ends_where_it_was_withdrawn(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-10), EASY)
    opened = bought(story)
    gone = AlertOutcome(
        kind=AlertKind.BUY, id=opened.id, outcome=Outcome.UNSENT, attempts=3, detail="30 s old"
    )
    story.tell(at(199), gone)
    story.tell(at(2_000), Tick())
    story.journal.close()
    study = read(story.path)
    (path,) = shown(study, []).paths
    assert path.columns["x"][-1] == time_of(study, at(199))
