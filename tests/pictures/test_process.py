"""The process that draws: what it may cost at most, and that whatever it does is only a picture less."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pictures.facts import encoded
from pictures.process import (
    COMMAND,
    FAULT_TEXT_MAX,
    FOLDER,
    HEIGHT_MAX,
    KEPT,
    PICTURE_REAL_S,
    WIDTH,
    NotDrawn,
    drawn_apart,
    flaw,
)
from tests.pictures.made import trade

FACTS = encoded(trade(30))


def python(program: str) -> tuple[str, ...]:
    return sys.executable, "-c", program


AS_IT_IS = "import sys\nfrom pictures import __main__ as child\n"
LIMITED = f"{AS_IT_IS}child.be_modest()\n"

FAULTY = {
    "exit 1": (python("raise SystemExit(1)"), "exit 1"),
    "killed": (python("import os; os.kill(os.getpid(), 9)"), "ended by signal 9"),
    "crashed": (python("1 / 0"), "ZeroDivisionError: division by zero"),
    "nothing": (python(""), "it is empty"),
    "garbage": (python("print('<html>')"), "it is no PNG"),
    "endless": (python("while True: print('x' * 100_000)"), "it has more than 2,500,000 bytes"),
    "endless faults": (
        python("import sys\nwhile True: print('x' * 100_000, file=sys.stderr)"),
        "not done within 1 s",
    ),
    "hangs": (python("import time; time.sleep(60)"), "not done within 1 s"),
    "deaf": (
        python("import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"),
        "not done within 1 s",
    ),
    "eats memory": (python(f"{LIMITED}bytes(1 << 30)"), "MemoryError"),
    "no Pillow": (
        python(f"{AS_IT_IS}sys.modules['PIL'] = None\nsys.exit(child.main())"),
        f"PIL cannot be loaded: {sys.executable} -m pip install -r requirements.txt",
    ),
    "not there": (("/no/such/python",), "no process for it (FileNotFoundError)"),
    "a child of its own": (
        python("import subprocess; subprocess.Popen(['sleep', '3']); raise SystemExit(1)"),
        "not done within 1 s",
    ),
    "absurd words": (
        python("import sys; print('\\x1b[2J' + 'y' * 9_000, file=sys.stderr); sys.exit(1)"),
        "yyy",
    ),
}


async def test_a_picture_comes_back() -> None:
    assert flaw(await drawn_apart(FACTS)) == ""


@pytest.mark.parametrize("name", FAULTY)
async def test_whatever_it_does_there_is_only_no_picture(name: str) -> None:
    command, reason = FAULTY[name]
    limit_s = 1.0 if "within 1 s" in reason else PICTURE_REAL_S
    began = time.monotonic()
    with pytest.raises(NotDrawn) as raised:
        await drawn_apart(FACTS * 40, command=command, limit_s=limit_s)
    assert reason in str(raised.value)
    assert len(str(raised.value)) <= FAULT_TEXT_MAX
    assert str(raised.value).isprintable()
    if limit_s == 1.0:
        assert time.monotonic() - began < 8
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("bad", [b"", b"{}", b'{"type":"trade"}', b"\xff" * 100])
async def test_facts_that_are_none_give_no_picture(bad: bytes) -> None:
    with pytest.raises(NotDrawn):
        await drawn_apart(bad)


async def test_cancelled_it_kills_the_process_at_once(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    program = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    drawing = asyncio.create_task(drawn_apart(FACTS, command=python(program)))
    async with asyncio.timeout(20):
        while not (mark.exists() and mark.read_text(encoding="utf-8")):  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(0.02)
    drawing.cancel()
    await asyncio.wait({drawing})
    assert drawing.cancelled()
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text(encoding="utf-8")), 0)


async def test_it_is_given_no_key_and_cannot_be_stopped_by_the_worker_s_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PUSHOVER_TOKEN", "canary")
    program = (
        "import os, sys; print(sorted(os.environ), os.getsid(0) == os.getpid(), file=sys.stderr); sys.exit(1)"
    )
    with pytest.raises(NotDrawn) as raised:
        await drawn_apart(FACTS, command=python(program))
    names, _, is_leader = str(raised.value).partition("] ")
    given = {name.strip("'") for name in names.strip("[").split(", ")}
    assert given - {"LC_CTYPE", "__CF_USER_TEXT_ENCODING"} <= set(KEPT)  # the system's own additions
    assert is_leader == "True"


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS keeps to no limit of memory")
async def test_it_limits_itself() -> None:
    program = (
        f"{LIMITED}import os, resource, signal\n"
        "print(*resource.getrlimit(resource.RLIMIT_AS), *resource.getrlimit(resource.RLIMIT_CPU), "
        "os.nice(0) > 0, signal.alarm(0), file=sys.stderr)\nsys.exit(1)"
    )
    with pytest.raises(NotDrawn, match=r"^536870912 536870912 10 10 True 30$"):
        await drawn_apart(FACTS, command=python(program))


def test_it_is_a_process_of_its_own() -> None:
    assert COMMAND[1:] == ("-m", "pictures")
    done = ran(*COMMAND[1:])
    assert (done.returncode, done.stderr) == (0, b"")
    assert flaw(done.stdout) == ""


def test_without_pillow_it_says_what_to_do() -> None:
    done = ran("-c", f"{AS_IT_IS}sys.modules['PIL'] = None\nsys.exit(child.main())")
    assert (done.returncode, done.stdout) == (1, b"")
    assert (
        done.stderr.decode() == f"PIL cannot be loaded: {sys.executable} -m pip install -r requirements.txt\n"
    )


def ran(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Runs this Python with a trade's facts as its input."""
    return subprocess.run(
        [sys.executable, *arguments], input=FACTS, cwd=FOLDER, capture_output=True, timeout=60, check=False
    )


def png(width: int, height: int) -> bytes:
    size = width.to_bytes(4) + height.to_bytes(4)
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + size + bytes(9) + b"\0\0\0\0IEND\xaeB`\x82"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png(WIDTH, HEIGHT_MAX), ""),
        (png(WIDTH, HEIGHT_MAX + 1), "it has 780×1001 pixels"),
        (png(WIDTH, 0), "it has 780×0 pixels"),
        (png(60_000, 60_000), "it has 60000×60000 pixels"),
        (png(WIDTH, 900)[:-4], "it is no PNG"),
        (b"\x89PNG\r\n\x1a\n", "it is no PNG"),
        (b"", "it is empty"),
    ],
)
def test_only_a_whole_png_of_the_right_size_is_a_picture(data: bytes, reason: str) -> None:
    assert flaw(data) == reason
