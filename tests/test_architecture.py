"""Which module may know which, and what a pure module may not touch: read from the source, and tried."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

WORDS = {"errors", "events", "rules", "config", "utils", "timekeeping", "wording"}
RULES = {
    *(
        "windows",
        "price_level",
        "signals",
        "option_pricing",
        "option_quotes",
        "followed",
        "quote_history",
        "contract_selector",
        "risk_manager",
        "lags",
        "gaps",
        "link",
        "progress",
        "telling",
        "sight",
    ),
    *("quotes", "gates", "decisions"),
}
EDGES = {"polygon_client", "alerts", "record", "logger", "delivery", "feeds", "messages"}
ENTRY_POINTS = {"main", "diagnose"}
MODULES = (
    WORDS
    | RULES
    | EDGES
    | ENTRY_POINTS
    | {"engine", "entry", "checks", "worker", "network", "quick_imports", "redaction", "settings", "threads"}
    | {"exchange_calendar", "log_file", "book", "pictures", "terminal"}
)
"""Every module at the top level. The list is closed: a new one needs a place in the picture first."""

ROOMS = {
    "book": {"__init__", "rows", "store"},
    "checks": {
        *("__init__", "check", "installation", "machine", "market_data", "outside", "places", "plan", "push"),
        *("env_file", "init", "keys", "trial"),
        *("questions", "report", "sessions", "settings", "socket_trial", "vendors"),
    },
    "delivery": {
        *("__init__", "account", "acknowledgements", "answers", "attempt", "beside", "channel", "exchange"),
        *("apprise_channel", "apprise_library"),
        *("first_byte", "follow_up", "holds", "lane", "obstacles", "outbox", "pending", "pictures"),
        *("pushover", "questions", "receipts", "second_channel", "sender", "settling", "shared"),
        *("standing", "stop"),
    },
    "feeds": {
        *("__init__", "arrivals", "backfill", "chain", "connection", "exchange", "options", "outlet"),
        *("pacing", "silence", "states", "stocks", "vendor"),
        *("massive/__init__", "massive/bad_input", "massive/body", "massive/dial", "massive/errors"),
        *("massive/headers", "massive/history", "massive/http_client", "massive/lists"),
        *("massive/numbers", "massive/pages", "massive/pieces"),
        *("massive/rest", "massive/rows", "massive/seconds", "massive/socket", "massive/wire"),
    },
    "messages": {"__init__", "alert", "causes", "notices"},
    "pictures": {"__init__", "__main__", "canvas", "chart", "draw", "facts", "gather", "process"},
    "record": {
        *("__init__", "anew", "disk", "folder", "journal", "lease", "lines", "past", "reader", "tail"),
        "upgrade",
    },
    "settings": {"__init__", "faults", "file", "types"},
    "worker": {
        *("__init__", "album", "blocked", "bookkeeper", "context", "days", "ending", "heartbeat", "inbox"),
        *("lease_keeper", "narrator", "notices", "pictures", "records", "session", "start", "starts"),
        *("summary", "switching"),
        *("ticks", "undelivered", "vendor_time", "watch", "watchdog", "worker"),
    },
}
"""Modules of the picture that are packages, and the closed list of what is in each, by its path there."""

PURE_PARTS = {
    *("alerts", "messages/alert", "messages/causes", "messages/notices", "checks/keys", "checks/plan"),
    *("delivery/answers", "delivery/obstacles", "delivery/outbox", "delivery/receipts", "delivery/standing"),
    *("book/rows", "feeds/states", "feeds/massive/numbers", "feeds/massive/seconds"),
    *("pictures/facts", "pictures/gather", "worker/album", "worker/start"),
}
"""Files of packages that judge what they are given, and touch nothing."""

PURE = {"errors", "events", "rules", "timekeeping", "wording", "engine"} | RULES
MAY_IMPORT: dict[str, set[str]] = {
    "entry": set(),
    "quick_imports": set(),
    "errors": set(),
    "events": set(),
    "rules": set(),
    "exchange_calendar": set(),
    "timekeeping": {"events"},
    "utils": {"events", "exchange_calendar", "timekeeping"},
    "settings": set(),
    "config": {"errors", "rules", "settings"},
    "wording": {"events", "rules", "utils"},
    "redaction": set(),
    **dict.fromkeys(RULES, WORDS),
    "price_level": WORDS | {"windows"},
    "quote_history": WORDS,
    "followed": WORDS | {"quote_history"},
    "contract_selector": WORDS | {"option_pricing", "option_quotes"},
    "progress": WORDS | {"lags", "link"},
    "sight": WORDS | {"gaps", "link", "progress", "telling"},
    "signals": WORDS | {"price_level", "windows"},
    "gates": WORDS | {"risk_manager", "sight"},
    "quotes": WORDS | {"option_pricing", "option_quotes", "risk_manager", "sight", "signals"},
    "decisions": WORDS | {"contract_selector", "risk_manager"},
    "engine": WORDS | RULES,
    "book": {"errors"},
    "pictures": WORDS,
    "terminal": set(),
    "network": {"settings"},
    "threads": set(),
    **dict.fromkeys(EDGES, WORDS),
    "log_file": set(),
    "logger": WORDS | {"log_file", "redaction", "terminal"},
    "checks": WORDS | RULES | EDGES | {"entry", "network", "redaction", "settings", "terminal", "worker"},
    "delivery": WORDS | {"messages", "network", "redaction", "settings", "threads"},
    "feeds": WORDS | {"lags", "network", "threads"},
    "record": WORDS | {"threads"},
    "worker": MODULES - ENTRY_POINTS - {"checks"},
    "alerts": WORDS | {"messages"},
    "polygon_client": WORDS | {"feeds", "threads"},
    "main": MODULES - ENTRY_POINTS,
    "diagnose": MODULES - ENTRY_POINTS,
}
IMPURE = {
    *("asyncio", "threading", "multiprocessing", "concurrent", "subprocess", "signal", "selectors", "queue"),
    *("socket", "ssl", "http", "urllib", "httpx", "websockets", "aiohttp", "certifi"),
    *("logging", "structlog", "warnings", "random", "secrets", "uuid", "time", "os", "sys", "io", "pathlib"),
}
"""What decides reads no clock, rolls no dice, does no input or output and starts nothing."""

CLOCK_READS = {
    *("now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "utc_now"),
    *("SystemClock", "ScaledClock", "sleep"),
}
HEAVY = {"numpy", "aiohttp", "bokeh", "pandas", "arch", "scipy", "sim", "review", "research"}
"""What the worker's start must not load: the demo and reports need it, the worker does not."""

