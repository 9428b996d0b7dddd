"""The page: what stands in its file, and, where a Chromium is installed, what a browser makes of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from msgspec.structs import replace
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]
from websockets.asyncio.client import ClientConnection, connect

from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Condition,
    DeclineReason,
    Evaluation,
    FeedCause,
    Opened,
    Outcome,
    Tick,
)
from review import fills, funnel
from review.page import page
from review.page.data import GATE_KINDS, column, payload
from review.page.library import KINDS_LISTED, library, quick
from review.page.tables import condition_name
from review.places import Unusable
from review.study import Blind, Down, DownCause, MarkPoint, Seen, Study, read
from rules import Rules
from tests.builders import SESSION, at
from tests.made_day import BEGIN_S, END_S, Made
from tests.test_sim_study import EASY, bought
from utils import option_price, signed_percent

ROOT = Path(__file__).parent.parent
MEGABYTE = 1_000_000
LIMIT_BYTES = 8 * MEGABYTE

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
in_a_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed here (apt-get install chromium)"
)

# --- Studies -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A made session with one BUY and one SELL, and a near miss long before: the others are followed by the BUY."""
    story = Made(tmp_path_factory.mktemp("record") / f"{SESSION.date}.jsonl")
    story.start(at(BEGIN_S))
    story.go(0, BEGIN_S, END_S)
    story.journal.close()
    study = read(story.path)
    surge = list(Condition).index(Condition.VOLUME_SURGE)
    near, row = next(
        (place, row)
        for place, row in enumerate(study.seen)
        if row.evaluation.start > at(END_S - 300) and row.evaluation.passes[surge] is False
    )
    passes = tuple(place != surge for place in range(len(Condition)))
    study.seen[near] = row._replace(evaluation=replace(row.evaluation, passes=passes, gate=None))
    return study


def evaluation(
    second: int, price: float, *, passes: int = 0, gate: DeclineReason | None = None
) -> Evaluation:
    """An evaluation at which the conditions hold whose bits are set in ``passes``."""
    return Evaluation(
        start=at(second),
        symbol="IWM",
        price=price,
        vwap_1m=price - 0.1,
        vwap_5m=price - 0.2,
        vwap_5m_change=0.01,
        vwap_distance=0.05,
        vwap_rising_s=40,
        volume=500.0 + second % 997,
        volume_p95=1_400.5,
        volume_z=0.3,
        momentum=0.002,
        relative_volume=1.4,
        roc5=0.1,
        benchmark_roc5=0.12,
        passes=tuple(bool(passes >> place & 1) for place in range(len(Condition))),
        gate=gate,
    )


def study_of(seen: list[Seen], until: int = SESSION.close) -> Study:
    """A study that was not read from a record."""
    rules = Rules()
    return Study(
        path=Path(f"{SESSION.date}.jsonl"),
        session=SESSION,
        rules=rules,
        starts=[SESSION.open],
        rules_by_start=[rules],
        digests=[rules.digest()],
        odd=[],
        torn=0,
        until=until,
        asked_at=until,
        seen=seen,
        closes=[item.evaluation.price for item in seen],
        trades=fills.Trades(),
    )


