"""What the documentation says, held against what it speaks of."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import config
import wording
from events import Condition, ContractRule, DeclineReason, ExitReason, HoldReason
from rules import Rules
from settings.faults import SECRET_NAMES
from tests import diagrams
from tests.builders import missing
from tests.documents import (
    DECIDES,
    DOCUMENTS,
    EXAMPLE,
    EXAMPLE_SECTIONS,
    LOGGING,
    MANUAL,
    PHONE,
    README,
    ROOT,
    SETTINGS_PAGE,
    SETTINGS_TITLE,
    default,
    example_text,
    first_cells,
    read,
    section,
    settings_page,
    settings_table,
)

CI = ROOT / ".ci" / "run"

README_WORDS = 1500
"""The README has at most so many words: the rest goes to docs/."""

PICTURE_BYTES = 150_000

REWRITE = "python -m tests.documents --write"

MADE = "python3 -m venv .venv && .venv/bin/python entry.py && .venv/bin/pip install --quiet -r"
DEMO = f"{MADE} requirements-demo.txt && .venv/bin/python main.py --demo"
TEST = f"{MADE} requirements-dev.txt && .venv/bin/python -m pytest"


# --- Settings ----------------------------------------------------------------------------------------


def test_there_is_one_table_of_settings_and_it_is_right() -> None:
    found = section(read(SETTINGS_PAGE), SETTINGS_TITLE).strip().splitlines()
    assert found == settings_table(), REWRITE
    assert sum(read(name).count(settings_table()[0]) for name in DOCUMENTS) == 1


def test_the_example_names_every_setting_with_its_default() -> None:
    assert example_text() == EXAMPLE, REWRITE
    assert set(EXAMPLE_SECTIONS) <= set(config.variable_names())
    for name in config.variable_names():
        value = default(name)
        assert f"\n{name}=\n" in EXAMPLE if value is None else f"\n# {name}={value}\n" in EXAMPLE


def test_generating_again_changes_nothing() -> None:
    assert settings_page() == read(SETTINGS_PAGE), REWRITE


def test_the_example_can_be_used_as_it_is(tmp_path: Path) -> None:
    keys = {"POLYGON_API_KEY": "k", "PUSHOVER_TOKEN": "a" * 30, "PUSHOVER_USER_KEY": "b" * 30}
    path = tmp_path / ".env"
    path.write_text(EXAMPLE, encoding="utf-8")
    plain = config.load(keys, None)[0]
    assert config.load(keys, path)[0] == plain
    # And with every default written out, nothing changes: each is a value that its setting takes.
    path.write_text(re.sub(r"(?m)^# ([A-Z0-9_]+=)", r"\1", EXAMPLE), encoding="utf-8")
    settings, sources = config.load(keys, path)
    assert settings == plain
    optional = {name for name in config.variable_names() if default(name)}
    assert {name for name, source in sources.items() if source == "file"} == optional


def test_no_document_names_a_setting_that_is_none() -> None:
    known = {*config.variable_names(), *config.ALIASES, "PYTHON_VERSION", "PYTHONUNBUFFERED", "NO_COLOR"}
    for name in re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`", MANUAL):
        assert name in known or name in {"DIAGNOSTIC_LOGGING"}, name


# --- The README --------------------------------------------------------------------------------------


def test_the_readme_stays_short() -> None:
    assert len(README.split()) <= README_WORDS


def test_the_readme_says_first_what_it_is_then_shows_it_then_what_it_costs() -> None:
    titles = re.findall(r"(?m)^## (.+)$", README)
    assert titles[:5] == [
        "What it costs",
        "Try it",
        "Running it for real",
        "Why trust it",
        "What the phone shows",
    ]
    assert "**It never trades.**" in README[: README.index("![")]
    assert README.index("![") < README.index("## What it costs")
    assert "macOS and Linux" in README[: README.index("![")] and "WSL" in README[: README.index("![")]


def test_prices_have_a_date_and_what_is_unsure_is_said() -> None:
    costs = section(README, "## What it costs")
    assert re.search(r"as of \d{1,2} [A-Z][a-z]+ 20\d\d", costs)
    for name in ("Stocks Advanced", "Options Advanced", "Render", "Pushover"):
        assert re.search(rf"(?m)^\| .*{name}.*\$\d", costs), name
    assert "unconfirmed" in costs


@pytest.mark.parametrize("name", ["phone", "page"])
def test_pictures_are_small_and_described(name: str) -> None:
    path = ROOT / "docs" / "images" / f"{name}.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size <= PICTURE_BYTES
    (described,) = re.findall(rf"!\[([^\]]+)\]\(docs/images/{name}\.png\)", README)
    assert len(described.split()) >= 10


def test_vwap_is_said_to_be_the_60_second_one_where_it_first_appears() -> None:
    log_example = README.index("📊 Data feed active")
    assert "VWAP is the 60-second one" in README[log_example - 200 : log_example]
    assert "60-second one" in section(PHONE, "## BUY and SELL in full")
    assert "60-second one" in LOGGING[: LOGGING.index("## ")]


def test_the_demos_market_is_called_simulated() -> None:
    for name in (*DOCUMENTS, ".env.example"):
        assert not re.search(r"\bmade (market|session|day|trading day)\b", read(name)), name


def test_the_readme_leads_to_every_document() -> None:
    linked = set(re.findall(r"\]\(([^)#]+)", README))
    assert linked >= {name for name in DOCUMENTS if name != "README.md"}


def test_the_section_that_the_demo_names_is_there() -> None:
    (title,) = re.findall(r"README\.md, '([^']+)'", read("sim/demo.py"))
    assert section(README, f"## {title}")


def test_the_section_that_the_blueprint_names_is_there() -> None:
    ((name, title),) = re.findall(
        r"reasons for each line are in (\S+\.md), under \"([^\"]+)\"", read("render.yaml")
    )
    assert section(read(name), f"## {title}")


def test_the_section_that_the_list_of_packages_names_is_there() -> None:
    ((page, title),) = re.findall(r"(\S+\.md), \"([^\"]+)\", says how", read("pyproject.toml"))
    assert section(read(page), f"## {title}")


def test_the_manual_says_that_nothing_claims_a_profit() -> None:
    opening, how_it_decides = README[: README.index("```")], DECIDES[: DECIDES.index("\n## ")]
    for text in (opening, section(README, "## Disclaimer"), how_it_decides):
        assert re.search(
            r"Nothing (here|in this repository) claims that the signals make money", " ".join(text.split())
        )


def test_the_two_commands_are_one_line_each() -> None:
    blocks = re.findall(r"```sh\n(.*?)\n```", README, flags=re.DOTALL)
    assert blocks[:2] == [DEMO, TEST]
    assert README.index("**demo**") < README.index(DEMO) < README.index("**test**") < README.index(TEST)


def test_the_checks_run_the_readmes_own_commands() -> None:
    text = CI.read_text(encoding="utf-8")
    assert stat.S_IMODE(CI.stat().st_mode) & 0o111 == 0o111
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    for command in ("ruff format --check .", "ruff check .", "mypy .", "main.py --demo"):
        assert command in text
    # The lines that pick the commands out of the README, tried with the shell that will run them.
    picks = [line for line in text.splitlines() if line.startswith(("test_command=", "demo_command="))]
    script = "\n".join([*picks, 'printf "%s\\n" "$test_command" "$demo_command"'])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.splitlines() == [TEST, DEMO]
    assert subprocess.run(["bash", "-n", str(CI)], timeout=30, check=False).returncode == 0


def test_every_reason_for_no_entry_is_explained() -> None:
    gates = [str(reason) for reason in DeclineReason if reason is not DeclineReason.HELD]
    holds = [f"held ({hold})" for hold in HoldReason]
    assert sorted(first_cells(section(DECIDES, "## Gates"))) == sorted([*gates, *holds])
    rules = [str(rule) for rule in ContractRule]
    assert sorted(first_cells(section(DECIDES, "### Why a call is rejected"))) == sorted(rules)


def test_the_readme_leads_from_no_alert_to_every_table_of_reasons() -> None:
    steps = section(README, "## If you are not seeing BUY alerts")
    for target in ("decides.md#gates", "decides.md#why-a-call-is-rejected", "deploy.md#exit-statuses"):
        assert f"](docs/{target})" in steps


def test_a_condition_has_one_name_beside_its_label() -> None:
    evaluation = missing(Condition.VOLUME_SURGE, vwap_1m=240.55)
    conditions = section(DECIDES, "## Conditions")
    for condition in Condition:
        label = f"{wording.label(condition, evaluation, 'SPY')}="
        name = re.escape(wording.condition_name(condition, "SPY"))
        assert label in wording.conditions_line(evaluation)
        assert re.search(
            rf"(?m)^\| {name}[^|]* \| `{condition}` \| [^|]+ \| `{re.escape(label)}` \|$", conditions
        )
        assert re.search(rf"(?m)^\| `{re.escape(label)}` \| `{condition}` \| ", LOGGING)


def test_every_exit_is_explained() -> None:
    exits = section(DECIDES, "## Exits")
    for reason in ExitReason:
        assert f"\n| {reason[0].upper()}{reason[1:]} |" in exits
    assert (
        "With the defaults VWAP giveback can act before the stop only once peak > 1.0625 × entry, hard giveback once "
        "peak > 1.214 × entry; they sell above entry only past 1.25 × and 1.43 ×."
    ) in exits.replace("\n", " ")


def test_the_figures_about_givebacks_follow_from_the_defaults() -> None:
    rules = Rules()
    stop = 1 - rules.stop_loss_percent / 100
    soft, hard = (1 - rules.tighten_giveback_percent / 100), (1 - rules.max_giveback_percent / 100)
    assert f"{stop / soft:.4f}" == "1.0625"
    assert f"{stop / hard:.3f}" == "1.214"
    assert f"{1 / soft:.2f}" == "1.25"
    assert f"{1 / hard:.2f}" == "1.43"


def test_the_layout_names_what_is_there() -> None:
    named = first_cells(section(read("ARCHITECTURE.md"), "## Layout"))
    assert len(named) == len(set(named))
    for name in named:
        assert (ROOT / name).exists(), name
    assert {f"{path.stem}.py" for path in ROOT.glob("*.py")} <= set(named)
    assert {f"{path.parent.name}/" for path in ROOT.glob("*/__init__.py")} <= {
        f"{name.partition('/')[0]}/" for name in named
    }
    assert set(DOCUMENTS) <= {*named, *(name for name in DOCUMENTS if f"{name.partition('/')[0]}/" in named)}


def anchors(text: str) -> set[str]:
    """The names that the titles of a document can be linked by."""
    titles = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```$", "", text))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_inside_the_repository_lead_somewhere(name: str) -> None:
    here = ROOT / name
    for target in re.findall(r"\]\(([^)]+)\)", read(name)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (here.parent / path).resolve() if path else here
        assert linked.is_relative_to(ROOT.resolve()), target
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked.read_text(encoding="utf-8")), target


def test_the_state_diagrams_are_drawn_from_the_tables() -> None:
    page = diagrams.PAGE.read_text(encoding="utf-8")
    assert re.findall(r"<!-- diagram: ([\w ]+) -->", page) == list(diagrams.TABLES)
    assert diagrams.redrawn(page) == page, "python -m tests.diagrams"


def test_the_architecture_names_files_that_are_there() -> None:
    page = diagrams.PAGE.read_text(encoding="utf-8")
    for name in re.findall(r"`([\w/]+\.(?:py|md)|[\w/]+/)`", page):
        assert (ROOT / name).exists(), name


def push_titles() -> set[str]:
    """The title of every push as far as it does not change, from the source of the texts."""
    parts = [ROOT / "alerts.py", ROOT / "checks" / "questions.py", *sorted((ROOT / "messages").glob("*.py"))]
    source = "\n".join(part.read_text(encoding="utf-8") for part in parts)
    found = re.findall(r'f?"([^"\\]*\{(?:rules\.)?symbol\}[^"\\]*)"', source)
    titles = {re.sub(r"\{(rules\.)?symbol\}", "IWM", text).partition("{")[0] for text in found}
    return {title for title in titles if re.match(r"\W+ IWM(:| 0DTE)", title)}


def test_every_push_is_explained() -> None:
    documented = first_cells(section(PHONE, "## The pushes"))
    titles = push_titles()
    assert len(titles) > 12
    for title in titles:
        assert [row for row in documented if row.startswith(title)], title
    for row in documented:
        assert [title for title in titles if row.startswith(title)], row
    for added in ("`Late 12 s`", "`Repeat of #"):
        assert added in section(PHONE, "## Two lines that may be added")
        assert added in section(README, "## What the phone shows")


def test_the_message_of_the_second_channel_alone_is_explained() -> None:
    source = read("delivery/acknowledgements.py")
    (begins,) = re.findall(r'title = f"([^"{]+)\{span_text', source)
    assert f"`{begins}5m: `" in PHONE


def test_the_examples_are_one_story() -> None:
    """The BUY, the SELL and the lines of the log speak of one position, and their figures follow from each other."""
    assert len(set(re.findall(r"#[0-9a-f]{6}\b", MANUAL))) == 1
    assert len(set(re.findall(r"O:IWM\d{6}C\d{8}", MANUAL))) == 1
    exits = re.findall(
        r"@ \$([\d.]+) \(bid \$([\d.]+)\), entry \$([\d.]+), peak \$([\d.]+), Giveback ([\d.]+)% .*P&L \+([\d.]+)%",
        MANUAL,
    )
    assert len(exits) == 2
    assert len(set(exits)) == 1
    now, bid, entry, peak = map(float, exits[0][:4])
    assert exits[0][4] == f"{(1 - now / peak) * 100:.1f}"
    assert exits[0][5] == f"{(now / entry - 1) * 100:.1f}"
    for text in (
        f"Peak ${exits[0][3]} → Now ${exits[0][0]}",
        f"P&L: +{exits[0][5]}%",
        f"Bid ${exits[0][1]}×52 (+{(bid / entry - 1) * 100:.1f}%)",
        f"Entry ~${exits[0][2]} (",
        f"Entry ${exits[0][2]} at",
    ):
        assert text in PHONE


@pytest.mark.parametrize("name", [*DOCUMENTS, ".env.example", "LICENSE"])
def test_documents_are_tidy(name: str) -> None:
    text = read(name)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    assert text.count("```") % 2 == 0


# --- The deployment ----------------------------------------------------------------------------------

FORBIDDEN_MOUNTS = {
    *("/", "/opt", "/opt/render", "/opt/render/project", "/opt/render/project/src"),
    *("/home", "/home/render", "/etc", "/etc/secrets"),
}


def blueprint() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "render.yaml").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def test_the_blueprint_runs_one_worker_on_a_disk() -> None:
    (service,) = blueprint()["services"]
    assert service["type"] == "worker"
    assert service["name"] == "iwm-momentum-system"
    assert service["branch"] == "IWM-MAIN"
    assert service["runtime"] == "python"
    assert service["numInstances"] == 1
    assert service["autoDeployTrigger"] == "off"
    assert blueprint()["previews"]["generation"] == "off"
    assert service["buildCommand"] == "pip install -r requirements.txt"
    assert service["startCommand"] == "python main.py"
    assert 25 < service["maxShutdownDelaySeconds"] <= 300
    assert service["disk"]["sizeGB"] == 1
    assert service["disk"]["mountPath"] == "/var/data"
    assert service["disk"]["mountPath"] not in FORBIDDEN_MOUNTS


def test_the_blueprints_variables_are_settings_and_hold_no_secret() -> None:
    (service,) = blueprint()["services"]
    variables = {item["key"]: item for item in service["envVars"]}
    mount = Path(service["disk"]["mountPath"])
    for name in ("DATA_DIR", "LOG_FILE"):
        assert Path(variables[name]["value"]).is_relative_to(mount)
    assert re.fullmatch(r"3\.(1[1-9])\.\d+", str(variables["PYTHON_VERSION"]["value"]))
    assert variables["PYTHONUNBUFFERED"]["value"] == "1"
    platform = {"PYTHON_VERSION", "PYTHONUNBUFFERED", "NO_COLOR"}
    assert set(variables) - platform <= set(config.variable_names())
    required = {name for name in config.variable_names() if default(name) is None}
    assert required <= set(variables)
    for name in set(variables) & SECRET_NAMES:
        assert variables[name] == {"key": name, "sync": False}
    # What is not secret is a value that the settings take.
    given = {name: str(item["value"]) for name, item in variables.items() if "value" in item}
    keys = {"POLYGON_API_KEY": "k", "PUSHOVER_TOKEN": "a" * 30, "PUSHOVER_USER_KEY": "b" * 30}
    assert config.load({**keys, **given}, None)[0].data_dir == mount


def test_no_secret_file_can_be_committed() -> None:
    ignored = subprocess.run(
        [
            "git",
            "check-ignore",
            ".env",
            "data/x",
            "iwm_momentum.log",
            "iwm_momentum.log.1",
            ".venv-runtime/x",
            "uv.lock",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        check=False,
    )
    if ignored.returncode == 128:
        pytest.skip("not a git checkout")
    assert len(ignored.stdout.splitlines()) == 6