DRAWING = {"PIL"}
"""What the process that draws pictures loads, and the worker never."""

DRAWN_WITH = {"__main__", "canvas", "chart", "draw"}
"""The parts of ``pictures`` that only that process loads."""

AFTER_THE_CLOSE = {"sqlite3"}
"""What the worker loads when a session is over, and not before."""


def paths_of(name: str) -> list[Path]:
    """The files of a top-level module or package."""
    return sorted((ROOT / name).rglob("*.py")) if name in ROOMS else [ROOT / f"{name}.py"]


@functools.cache
def tree(name: str) -> ast.Module:
    """The syntax tree of a top-level module; of a package, the trees of its files one after the other."""
    trees = [ast.parse(path.read_text(encoding="utf-8"), filename=str(path)) for path in paths_of(name)]
    return ast.Module([node for part in trees for node in part.body], [])


def imports(node: ast.AST) -> Iterator[str]:
    """The first part of every module that is imported anywhere below ``node``."""
    for item in ast.walk(node):
        if isinstance(item, ast.Import):
            yield from (alias.name.split(".")[0] for alias in item.names)
        elif isinstance(item, ast.ImportFrom):
            yield "." if item.level else (item.module or "").split(".")[0]


@functools.cache
def statements(path: Path) -> ast.Module:
    """A file's imports alone. Kept, because to read a file costs more than any question about it."""
    found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return ast.Module([node for node in found if isinstance(node, (ast.Import, ast.ImportFrom))], [])


def imports_of(path: Path) -> frozenset[str]:
    """The first part of every module that a file imports."""
    return frozenset(imports(statements(path)))


def imports_in(name: str) -> frozenset[str]:
    """The same of a top-level module, or of all files of a package."""
    return frozenset[str]().union(*(imports_of(path) for path in paths_of(name)))


def at_import(module: ast.Module) -> Iterator[str]:
    """What is imported when the module is: everything outside its functions."""
    pending: list[ast.AST] = [module]
    while pending:
        for child in ast.iter_child_nodes(pending.pop()):
            if isinstance(child, (ast.Import, ast.ImportFrom)):
                yield from imports(child)
            elif not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                pending.append(child)


