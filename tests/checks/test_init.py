"""``diagnose.py --init`` as its owner sees it: on a terminal, against both vendors on loopback."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import config
import diagnose
import entry
from checks.env_file import example
from sim.market import Market
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from tests.checks.terminal import END, INTERRUPT, Terminal
from tests.environment import DIAGNOSE, LOOPBACK, run, run_here
from utils import SystemClock

pytestmark = pytest.mark.real_time

KEY = "CanaryMassive_Key0123456789abcd1"
TOKEN, USER = "aCanaryTokenxxxxxxxxxxxxxx2222", "uCanaryUserKeyyyyyyyyyyyyy3333"
SECRETS = {"POLYGON_API_KEY": KEY, "PUSHOVER_TOKEN": TOKEN, "PUSHOVER_USER_KEY": USER}
WRONG_KEY, WRONG_TOKEN, WRONG_USER = (
    KEY[::-1],
    "aCanaryWrongTokenxxxxxxxxx4444",
    "uCanaryWrongUserxxxxxxxxxx5555",
)

ASK_KEY, ASK_TOKEN, ASK_USER = "Massive API key (", "Pushover application token (", "Pushover user key ("

Story = Callable[[Terminal], None]


def typed(terminal: Terminal, key: str = KEY, token: str = TOKEN, user: str = USER) -> None:
    for question, text in ((ASK_KEY, key), (ASK_TOKEN, token), (ASK_USER, user)):
        again(terminal, question, text)


def again(terminal: Terminal, question: str, text: str) -> None:
    terminal.wait_for(question)
    terminal.answer("): ", text)


@asynccontextmanager
async def vendors(market: Market) -> AsyncIterator[dict[str, str]]:
    """Both vendors, with the keys that they know. Yields the environment that leads to them."""
    clock = SystemClock()
    async with (
        LoopbackMarket(market, clock, KEY) as vendor,
        LoopbackPushover(clock, TOKEN, USER) as pushover,
    ):
        yield {"POLYGON_REST_URL": vendor.rest_url, "PUSHOVER_URL": pushover.url}


async def told(folder: Path, addresses: dict[str, str], story: Story, *arguments: str) -> tuple[int, str]:
    """Somebody types what ``story`` says. Returns the exit status and all that was shown, which holds no key."""

    def on_terminal() -> tuple[int, str]:
        with Terminal(folder, DIAGNOSE, "--init", *arguments, **addresses) as terminal:
            story(terminal)
            return terminal.ended(), terminal.shown

    status, shown = await asyncio.to_thread(on_terminal)
    assert "Canary" not in shown
    assert "Traceback" not in shown
    return status, shown


def loaded(folder: Path, name: str = ".env") -> dict[str, str]:
    """The three keys as the program reads them from a file."""
    settings, _ = config.load({}, folder / name)
    keys = (settings.polygon_api_key, settings.pushover_token, settings.pushover_user_key)
    return dict(zip(SECRETS, (key.get_secret_value() for key in keys), strict=True))


def is_untouched(path: Path, before: os.stat_result) -> bool:
    now = path.lstat()
    return (now.st_ino, now.st_mode, now.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)


async def test_three_keys_become_a_file_that_only_its_owner_reads(market: Market, tmp_path: Path) -> None:
    def story(terminal: Terminal) -> None:
        typed(terminal, f' "{KEY}" ', f"{TOKEN} ", f"'{USER}'")

    async with vendors(market) as addresses:
        status, shown = await told(tmp_path, addresses, story)
    assert status == entry.EXIT_OK
    for text in (
        "\n  …bcd1 (32 characters)\n",
        "…2222 (30 characters)",
        "…3333 (30 characters)",
        "  ✓ Massive API key: accepted\n",
        "  ✓ Pushover: valid; devices: phone\n",
        "\nWritten: .env (only you can read it).\n",
        "\nNext: python diagnose.py checks the rest",
    ):
        assert text in shown, text
    assert loaded(tmp_path) == SECRETS
    assert os.listdir(tmp_path) == [".env"]
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    written = (tmp_path / ".env").read_text(encoding="utf-8")
    for name, value in SECRETS.items():
        written = written.replace(f"{name}={value}\n", f"{name}=\n")
    assert written == example()


@pytest.mark.parametrize("are_swapped_back", [True, False])
async def test_swapped_keys_are_noticed(market: Market, tmp_path: Path, are_swapped_back: bool) -> None:
    def story(terminal: Terminal) -> None:
        typed(terminal, token=USER, user=TOKEN)
        terminal.answer("Token and user key look swapped. Swap them? [Y/n] ", "" if are_swapped_back else "n")
        if are_swapped_back:
            return
        terminal.wait_for("the token begins with u, as user and group keys do")
        terminal.wait_for("✗ Pushover: refused, 400: application token is invalid")
        again(terminal, ASK_TOKEN, TOKEN)
        terminal.wait_for("✗ Pushover: refused, 400: user identifier is not a valid user")
        again(terminal, ASK_USER, USER)

    async with vendors(market) as addresses:
        status, shown = await told(tmp_path, addresses, story)
    assert status == entry.EXIT_OK, shown
    assert loaded(tmp_path) == SECRETS
    if not are_swapped_back:
        assert "⚠ token and user key are the same" in shown


async def test_a_wrong_key_is_asked_again_and_the_others_are_kept(market: Market, tmp_path: Path) -> None:
    def story(terminal: Terminal) -> None:
        typed(terminal, key=WRONG_KEY, user=WRONG_USER)
        terminal.wait_for("✗ Massive API key: key refused (401)")
        terminal.wait_for("check PUSHOVER_USER_KEY at pushover.net")
        again(terminal, ASK_KEY, KEY)
        again(terminal, ASK_USER, USER)

    async with vendors(market) as addresses:
        status, shown = await told(tmp_path, addresses, story)
    assert status == entry.EXIT_OK
    assert shown.count(ASK_TOKEN) == 1
    assert loaded(tmp_path) == SECRETS


async def test_a_key_that_is_refused_three_times_is_not_written(market: Market, tmp_path: Path) -> None:
    def story(terminal: Terminal) -> None:
        typed(terminal, token=WRONG_TOKEN)
        for _ in range(2):
            again(terminal, ASK_TOKEN, WRONG_TOKEN)

    async with vendors(market) as addresses:
        status, shown = await told(tmp_path, addresses, story)
    assert status == entry.EXIT_FAILED
    assert shown.endswith("Refused 3 times: see pushover.net, Your Applications.\nNothing was written.\n")
    assert os.listdir(tmp_path) == []


async def test_what_can_be_no_key_is_asked_again_before_anybody_is_asked(tmp_path: Path) -> None:
    def story(terminal: Terminal) -> None:
        again(terminal, ASK_KEY, "")
        terminal.wait_for("✗ nothing was typed")
        again(terminal, ASK_KEY, "Canary$Key")
        terminal.wait_for("✗ takes your Massive (formerly Polygon.io) API key, without quotes or $")
        again(terminal, ASK_KEY, KEY)
        for _ in range(3):
            again(terminal, ASK_TOKEN, TOKEN[:-1])
            terminal.wait_for("✗ this has 29 characters, and it takes the 30 letters or digits")

    status, shown = await told(tmp_path, LOOPBACK, story)
    assert status == entry.EXIT_FAILED
    assert "No Pushover application token that looks valid after 3 times" in shown
    assert os.listdir(tmp_path) == []


async def test_a_key_of_pushovers_in_the_place_of_massives_is_noticed(market: Market, tmp_path: Path) -> None:
    question = "This looks like one of Pushover's keys. Is it your Massive API key? [y/N] "

    def story(terminal: Terminal) -> None:
        again(terminal, ASK_KEY, USER)
        terminal.answer(question, "")
        again(terminal, ASK_KEY, USER)
        terminal.answer(question, "y")
        again(terminal, ASK_TOKEN, TOKEN)
        again(terminal, ASK_USER, USER)
        terminal.wait_for("⚠ the Massive API key is the same as one of Pushover's")
        terminal.wait_for("✗ Massive API key: key refused (401)")
        again(terminal, ASK_KEY, KEY)

    async with vendors(market) as addresses:
        status, _ = await told(tmp_path, addresses, story)
    assert status == entry.EXIT_OK
    assert loaded(tmp_path) == SECRETS


async def test_a_key_that_is_shorter_than_any_other_is_asked_about(market: Market, tmp_path: Path) -> None:
    def story(terminal: Terminal) -> None:
        again(terminal, ASK_KEY, KEY[:-1])
        terminal.answer("shorter than any Massive API key known to us (32 characters). Keep it? [y/N] ", "")
        typed(terminal)

    async with vendors(market) as addresses:
        status, _ = await told(tmp_path, addresses, story)
    assert status == entry.EXIT_OK
    assert loaded(tmp_path) == SECRETS


@pytest.mark.parametrize("are_kept", [True, False])
async def test_offline_the_keys_are_kept_untried_only_if_their_owner_says_so(
    tmp_path: Path, are_kept: bool
) -> None:
    def story(terminal: Terminal) -> None:
        typed(terminal)
        terminal.wait_for("✗ Massive API key: 127.0.0.1 could not be reached (no connection)")
        terminal.wait_for("✗ Pushover: 127.0.0.1 could not be reached (no connection)")
        terminal.answer("Keep them anyway? [Y/n] ", "y" if are_kept else "n")

    status, shown = await told(tmp_path, LOOPBACK, story)
    assert status == (entry.EXIT_OK if are_kept else entry.EXIT_FAILED)
    assert os.listdir(tmp_path) == ([".env"] if are_kept else [])
    assert ("Nothing was written." in shown) is not are_kept


OLD = (
    "# my own\r\nDATA_DIR=records\n\nexport PUSHOVER_TOKEN = 'old'   # from last year\n"
    'MASSIVE_API_KEY="old key"\nSTOP_LOSS_PERCENT=20'
)
NEW = (
    f"# my own\r\nDATA_DIR=records\n\nPUSHOVER_TOKEN={TOKEN}\nMASSIVE_API_KEY={KEY}\nSTOP_LOSS_PERCENT=20\n"
    f"PUSHOVER_USER_KEY={USER}\n"
)


async def test_of_a_file_that_is_there_only_the_keys_change(market: Market, tmp_path: Path) -> None:
    path = tmp_path / "my.env"
    path.write_bytes(OLD.encode())
    path.chmod(0o644)

    def story(terminal: Terminal) -> None:
        terminal.answer("keep everything else in it? [y/N] ", "yes")
        typed(terminal)

    async with vendors(market) as addresses:
        status, shown = await told(tmp_path, addresses, story, "--env", "my.env")
    assert status == entry.EXIT_OK
    assert path.read_bytes() == NEW.encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["my.env"]
    assert loaded(tmp_path, "my.env") == SECRETS
    assert "The program reads .env in the folder where it is started, not my.env." in shown


async def test_a_file_that_is_there_is_not_touched_unasked(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(OLD.encode())
    before = path.stat()
    status, shown = await told(tmp_path, LOOPBACK, lambda terminal: terminal.answer("[y/N] ", ""))
    assert status == entry.EXIT_FAILED
    assert ".env stays as it is.\nNothing was written.\n" in shown
    assert path.read_bytes() == OLD.encode()
    assert is_untouched(path, before)


@pytest.mark.parametrize(("end", "status"), [(INTERRUPT, entry.EXIT_INTERRUPTED), (END, entry.EXIT_FAILED)])
@pytest.mark.parametrize("question", [ASK_TOKEN, "Keep them anyway? [Y/n] "])
async def test_ctrl_c_leaves_nothing(tmp_path: Path, end: str, status: int, question: str) -> None:
    def story(terminal: Terminal) -> None:
        if question == ASK_TOKEN:
            again(terminal, ASK_KEY, KEY)
            terminal.wait_for(question)
            terminal.answer("): ", "", end=end)
        else:
            typed(terminal)
            terminal.answer(question, "", end=end)

    ended, shown = await told(tmp_path, LOOPBACK, story)
    assert ended == status
    assert shown.endswith("\nNothing was written.\n")
    assert os.listdir(tmp_path) == []


async def test_what_the_environment_overrides_is_said(tmp_path: Path) -> None:
    def story(terminal: Terminal) -> None:
        typed(terminal)
        terminal.answer("Keep them anyway? [Y/n] ", "")

    status, shown = await told(tmp_path, {**LOOPBACK, "PUSHOVER_TOKEN": "b" * 30}, story)
    assert status == entry.EXIT_OK
    assert "⚠ PUSHOVER_TOKEN is also set in the environment, which wins — unset it there" in shown


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda path: path.symlink_to("/etc/iwm.env"), ".env is a link: name the file that it points to"),
        (lambda path: path.mkdir(), ".env is not a file: name another with --env"),
        (lambda path: path.write_bytes(b"\xff"), ".env is not UTF-8 text"),
    ],
)
async def test_what_is_no_file_of_settings_is_left_alone(
    tmp_path: Path, made: Callable[[Path], None], said: str
) -> None:
    made(tmp_path / ".env")
    before = (tmp_path / ".env").lstat()
    status, shown = await told(tmp_path, LOOPBACK, lambda terminal: None)
    assert status == entry.EXIT_FAILED
    assert said in shown
    assert is_untouched(tmp_path / ".env", before)


async def test_a_folder_that_is_not_there_is_said_before_anything_is_typed(tmp_path: Path) -> None:
    status, shown = await told(tmp_path, LOOPBACK, lambda terminal: None, "--env", "gone/.env")
    assert status == entry.EXIT_FAILED
    assert f"{tmp_path}/gone is not a folder: create it first" in shown
    assert ASK_KEY not in shown


async def test_other_settings_that_are_wrong_are_said_first(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STOP_LOSS_PERCENT=lots\n", encoding="utf-8")
    status, shown = await told(tmp_path, LOOPBACK, lambda terminal: None)
    assert status == entry.EXIT_CONFIGURATION
    assert "STOP_LOSS_PERCENT: got 'lots' in .env, line 1" in shown


async def test_what_the_machine_makes_impossible_is_said_first(tmp_path: Path) -> None:
    gone = {"SSL_CERT_FILE": str(tmp_path / "gone.pem")}
    status, shown = await told(tmp_path, gone, lambda terminal: None)
    assert status == entry.EXIT_CONFIGURATION
    assert "SSL_CERT_FILE" in shown
    assert ASK_KEY not in shown


def test_without_a_terminal_it_says_what_to_do(tmp_path: Path) -> None:
    done = run(tmp_path, DIAGNOSE, "--init", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (entry.EXIT_CONFIGURATION, "")
    assert "needs a terminal: start it in one, or copy .env.example to .env" in done.stderr
    assert "--env goes with --init" in run_here(diagnose.main, tmp_path, "--env", "x").stderr


@pytest.mark.parametrize("other", ["--offline", "--json", "--send-test", "--sockets"])
def test_an_option_of_the_checks_is_refused_rather_than_not_heeded(tmp_path: Path, other: str) -> None:
    done = run_here(diagnose.main, tmp_path, "--init", other)
    assert done.returncode == entry.EXIT_CONFIGURATION
    assert "of the other options it takes only --env" in done.stderr