def whole_day(opened: Opened) -> Study:
    """Every second of a session, and a dozen positions of a quarter of an hour with four marks a second."""
    gates = [None, DeclineReason.WARM_UP, DeclineReason.COOLDOWN, DeclineReason.POSITION_OPEN]
    seen = [
        Seen(
            at(second + 3),
            evaluation(second, 240 + second % 613 / 100, passes=second % 128, gate=gates[second // 600 % 4]),
            False,
            "",
            None,
        )
        for second in range(23_400)
    ]
    study = study_of(seen)
    for number in range(12):
        begin = at(900 + number * 1_800)
        trade = replace(opened, id=f"{number:06x}")
        study.trades.learn(begin, Tick(), [trade])
        study.marks[trade.id] = [
            MarkPoint(
                begin + step * SECOND // 4,
                opened.mid + step % 97 * 50,
                opened.mid + step,
                5_000 + step,
                6_000 + step,
            )
            for step in range(3_600)
        ]
    return study


HOSTILE = "O:</script><img src=x onerror=alert(1)>\u2028&'\""


def hostile_day(opened: Opened) -> Study:
    """A trade whose texts would be dangerous if a page took them as they are."""
    study = study_of([Seen(at(2_000), evaluation(1_997, 215.0, passes=127), False, "", None)])
    trade = replace(opened, id="</script><i>", contract=HOSTILE)
    study.trades.learn(at(2_000), Tick(), [trade])
    study.marks[trade.id] = [MarkPoint(at(2_000), opened.mid, opened.mid, 1, 2)]
    study.odd.append(f"rule {HOSTILE} is unknown")
    study.path = Path(f"{HOSTILE.replace('/', '')}.jsonl")
    return study


# --- The file ----------------------------------------------------------------------------------------


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


def written(study: Study, folder: Path) -> Path:
    """The study's page on disk."""
    path = folder / "page.html"
    page.write(study, path)
    return path


def opened_of(study: Study) -> Opened:
    """The first BUY of a study."""
    return study.trades.all[0].opened


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
    assert f"<h1>{escape(funnel.answer(made), quote=True)}</h1>" in text
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
    late = fills.fills(trade, made.trades.quotes)
    cells = next(row for row in rows if row[0] == f"#{trade.opened.id}")[1:]
    assert len(cells) == len(late) == 5
    for cell, fill in zip(cells, late, strict=True):
        assert fill.percent is not None and fill.paid is not None and fill.got is not None
        paid = option_price(fill.paid) + "*" * fill.is_over_limit
        assert cell == f"{signed_percent(fill.percent)} | {paid} → {option_price(fill.got)}"
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


def clock(second: int) -> str:
    """A second of the day as a clock shows it."""
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


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


# --- In a browser ------------------------------------------------------------------------------------


class Tab:
    """A page in a browser, driven by the browser's own debugging protocol."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._session = ""
        self._count = 0
        self.faults: list[str] = []
        self.requests: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser for something; what it reports meanwhile is kept."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        await self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(await self._connection.recv())
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._keep(answer.get("method"), answer.get("params", {}))

    def _keep(self, method: str | None, said: dict[str, Any]) -> None:
        match method:
            case "Runtime.exceptionThrown":
                self.faults.append(json.dumps(said["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.faults.append(json.dumps(said["args"]))
            case "Log.entryAdded":
                self.faults.append(said["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(said["request"]["url"])
            case _:
                pass

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression, or of what it promises."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def open(self, path: Path, *, width: int = 1280, scheme: str = "light", zone: str = "UTC") -> None:
        """Show a file on such a screen, and wait until its charts are drawn or cannot be."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 700,
        )
        await self.call(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        await self.call("Emulation.setTimezoneOverride", timezoneId=zone)
        await self.call("Page.navigate", url=path.as_uri())
        await self.evaluate(DRAWN)


DRAWN = """new Promise((done) => {
  const look = () => {
    const failed = document.getElementById("failed");
    const drawn = document.documentElement && document.documentElement.dataset.drawn;
    if (drawn || (failed && failed.textContent)) done(true);
    else setTimeout(look, 20);
  };
  look();
})"""

PATIENCE_S = 90


@asynccontextmanager
async def browser() -> AsyncIterator[Tab]:
    """A browser that can reach nothing, and ends with the test."""
    assert CHROMIUM is not None
    with TemporaryDirectory(ignore_cleanup_errors=True) as home:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-port=0"),
            *(f"--user-data-dir={home}", "about:blank"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                assert process.stderr is not None
                address = await _address(process.stderr)
                async with connect(address, max_size=None, compression=None) as connection:
                    yield Tab(connection)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _address(errors: asyncio.StreamReader) -> str:
    """Where the browser listens: it says so once it does."""
    async for line in errors:
        if found := re.search(rb"ws://\S+", line):
            return found[0].decode()
    pytest.fail("the browser ended before it listened")


BOXES = """[...document.querySelectorAll("%s")].map((item) => {
  const box = item.getBoundingClientRect();
  return [item.textContent, box.left, box.right, box.top, box.bottom];
})"""


async def labels_are_apart(tab: Tab, chart: str) -> list[str]:
    """No label of a chart's axes touches another. Returns those of its time axis."""
    times: list[str] = []
    for axis, start, end in (("x", 1, 2), ("y", 3, 4), ("y2", 3, 4), ("y3", 3, 4)):
        boxes = await tab.evaluate(BOXES % f"{chart} .{axis}tick text")
        boxes.sort(key=lambda box: box[start])
        for before, after in pairwise(boxes):
            assert before[end] <= after[start] + 1, (chart, axis, before, after)
        if axis == "x":
            times = [box[0] for box in boxes]
    return times


async def traces(tab: Tab, chart: str) -> list[int]:
    """How many drawn lines and marks, and how many drawn images a chart has."""
    found = [f"{chart} .scatterlayer .trace", f"{chart} .heatmaplayer image"]
    return [await tab.evaluate(f"document.querySelectorAll('{item}').length") for item in found]


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


SLIDER = "document.querySelector('#session-chart [role=slider]')"
VIEW = f"[{SLIDER}.ariaValueMin, {SLIDER}.ariaValueMax].map(Number)"
READING = "document.getElementById('reading-line').textContent"
NOTE = "document.getElementById('reading-note').textContent"
CELLS = (
    "[...document.querySelectorAll('#reading-cells div')].map((cell) => [cell.className, cell.textContent])"
)


async def press(tab: Tab, key: str) -> None:
    """Press a key."""
    await tab.call("Input.dispatchKeyEvent", type="keyDown", key=key)
    await tab.call("Input.dispatchKeyEvent", type="keyUp", key=key)


async def drag(tab: Tab, start: float, end: float) -> None:
    """Drag over the session's chart, from one share of its width to another."""
    box = await tab.evaluate(
        f"(({{ left, width, top }}) => [left, width, top])({SLIDER}.getBoundingClientRect())"
    )
    kinds = (
        ("mousePressed", start),
        ("mouseMoved", (start + end) / 2),
        ("mouseMoved", end),
        ("mouseReleased", end),
    )
    for kind, share in kinds:
        x, y = box[0] + box[1] * share, box[2] + 40
        await tab.call(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1
        )


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
        assert (
            await tab.evaluate(NOTE) == f"{clock(34_200 + start)} ○ Near miss: {funnel.misses(made)[0].text}"
        )
        cells = await tab.evaluate(CELLS)
        failed = list(Condition).index(funnel.misses(made)[0].condition)
        assert [place for place, (kind, _) in enumerate(cells) if kind == "no"] == [failed]
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
