"""The page: what stands in its file."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shutil
import struct
import subprocess
import sys
import zlib
from html import escape
from html.parser import HTMLParser
from itertools import accumulate
from pathlib import Path

import pytest
from msgspec.structs import replace

from events import SECOND, AlertKind, AlertOutcome, DeclineReason, Outcome, Tick
from followed import DELAYS_S, Fate, dollars_text, headline
from review import funnel, moment, what_if
from review.answer import answer
from review.keeper import read
from review.page import page
from review.page import tables as page_tables
from review.page.data import GATE_KINDS, column, payload, steps
from review.page.session import GATE_TEXTS
from review.places import Unusable
from review.study import Seen, Study
from rules import Rules
from tests.builders import SESSION, at
from tests.made_day import Made
from tests.review.browser import clock
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


def unpacked(packed: dict[str, str]) -> list[float]:
    """A column's numbers."""
    letters = {"f4": "f", "u4": "I", "u2": "H", "u1": "B"}
    data = zlib.decompress(base64.b64decode(packed["bytes"]))
    form = letters[packed["type"]]
    return list(struct.unpack(f"<{len(data) // struct.calcsize(form)}{form}", data))


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
    assert len(elements.scripts) == 3
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]
    data = json.loads(elements.scripts[0])
    assert data["trades"][0]["id"] == "</script><i>"
    assert "<" not in elements.scripts[0]
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
    for name, shown in (
        ("session", "Seconds of the session"),
        ("evaluated", "evaluated as they came"),
        ("fired", "BUY"),
    ):
        step = steps[name]
        assert [shown, f"{step.left:,}"] in [row[:2] for row in rows]
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


def test_the_columns_hold_what_was_evaluated(made: Study) -> None:
    data = payload(made, funnel.misses(made))
    columns = {name: unpacked(packed) for name, packed in data["rows"].items()}
    evaluations = [seen.evaluation for seen in made.seen]
    seconds = [(item.start - SESSION.open) // SECOND for item in evaluations]
    assert columns["steps"] == list(steps(seconds))
    assert list(accumulate(columns["steps"])) == seconds
    assert columns["price"] == pytest.approx([item.price for item in evaluations], rel=1e-7)
    assert columns["volume"] == [round(item.volume) for item in evaluations]
    undefined = [item.volume_p95 is None for item in evaluations]
    assert [math.isnan(value) for value in columns["volume_p95"]] == undefined
    for item, passes, counts in zip(evaluations, columns["passes"], columns["counts"], strict=True):
        for place, passed in enumerate(item.passes):
            assert bool(int(counts) >> place & 1) is (passed is not None)
            assert bool(int(passes) >> place & 1) is (passed is True)
    names = [gate["name"] for gate in data["gates"]]
    for seen, gate in zip(made.seen, columns["gate"], strict=True):
        stopped = funnel.stopped_by(seen)
        assert names[int(gate)] == ("open" if stopped is None else stopped.value)
    assert clock(data["opening"]) == "09:30:00"


def test_the_bars_and_the_average_of_the_session_are_those_that_are_known(made: Study) -> None:
    columns = {name: unpacked(packed) for name, packed in payload(made, [])["bars"].items()}
    bars = [bar for bar in made.bars if bar is not None]
    seconds = list(accumulate(columns["steps"]))
    assert seconds == [second for second, bar in enumerate(made.bars) if bar is not None]
    for name in ("open", "high", "low", "close"):
        assert columns[name] == pytest.approx([getattr(bar, name) for bar in bars], rel=1e-7)
    for place in (0, 100, len(bars) - 1):
        paid = sum(bar.vwap * bar.volume for bar in bars[: place + 1])
        shares = sum(bar.volume for bar in bars[: place + 1])
        assert columns["day"][place] == pytest.approx(paid / shares, abs=0.001)


def test_a_session_without_a_share_has_no_average() -> None:
    study = study_of([Seen(at(2_003), replace(evaluation(2_000, 215.0), volume=0.0), False, "", None)])
    assert math.isnan(unpacked(payload(study, [])["bars"]["day"])[0])


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
    data = payload(study_of([], until=SESSION.open - 60 * SECOND), [])
    assert (data["seconds"], data["start"]) == (23_400, 0)
    assert unpacked(data["rows"]["price"]) == data["trades"] == []


def test_a_column_that_a_number_does_not_fit_in_is_an_error() -> None:
    assert unpacked(column("u1", [0, 255])) == [0, 255]
    with pytest.raises(OverflowError):
        column("u1", [256])


def test_every_gate_has_a_colour() -> None:
    kinds = [reason for reasons in GATE_KINDS.values() for reason in reasons]
    assert sorted(kinds) == sorted(DeclineReason)
    assert set(GATE_TEXTS) == {"open", *GATE_KINDS}
    style = (ROOT / "review" / "page" / "page.css").read_text(encoding="utf-8")
    light, dark = style.split("@media screen and (prefers-color-scheme: dark)", 1)
    for kind in GATE_TEXTS:
        assert f"--gate-{kind}:" in light
        assert f"--gate-{kind}:" in dark


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
    assert done.stdout.startswith(f"--html needs the package bokeh: {sys.executable} -m pip install -r ")
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
    (trade,) = payload(read(story.path), [])["trades"]
    assert trade["from"] < trade["to"] == 199
