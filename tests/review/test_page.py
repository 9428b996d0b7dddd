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
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from events import SECOND, AlertKind, AlertOutcome, DeclineReason, Outcome, Tick
from followed import DELAYS_S, Fate
from review import funnel
from review.answer import answer
from review.keeper import read
from review.page import page
from review.page.data import GATE_KINDS, column, payload
from review.page.library import KINDS_LISTED, library, quick
from review.places import Unusable
from review.study import Study
from tests.builders import SESSION, at
from tests.made_day import Made
from tests.review.browser import clock
from tests.review.pages import HOSTILE, ROOT, hostile_day, made, opened_of, study_of, whole_day, written
from tests.review.studies import EASY, bought
from utils import option_price, signed_percent
from wording import condition_name

__all__ = ["made"]  # fixtures that the tests here use, too


MEGABYTE = 1_000_000


LIMIT_BYTES = 8 * MEGABYTE


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
    data = base64.b64decode(packed["bytes"])
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
    assert told[3] == signed_percent(trade.told_percent)
    assert told[4] == signed_percent(trade.crossed_percent)


def test_every_chart_has_words_for_those_who_cannot_see_it(made: Study, tmp_path: Path) -> None:
    elements = Elements(written(made, tmp_path).read_text(encoding="utf-8"))
    charts = [item for item in elements.all("div") if item.get("role") == "img"]
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
    assert columns["second"] == [(item.start - SESSION.open) // SECOND for item in evaluations]
    assert columns["price"] == pytest.approx([item.price for item in evaluations], rel=1e-7)
    assert columns["volume"] == pytest.approx([item.volume for item in evaluations], rel=1e-7)
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
    assert set(page.GATE_TEXTS) == {"open", *GATE_KINDS}
    style = (ROOT / "review" / "page" / "page.css").read_text(encoding="utf-8")
    light, dark = style.split("@media (prefers-color-scheme: dark)", 1)
    for kind in page.GATE_TEXTS:
        assert f"--gate-{kind}:" in light
        assert f"--gate-{kind}:" in dark


def test_the_library_builds_no_kind_of_chart_that_the_page_does_not_draw() -> None:
    script = str(get_plotlyjs())
    listed = KINDS_LISTED.search(script)
    assert listed is not None and listed[1].count(",") > 40
    quicker = library()
    assert quicker[: listed.start(1)] == script[: listed.start(1)]
    assert quicker.endswith(script[listed.end(1) :])
    assert quicker[listed.start(1) :].split("]", 1)[0] in listed[1].split(",")


@pytest.mark.parametrize(
    "script",
    [
        "",
        'var a=W((b,c)=>{"use strict";c.exports={name:"heatmap"}});',
        "R.register([a(),b()])",
        'var a=W((b,c)=>{"use strict";c.exports={name:"heatmap"}});R.register([b(),d()])',
        'var a=W((b,c)=>{"use strict";c.exports={name:"heatmap"}}),e=W((f,g)=>{"use strict";g.exports=a()});R.register([b(),d()])',
    ],
)
def test_a_library_that_is_built_otherwise_is_left_as_it_is(script: str) -> None:
    assert quick(script) == script


def test_without_plotly_it_says_how_to_install_it() -> None:
    program = (
        "import sys\n"
        "sys.modules['plotly'] = None\n"
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
    assert done.stdout.startswith("--html needs the package plotly: python -m pip install -r ")
    assert re.search(r"^plotly==", (ROOT / done.stdout.split()[-1]).read_text(encoding="utf-8"), re.MULTILINE)


def test_a_file_that_cannot_be_written_is_said(made: Study, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"--html .*/page\.html: there is no folder .*/missing"):
        page.write(made, tmp_path / "missing" / "page.html")
    with pytest.raises(Unusable, match=r"--html .*/page\.html: there is no folder .*/missing"):
        page.check(tmp_path / "missing" / "page.html")
    with pytest.raises(Unusable, match=r": is a folder, takes a file"):
        page.check(tmp_path)
    page.check(tmp_path / "page.html")


def test_a_page_replaces_a_page_and_nothing_else(made: Study, tmp_path: Path) -> None:
    mine = tmp_path / "page.html"
    mine.write_text("<!doctype html>\n<title>Letters</title>\n", encoding="utf-8")
    (tmp_path / "link.html").symlink_to(made.path)
    shutil.copy(made.path, tmp_path / "copy")
    before = {path: path.read_bytes() for path in (mine, made.path, tmp_path / "copy")}
    for path in (*before, made.path.with_name("2025-10-01.jsonl.gz"), tmp_path / "link.html"):
        with pytest.raises(Unusable, match=r"takes another"):
            page.check(path)
        with pytest.raises(Unusable, match=r"takes another"):
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
