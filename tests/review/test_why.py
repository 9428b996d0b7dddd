"""``diagnose.py why``: the command, its report, and which record it answers from."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from events import SECOND, AlertKind, AlertOutcome, Condition, ContractRule, FeedRestored, Outcome
from review.answer import answer
from review.keeper import read
from review.report import as_json, report
from review.study import Study
from review.why import main
from tests.builders import at
from tests.made_day import Made
from tests.measured import measured
from tests.review.days import EVENING, ROOT, SURGE, day, folder, run, whole
from tests.review.studies import EASY, bought, seen

__all__ = ["day", "folder"]  # fixtures that the tests here use, too


def test_the_report_of_a_day(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "2025-10-02", "--data-dir", folder)
    assert (status, err) == (0, "")
    assert out.startswith("1 BUY on 2 Oct. ")
    for text in (
        "Session 2025-10-02, 09:30–16:00 ET; nothing was recorded after 10:",
        "How many seconds of the session passed each step",
        "  session                     23,400      100.0%   100.0%",
        "  five_minute_vwap ",
        "  gate: position open ",
        " signals\n",
        "  fired                            1 ",
        "Stopped none: session closed, held, ",
        "How often each condition failed in the ",
        "\n  five_minute_vwap  5-minute VWAP ",
        "\n  spy_lag           SPY lag ",
        "alone, every gate open",
        "(every gate open, exactly one condition not met)",
        "Gaps (",
        "  09:30:00–10:05:30  35m30s  not running: not started yet",
        "Entries (in at the BUY's ask, out at the SELL's bid, one contract)",
        "  10:07:03 → 10:",
    ):
        assert text in out, text
    path = folder / "sessions" / "2025-10-02.jsonl"
    assert f"\n  python -m review replay {shlex.quote(str(path))}\n" in out


def test_the_report_for_machines(folder: Path, day: Study, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "2025-10-02", "--data-dir", folder, "--json", "--at", "10:07:01")
    assert status == 0
    found = json.loads(out)
    assert found["answer"] == answer(day)
    assert found["in_progress"] is False and found["session"] == "2025-10-02"
    assert found["funnel"][0] == {"kind": "second", "name": "session", "left": 23_400, "lost": 0}
    assert found["funnel"][-1]["name"] == "fired" and found["funnel"][-1]["left"] == 1
    assert {item["condition"] for item in found["conditions"]} == {condition.value for condition in Condition}
    assert found["near_misses"] == [] and found["near_misses_before_a_buy"] == 1
    assert found["not_running"][0]["cause"] == "not started yet"
    assert found["entries"][0]["priced"] is True
    assert found["at"]["second"] == "2025-10-02T14:07:01Z"


@pytest.mark.parametrize(("after", "is_miss"), [(1, False), (60, False), (61, True)])
def test_a_near_miss_that_a_buy_follows_within_a_minute_is_left_out_and_counted(
    tmp_path: Path, after: int, is_miss: bool
) -> None:
    fired = seen(700 + after)._replace(decision="Opened")
    study = whole(tmp_path / "r", seen(500, SURGE), seen(700, SURGE), fired)
    every = "every gate open, exactly one condition not met"
    shown = (
        f"The nearest of 2 near misses ({every})"
        if is_miss
        else f"The only near miss ({every}; 1 that a BUY followed within 60 s is left out)"
    )
    assert shown in " ".join(report(study))
    none = whole(tmp_path / "n", seen(700, SURGE), seen(701)._replace(decision="Opened"))
    assert "not met): none; 1 that a BUY followed within 60 s is left out." in " ".join(report(none))


def test_what_made_signals_find_no_contract_and_other_decisions_of_this_version_are_told(
    tmp_path: Path,
) -> None:
    study = whole(tmp_path / "r", seen(700))
    assert not any("Rejected contracts" in line or "other decisions" in line for line in report(study))
    study.fallen.update({ContractRule.DELTA: 4, ContractRule.SPREAD: 1_200})
    study.differing = 3
    told = " ".join(report(study))
    assert "by the first rule they failed   spread 1,200, delta 4" in told
    assert "⚠️ 3 facts lead to other decisions in this version than they did then." in told


def test_a_condition_that_the_rules_do_without_is_said_to_be_switched_off(tmp_path: Path) -> None:
    row = seen(700)
    passes = tuple(None if condition is Condition.SPY_LAG else True for condition in Condition)
    study = whole(tmp_path / "r", row._replace(evaluation=replace(row.evaluation, passes=passes)))
    found = [line.split() for line in report(study) if line.endswith("  switched off in the rules")]
    assert [line[0] for line in found] == ["spy_lag", "spy_lag"]  # of the steps, and of the failures


def test_near_misses_are_told_to_machines_with_what_was_measured(tmp_path: Path) -> None:
    study = whole(
        tmp_path / "r",
        seen(700, SURGE, volume=3_000.0),
        seen(701, SURGE, volume=3_800.0),
        seen(800, Condition.SPY_LAG, benchmark_roc5=None),
    )
    nearest, unmeasured = json.loads(as_json(study, {}))["near_misses"]
    assert nearest == {
        "start": "2025-10-02T13:41:40Z",
        "end": "2025-10-02T13:41:42Z",
        "nearest": "2025-10-02T13:41:41Z",
        "condition": "volume_surge",
        "value": 3_800.0,
        "threshold": 4_000.0,
        "ratio": pytest.approx(0.05),
        "text": "volume 3,800, needed 4,000: 5% short",
    }
    assert (unmeasured["value"], unmeasured["threshold"], unmeasured["ratio"]) == (None, None, None)
    assert unmeasured["text"] == "no SPY"


def test_one_second_from_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "2025-10-02", "--data-dir", folder, "--at", "10:05")
    assert status == 0
    assert out.startswith("10:05:00: no BUY: not evaluated, the program was not running")
    assert out.splitlines()[-1] and "1 BUY on 2 Oct" in out


def test_a_vendors_text_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-10), EASY)
    opened = bought(story)
    detail = "400: \x1b[2Jnot\u202e valid"
    story.tell(
        at(199),
        AlertOutcome(kind=AlertKind.BUY, id=opened.id, outcome=Outcome.REFUSED, attempts=1, detail=detail),
    )
    story.journal.close()
    status, out, _ = run(capsys, "--data-dir", story.path)
    assert status == 0 and "\\x1b[2Jnot\\u202e valid" in out
    assert "\x1b" not in out and "\u202e" not in out


@pytest.mark.parametrize("arguments", [["--at", "25:00"], ["2025-02-30"], ["tomorrow"], ["--at"], ["--wat"]])
def test_bad_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments, EVENING)
    assert ended.value.code == 2
    assert "usage: python diagnose.py why" in capsys.readouterr().err


def test_a_record_in_the_place_of_the_date_is_told_where_it_belongs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["data/sessions/2025-10-02.jsonl.gz"], EVENING)
    assert "(a record is named by --data-dir)" in capsys.readouterr().err


def test_a_restart_with_other_rules_is_named_in_the_heading(tmp_path: Path) -> None:
    story = Made(tmp_path / "record.jsonl")
    story.start(at(-10))
    story.tell(at(-9), FeedRestored())
    story.start(at(5), EASY)
    story.tell(at(6), FeedRestored())
    story.journal.close()
    study = read(story.path)
    first, second = (rules.digest() for rules in study.rules_by_start)
    assert first != second and f"; rules {first}, then {second}" in " ".join(report(study)[1:3])


def test_a_day_without_a_session_is_an_answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--data-dir", folder)
    assert run(capsys, "2025-10-04", *place)[:2] == (
        0,
        "No alert on Sat 4 Oct 2025: the exchange was closed, it was a weekend.\n",
    )
    assert run(capsys, "2025-11-27", *place)[:2] == (
        0,
        "No alert on Thu 27 Nov 2025: the exchange was closed, it was a holiday.\n",
    )
    status, out, _ = run(capsys, "2025-10-06", *place)
    assert status == 0 and out.startswith(
        "No alert on Mon 6 Oct 2025 yet: its session opens Mon 06 Oct 09:30"
    )
    status, out, _ = run(capsys, "2025-10-04", *place, "--json")
    assert json.loads(out)["answer"].endswith("it was a weekend.")


def test_no_record(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "2025-10-01", "--data-dir", folder)
    assert (status, out) == (1, "")
    said = " ".join(err.split())
    assert "no record of Wed 1 Oct 2025 in" in said and "the program was not running in that session" in said
    assert "Records: 2025-10-02." in said
    (tmp_path / "sessions").mkdir()
    for number in range(10, 20):
        (tmp_path / "sessions" / f"2025-09-{number}.jsonl").touch()
    _, _, err = run(capsys, "2025-10-01", "--data-dir", tmp_path)
    assert "2025-09-18, 2025-09-19, and 2 older." in " ".join(err.split())
    status, _, err = run(capsys, "--data-dir", tmp_path / "none")
    assert status == 1 and "none: no such folder. Give the folder that DATA_DIR names" in " ".join(
        err.split()
    )
    (tmp_path / "empty").mkdir()
    status, _, err = run(capsys, "--data-dir", tmp_path / "empty")
    assert status == 1 and "has not run in a session yet" in " ".join(err.split())


def test_which_record_without_a_date(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "--data-dir", folder)
    assert out.startswith("1 BUY on 2 Oct")
    _, out, _ = run(capsys, "--data-dir", folder / "sessions")
    assert out.startswith("1 BUY on 2 Oct")
    _, out, _ = run(capsys, "--data-dir", folder / "sessions" / "2025-10-02.jsonl")
    assert out.startswith("1 BUY on 2 Oct")
    _, out, _ = run(capsys, "--data-dir", folder, now=at(24 * 3_600 + 60))
    first = " ".join(out.split("\n1 BUY")[0].split())
    assert (
        first == "Today (2025-10-03) has no record: this is the newest."
    )  # nobody expects today's in a folder that is named
    _, out, _ = run(capsys, "--data-dir", folder, now=at(24 * 3_600 - 60))
    assert "Today's session has not opened yet." in " ".join(out.split())
    _, out, _ = run(capsys, "--data-dir", folder, now=at(48 * 3_600))
    assert "The exchange is closed today." in " ".join(out.split())


def test_the_session_in_progress(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = (folder / "sessions" / "2025-10-02.jsonl").read_bytes()
    lines = data.splitlines(keepends=True)
    opened = next(index for index, line in enumerate(lines) if b'"type":"opened"' in line)
    path = tmp_path / "sessions" / "2025-10-02.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"".join(lines[:opened]) + lines[opened][:40])  # the line of the BUY is half written
    _, out, _ = run(capsys, "--data-dir", tmp_path)
    assert "The record's last line is incomplete (40 bytes)" in out
    until = read(path).until
    status, out, _ = run(capsys, "--data-dir", tmp_path, now=until + 2 * SECOND)
    assert status == 0
    assert out.startswith("No entry on 2 Oct so far (until 10:07:0")
    assert ", in progress: until 10:07:0" in out and "torn" not in out
    status, out, _ = run(capsys, "--data-dir", tmp_path, now=until + 400 * SECOND)
    assert ", in progress, but nothing has been recorded since 10:07:0" in " ".join(out.split())
    assert re.search(
        r"Nothing has been recorded since 10:07:0\d ET: is the program running\?", " ".join(out.split())
    )
    assert "not running: killed or crashed, or its record was off" in " ".join(out.split())


def test_a_damaged_record(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray((folder / "sessions" / "2025-10-02.jsonl").read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "2025-10-02.jsonl"
    path.write_bytes(data)
    status, out, err = run(capsys, "--data-dir", path)
    assert (status, out) == (1, "") and "the line's checksum is wrong" in " ".join(err.split())
    path.write_bytes(b"")
    status, _, err = run(capsys, "--data-dir", path)
    assert status == 1 and "no header" in " ".join(err.split())


def test_a_record_of_another_day_than_its_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sessions" / "2025-10-01.jsonl"
    path.parent.mkdir()
    path.write_bytes((folder / "sessions" / "2025-10-02.jsonl").read_bytes())
    for asked in (["2025-10-01"], []):
        status, _, err = run(capsys, *asked, "--data-dir", tmp_path)
        assert status == 1 and "holds the session of 2025-10-02, not of 2025-10-01" in " ".join(err.split())
    assert run(capsys, "--data-dir", path)[0] == 0  # a file that is named may have any name
    assert run(capsys, "2025-10-02", "--data-dir", path)[0] == 0  # but not another date than is asked for
    status, out, err = run(capsys, "2025-10-03", "--data-dir", path)
    assert (status, out) == (1, "") and "not of 2025-10-03" in " ".join(err.split())
    (path.parent / "zebra.jsonl").touch()
    assert "not of 2025-10-01" in " ".join(run(capsys, "--data-dir", tmp_path)[2].split())


def test_data_dir_comes_from_the_settings_without_keys(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "canary0key0canary0key0canary00"
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_DIR", raising=False)
    (tmp_path / ".env").write_text(f"DATA_DIR={folder}\nPUSHOVER_TOKEN={secret}\n")
    status, out, err = run(capsys, "2025-10-02")
    assert status == 0 and out.startswith("1 BUY on 2 Oct") and secret not in out + err
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert run(capsys, "2025-10-02")[0] == 1
    (tmp_path / ".env").write_text("STOP_LOSS_PERCENT=x\n")
    status, _, err = run(capsys, "2025-10-02")
    assert status == 2 and "STOP_LOSS_PERCENT" in err


def test_the_page_is_written(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("bokeh")
    page = tmp_path / "why.html"
    status, out, _ = run(capsys, "--data-dir", folder, "--html", page)
    assert status == 0 and "Written: " in out
    assert page.read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    status, _, err = run(capsys, "--data-dir", folder, "--html", tmp_path / "none" / "why.html")
    assert status == 2 and "there is no folder" in " ".join(err.split())


def test_the_answer_is_the_same_whatever_the_machine_is(folder: Path) -> None:
    """Through diagnose.py, in other time zones and languages, with output that is piped."""
    answers = []
    for world in ({"TZ": "Asia/Tokyo", "LC_ALL": "C"}, {"TZ": "America/New_York", "PYTHONHASHSEED": "3"}):
        done = subprocess.run(
            [
                sys.executable,
                "diagnose.py",
                "why",
                "2025-10-02",
                "--data-dir",
                str(folder),
                "--at",
                "10:07:01",
            ],
            cwd=ROOT,
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, **measured(), **world},
        )
        assert (done.returncode, done.stderr) == (0, b"")
        answers.append(done.stdout.decode())
    assert answers[0] == answers[1]
    assert answers[0].startswith("10:07:01: all seven conditions met; no BUY because ")
    assert "\n1 BUY on 2 Oct. " in answers[0]