def modules_in(room: str) -> set[str]:
    """Every module of a package by its path there, such as ``massive/rest``."""
    folder = ROOT / room
    return {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.py")}


def test_the_top_level_is_a_closed_list() -> None:
    assert {path.stem for path in ROOT.glob("*.py")} == MODULES - ROOMS.keys()
    for room, modules in ROOMS.items():
        assert modules_in(room) == modules


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_one_way(name: str) -> None:
    ours = imports_in(name) & MODULES - ({name} & ROOMS.keys())
    assert ours <= MAY_IMPORT[name]
    assert "." not in imports_in(name)


@pytest.mark.parametrize("name", sorted(PURE_PARTS))
def test_what_judges_in_a_package_is_pure(name: str) -> None:
    assert not IMPURE & imports_of(ROOT / f"{name}.py")


@pytest.mark.parametrize("name", sorted(MODULES))
def test_only_entry_points_know_the_simulation_and_only_when_asked(name: str) -> None:
    assert not HEAVY & set(at_import(tree(name)))
    if name not in ENTRY_POINTS:
        assert not HEAVY & imports_in(name)


REVIEW = {
    *(
        "__init__",
        "__main__",
        "answer",
        "bars",
        "day_pages",
        "day_rows",
        "days",
        "days_report",
        "derive",
        "ending",
        "fills",
        "funnel",
        "keeper",
        "moment",
        "places",
        "replay",
        "report",
        "screen",
        "study",
        "sums",
    ),
    *("trace", "verify", "what_if", "why"),
    *("days_page/__init__", "days_page/page", "days_page/parts", "days_page/months"),
    *("days_page/running", "days_page/tables"),
    *("page/__init__", "page/page", "page/data", "page/charts", "page/library"),
    *("page/parts", "page/session", "page/asked", "page/trades", "page/tables"),
    *("page/colours", "page/columns", "page/levels", "page/reading"),
    *("watch/__init__", "watch/app", "watch/command", "watch/follow", "watch/frame", "watch/lines"),
    *("watch/plot", "watch/recent", "watch/serve", "watch/source", "watch/watcher"),
}
"""A record read again: a closed list, too."""


def test_a_record_is_read_again_without_the_simulation_and_without_an_entry_point() -> None:
    assert modules_in("review") == REVIEW
    for path in sorted((ROOT / "review").rglob("*.py")):
        found = imports_of(path)
        assert "sim" not in found, path.name
        assert found & MODULES <= MODULES - ENTRY_POINTS, path.name


VENDOR_FOLDERS = sorted(path.parent for path in (ROOT / "feeds").glob("*/__init__.py"))
"""Each vendor's wire. Another vendor is another folder, and the imports of it in ``polygon_client``."""


@pytest.mark.parametrize("folder", VENDOR_FOLDERS, ids=lambda folder: folder.name)
def test_a_vendors_wire_knows_of_the_feeds_only_what_they_want_and_of_no_other_vendor(folder: Path) -> None:
    own = f"feeds.{folder.name}"
    for path in sorted(folder.rglob("*.py")):
        found = {name for name in named(path) if name.startswith("feeds") and not is_in(name, own)}
        assert found <= {"feeds.exchange", "feeds.vendor"}, path


def test_only_the_client_of_a_session_names_a_vendor() -> None:
    rooms = [*(ROOT / room for room in sorted({*ROOMS, "research", "review", "sim"}))]
    paths = [*ROOT.glob("*.py"), *(path for room in rooms for path in room.rglob("*.py"))]
    ours = [path for path in paths if path.parent not in VENDOR_FOLDERS]
    vendors = [f"feeds.{folder.name}" for folder in VENDOR_FOLDERS]
    naming = {path for path in ours for name in named(path) if any(is_in(name, own) for own in vendors)}
    assert naming == {ROOT / "polygon_client.py"}


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def named(path: Path) -> Iterator[str]:
    """Every module that a file imports, by its whole name."""
    for node in statements(path).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."
            if node.module == "pictures":
                yield from (f"pictures.{alias.name}" for alias in node.names)
            if node.module == "feeds":
                yield from (f"feeds.{alias.name}" for alias in node.names)


DAY = ("bars", "chain_rows", "contracts", "episodes", "market", "options", "paths", "pricing", "quoter")
"""The parts of ``sim`` that make a day from a seed: no clock, no input or output."""

VENDORS = {
    *DAY,
    # the market's vendor
    *("account", "actions", "archive", "bar_stream", "broken", "connection", "faults"),
    *("frames", "paging", "quote_stream", "rest", "rest_answers", "rest_chain", "rest_history"),
    *("rest_seconds", "rest_status", "server", "sockets", "tasks", "wire"),
    # the push service
    *("push_account", "push_answers", "push_endpoints", "push_faults", "push_rules", "pushover"),
}
"""The parts of ``sim`` that play the vendors. What they say may not depend on how the worker is built."""

VIRTUAL = {"link", "loop", "network", "transport"}
"""The parts of ``sim`` that take the place of time and of the network."""

SIM = VENDORS | VIRTUAL | {"__init__", "__main__", "demo", "kept", "next_steps", "phone", "serve"}


def test_the_simulated_vendors_know_words_only_and_nothing_in_sim_knows_an_entry_point() -> None:
    assert modules_in("sim") == SIM
    for path in sorted((ROOT / "sim").rglob("*.py")):
        found = imports_of(path) & MODULES
        assert found <= (WORDS if path.stem in VENDORS else MODULES - ENTRY_POINTS), path.name


@pytest.mark.parametrize("name", DAY)
def test_the_simulated_day_is_pure(name: str) -> None:
    found = imports_of(ROOT / "sim" / f"{name}.py")
    assert not IMPURE & found
    assert found <= sys.stdlib_module_names | WORDS | {"msgspec", "numpy", "sim"}


@pytest.mark.parametrize("name", sorted(PURE))
def test_what_decides_is_pure(name: str) -> None:
    module = tree(name)
    assert not IMPURE & imports_in(name)
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            called = f"{node.value.id}.{node.attr}"
            if node.value.id in {"datetime", "date", "time", "utils"}:
                assert node.attr not in CLOCK_READS, f"{name} line {node.lineno}: {called}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input", "exec", "eval"}, (
                f"{name} line {node.lineno}"
            )
        if isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.Global)):
            pytest.fail(f"{name} line {node.lineno}: {type(node).__name__}")
        if isinstance(node, ast.ImportFrom) and node.module in {"utils", "datetime"}:
            assert not {alias.name for alias in node.names} & CLOCK_READS


def test_one_place_reads_the_clock() -> None:
    for name in sorted(MODULES):
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.Attribute) and node.attr in {"time_ns", "utcnow", "now", "today", "time"}:
                owner = node.value
                reads = isinstance(owner, ast.Name) and owner.id in {"time", "datetime", "date"}
                assert not reads or name == "utils", f"{name} line {node.lineno}"


def test_what_an_entry_point_does_first_knows_the_standard_library_only() -> None:
    assert set(imports(tree("entry"))) <= sys.stdlib_module_names


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_reaches_for_the_loops_default_executor(name: str) -> None:
    """Threads are handed in (`threads.Threads`). asyncio's own resolver uses the default one, which main sets."""
    found = {node.attr for node in ast.walk(tree(name)) if isinstance(node, ast.Attribute)}
    assert not found & {"to_thread", "run_in_executor"}


def test_new_york_time_exists_in_one_module() -> None:
    for name in sorted(MODULES - {"utils"}):
        found = imports_in(name)
        assert "zoneinfo" not in found
        assert "holidays" not in found or name == "exchange_calendar"


def test_what_decides_can_be_loaded_without_input_or_output() -> None:
    """Tried, not read: what the pure modules load, through all they import, has no network and no log."""
    program = (
        f"import sys; import {', '.join(sorted(PURE))}\n"
        "bad = {'httpx', 'websockets', 'aiohttp', 'structlog', 'numpy', 'sim', 'logger', 'alerts', 'polygon_client'}\n"
        "print(sorted(bad & set(sys.modules)))"
    )
    assert run(program) == "[]\n"


@pytest.mark.parametrize("name", sorted(ENTRY_POINTS))
def test_the_start_of_an_entry_point_loads_nothing_heavy(name: str) -> None:
    late = HEAVY | DRAWING | AFTER_THE_CLOSE | {"apprise", "requests"}
    program = f"import sys; import {name}; print(sorted({late!r} & {{m.split('.')[0] for m in sys.modules}}))"
    assert run(program) == "[]\n"


def test_only_the_process_that_draws_knows_what_draws() -> None:
    ours = {f"pictures.{part}" for part in DRAWN_WITH}
    rooms = (ROOT / room for room in sorted({*ROOMS, "research", "review"}))
    for path in (*ROOT.glob("*.py"), *(path for room in rooms for path in room.rglob("*.py"))):
        found = {name for name in named(path) if name in ours or name.partition(".")[0] in DRAWING}
        assert not found or (path.parent.name, path.stem) in {("pictures", part) for part in DRAWN_WITH}, path


def run(program: str) -> str:
    """What ``program`` prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_test_patches_our_own_modules() -> None:
    forbidden = ("monkeypatch.setattr", "mock.patch", "unittest.mock", "MagicMock", "mocker.")
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path != Path(__file__):
            text = path.read_text(encoding="utf-8")
            assert not [word for word in forbidden if word in text], path.name


def test_no_tests_name_depends_on_when_it_is_collected() -> None:
    """Workers that collect different names end the whole run, and gzip writes the second it ran in into its bytes."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "gzip.compress" not in text:
            continue
        module = ast.parse(text)
        inside = {
            call
            for node in ast.walk(module)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            for statement in node.body
            for call in ast.walk(statement)
        }
        for node in ast.walk(module):
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) == "gzip.compress"
                and node not in inside
            ):
                names = [keyword.arg for keyword in node.keywords]
                assert "mtime" in names, f"{path.name} line {node.lineno}: gzip.compress without mtime=0"
