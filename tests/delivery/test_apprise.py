"""The second channel through Apprise: what it sends, what it says of a failure, and that it keeps secrets."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from apprise import NotificationManager, NotifyBase
from pydantic import SecretStr
from structlog.testing import capture_logs

from delivery.apprise_channel import AT_WORK_MAX, AppriseChannel
from delivery.second_channel import CHANNEL, SETTING, SecondChannel, labels
from delivery.sender import side_channels
from events import AlertKind, AlertOutcome, Outcome
from sim.pushover import LoopbackPushover
from tests.delivery.stories import START, sell, settings_for, story
from tests.mail import mail_server
from tests.outside import DRIP, Outside, outside, reply
from tests.patience import PatientClock
from threads import DaemonThread, Thread

ROOT = Path(__file__).parent.parent.parent

TITLE = "🚪 IWM 0DTE CALL — SELL"
TEXT = "Reason: Giveback 31.2% (Hard cap 30%)\n\nPeak $2.10 → Now $1.45\n<b>&amp;</b> {{ title }} \\n *x* _y_\n#7f3a91"
PLACE = "/CanaryPath/Canary%2Cword"

pytestmark = pytest.mark.real_time


def channel(address: str) -> AppriseChannel:
    return AppriseChannel(SecretStr(address), DaemonThread, name=CHANNEL, setting=SETTING)


async def test_a_machine_without_a_thread_is_a_failed_attempt() -> None:
    def none_left(name: str) -> Thread:
        raise RuntimeError(f"can't start new thread {name}")

    one = AppriseChannel(SecretStr("json://localhost"), none_left, name=CHANNEL, setting=SETTING)
    assert await one.post(TITLE, TEXT) == await one.fault() == "can't start new thread apprise"


def address_of(server: Outside) -> str:
    """The address of Apprise's ``json`` for a server, with a user and a password."""
    place = server.url.removeprefix("http://").partition("/")[0]
    return f"json://CanaryUser:CanaryPassword@{place}{PLACE}?:key=CanaryValue"


@pytest.fixture(autouse=True)
def _nothing_is_printed_or_logged(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No log has Apprise's words, and the console has none: they name addresses."""
    seen: list[str] = []
    handler, root = logging.Handler(logging.DEBUG), logging.getLogger()
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield
    root.removeHandler(handler)
    root.setLevel(level)
    assert "Canary" not in repr(seen)
    assert "".join(capfd.readouterr()) == ""


# --- What is sent ------------------------------------------------------------------------------------


async def test_title_and_text_arrive_to_the_letter() -> None:
    async with outside() as server:
        assert await channel(address_of(server)).post(TITLE, TEXT) == ""
        (body,) = map(json.loads, server.bodies)
        assert (body["title"], body["message"], body["key"]) == (TITLE, TEXT, "CanaryValue")
        assert server.asked == [f"POST {PLACE}"]


async def test_a_long_text_arrives_whole_in_several_messages() -> None:
    """``json`` takes 32,768 characters; ``overflow`` in the address does not cut the rest off."""
    text = " ".join(map(str, range(9_000)))
    async with outside() as server:
        assert await channel(f"{address_of(server)}&overflow=truncate").post(TITLE, text) == ""
        parts = [json.loads(body)["message"] for body in server.bodies]
        assert len(parts) == 2
        assert " ".join(" ".join(parts).split()) == text


async def test_an_e_mail_arrives_to_the_letter() -> None:
    async with mail_server() as server:
        address = f"mailto://127.0.0.1:{server.port}?from=canary@a.example&to=you@b.example,me@b.example"
        assert await channel(address).post(TITLE, TEXT) == ""
        assert len(server.mails) == 2
        for mail in server.mails:
            assert mail["Subject"] == TITLE
            assert mail.get_content_type() == "text/plain"
            assert mail.get_content().replace("\r\n", "\n").rstrip("\n") == TEXT


# --- What is not taken -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["302 Found", "400 Bad Request", "404 Not Found", "500 Oh"])
async def test_only_a_2xx_is_a_success_and_a_redirect_is_not_followed(status: str) -> None:
    async with outside(reply(status, b"CanaryAnswer", "Location: /elsewhere")) as server:
        failure = await channel(f"{address_of(server)}&redirect=yes").post(TITLE, TEXT)
        assert failure.startswith("Failed to send JSON POST notification: ")
        assert f"error={status[:3]}" in failure
        assert "Canary" not in failure
        assert len(server.bodies) == 1


async def test_nobody_there() -> None:
    failure = await channel("json://127.0.0.1:9/CanaryPath").post(TITLE, TEXT)
    assert failure == "A Connection error occurred sending JSON notification to ***; Connection refused"


async def test_a_mail_server_that_refuses_is_quoted_without_the_address() -> None:
    async with mail_server(RCPT="550 no CanaryYou here") as server:
        address = f"mailto://127.0.0.1:{server.port}?from=CanaryMe@a.example&to=CanaryYou@b.example"
        failure = await channel(address).post(TITLE, TEXT)
        assert failure == "(550, b'no *** here'); Sending email to \"***\" failed"
    async with mail_server(EHLO="421 CanaryMe is busy", HELO="421 CanaryMe is busy") as server:
        address = f"mailto://CanaryMe:secret@127.0.0.1:{server.port}?from=CanaryMe@a.example"
        failure = await channel(address).post(TITLE, TEXT)
        assert failure == "Connection error while submitting email to \"***\"; (421, b'*** is busy')"


async def test_what_hangs_holds_nothing_else_up() -> None:
    async with outside(DRIP, reply()) as server:
        slow = channel(address_of(server))
        assert await slow.post(TITLE, TEXT, 0.5) == "no answer in time"
        assert await slow.post(TITLE, TEXT) == ""
        assert len(server.bodies) == 2
    # The end of the process waits for none of them, and Apprise has made no threads that it waits for.
    others = set(threading.enumerate()) - {threading.main_thread()}
    assert all(thread.daemon for thread in others if thread.name.startswith(("apprise", "ThreadPool")))


async def test_the_sends_that_hang_are_bounded() -> None:
    async with outside(DRIP) as server:
        slow = channel(address_of(server))
        posts = (slow.post(TITLE, TEXT, 0.5) for _ in range(AT_WORK_MAX))
        assert set(await asyncio.gather(*posts)) == {"no answer in time"}
        assert await slow.post(TITLE, TEXT) == f"{AT_WORK_MAX} earlier sends have not ended"


async def test_a_post_that_is_cancelled_ends_at_once() -> None:
    async with outside(DRIP) as server:
        post = asyncio.create_task(channel(address_of(server)).post(TITLE, TEXT))
        async with asyncio.timeout(8):
            while not server.bodies:  # noqa: ASYNC110  the server's doing
                await asyncio.sleep(0.01)
        post.cancel()
        async with asyncio.timeout(1):
            await asyncio.wait({post})
        assert post.cancelled()


class Faulty(NotifyBase):  # type: ignore[no-untyped-call]
    """A service of Apprise that fails as none should."""

    service_name = "Faulty"  # type: ignore[assignment]
    secure_protocol = "faulty"  # type: ignore[assignment]

    def send(self, *_: Any, **__: Any) -> bool:
        raise LookupError("CanaryWord")


async def test_a_fault_inside_apprise_is_a_failure_in_words() -> None:
    manager = NotificationManager()  # type: ignore[no-untyped-call]
    manager.add(Faulty, schemas="faulty")  # type: ignore[no-untyped-call]
    try:
        assert await channel("faulty://host/Canary").post(TITLE, TEXT) == "Apprise failed (LookupError)"
    finally:
        manager.remove("faulty")  # type: ignore[no-untyped-call]


# --- Which addresses ---------------------------------------------------------------------------------

TELEGRAM = "123456789:CANARYefghijklmnopqrstuvwxyz1234567"


@pytest.mark.parametrize(
    "address",
    [
        f"tgram://{TELEGRAM}/12345678",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#alerts",
        "ntfy://topic",
        "ntfys://ntfy.example.com/topic",
        "ntfys://you:password@ntfy.example.com/topic",
        "mailto://you:apppassword@gmail.com",
        "mailtos://you:password@example.com?smtp=smtp.example.com&to=you@example.org",
        "mailto://you:password@example.com?mode=ssl",
        "jsons://example.com/abc",
        "json://localhost:1/abc",
        "json://[::1]:1/abc",
        "mailto://127.0.0.1:25?from=a@b.example&to=c@b.example",
        "pushme://token",
        "syslog://",
    ],
)
async def test_an_address_that_can_be_used(address: str) -> None:
    assert await channel(address).fault() == ""


CLEAR = "sends the text unencrypted, which is for loopback only: "


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (
            "tgrm://Canary",
            'Apprise has no service "tgrm" (https://appriseit.com/services/ lists them)',
        ),
        ("file:///Canary", 'Apprise has no service "file" ('),
        (
            "tgram://CanaryToken/12345678",
            "not an address of tgram://; its form: https://appriseit.com/services/telegram/",
        ),
        ("discord://CanaryHook", "An invalid Discord Webhook Token (None) was specified"),
        ("growl://localhost/Canary", 'Apprise\'s service "growl" cannot run on this machine: it needs gntp'),
        ("json://example.com/Canary", f"json:// {CLEAR}write jsons://"),
        ("json://localhost.example.com/Canary", f"json:// {CLEAR}write jsons://"),
        ("ntfy://ntfy.example.com/Canary", f"ntfy:// {CLEAR}write ntfys://"),
        ("mailto://you:Canary@example.com", f"mailto:// {CLEAR}write mailtos://"),
        ("mailtos://you:Canary@example.com?mode=insecure", f"mailtos:// {CLEAR}take another service"),
        ("mailto://you:Canary@localhost?smtp=mail.example.com", f"mailto:// {CLEAR}write mailtos://"),
        ("rsyslog://example.com/Canary", "An invalid syslog facility (***) was specified"),
        ("rsyslog://example.com", f"rsyslog:// {CLEAR}take another service"),
        ("aprs://Canary:12345@CALL1", f"aprs:// {CLEAR}take another service"),
        ("jsons://example.com/Canary?verify=no", "verify=no: the server's certificate must be checked"),
    ],
)
async def test_an_address_that_cannot_be_used_is_told_and_nothing_is_sent(address: str, words: str) -> None:
    odd = channel(address)
    for found in (await odd.fault(), await odd.post(TITLE, TEXT)):
        assert found.startswith(words)
        assert "canary" not in found.lower()
    assert "Canary" not in repr(odd)


async def test_loopback_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://CanaryProxy.example:3128")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert (await channel("json://127.0.0.1:1/x").fault()).startswith("http_proxy would send ")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert await channel("json://127.0.0.1:1/x").fault() == ""


async def test_the_documentations_addresses_can_be_used() -> None:
    table = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [A-Za-z][\w -]* \| `(\w+://[^`]+)` \|(.*)$", table, re.MULTILINE)
    assert [address.partition("://")[0] for address, _ in rows] == [
        *("tgram", "discord", "slack", "ntfy", "mailto", "mailtos")
    ]
    also = [address for _, told in rows for address in re.findall(r"`(\w+://[^`<]+)`", told)]
    for address in (*(address for address, _ in rows), *also, "mailto://u:p@gmail.com?to=other@example.com"):
        assert await channel(address).fault() == "", address


# --- Several channels --------------------------------------------------------------------------------


def test_several_addresses_are_told_apart_without_a_secret() -> None:
    given = ["json://a", "tgram://b", "tgram://c", "https://d", "JSON://e"]
    assert labels(given) == ["", " (tgram)", " (tgram 2)", " (https)", " (json 2)"]
    assert labels([]) == []


async def test_each_address_is_a_channel_of_its_own() -> None:
    async with LoopbackPushover(PatientClock(START, 1.0), "t", "u") as pushover:
        text = f"{pushover.elsewhere_url}, json://127.0.0.1:9/CANARY,word json://localhost/x?to=a,b"
        made = side_channels(settings_for(pushover, second_channel_url=SecretStr(text)), None)
        assert [(type(each), each.name, each.setting) for each in made] == [
            (SecondChannel, "second channel", "SECOND_CHANNEL_URL"),
            (AppriseChannel, "second channel (json)", "SECOND_CHANNEL_URL (json)"),
            (AppriseChannel, "second channel (json 2)", "SECOND_CHANNEL_URL (json 2)"),
        ]
        assert side_channels(settings_for(pushover), None) == ()


@asynccontextmanager
async def two_servers() -> AsyncIterator[tuple[Outside, Outside]]:
    async with outside(reply("404 Not Found")) as bad, outside() as good:
        yield bad, good


async def test_a_sell_is_told_to_all_and_each_outcome_is_recorded_under_its_own_name() -> None:
    async with two_servers() as (bad, good):
        url = SecretStr(f"{address_of(bad)} {address_of(good)}")
        async with story("400", second_channel_url=url) as s:
            s.sender.submit(sell(s.now()))
            told: dict[str, AlertOutcome] = {}
            for _ in range(800):
                await asyncio.sleep(0.01)
                if len(told) == 2:
                    break
                told = {f.channel: f for f in s.facts if isinstance(f, AlertOutcome) and f.channel}
            failed, taken = told["second channel"], told["second channel (json 2)"]
            assert (failed.outcome, failed.attempts, taken.outcome) == (Outcome.UNSENT, 3, Outcome.ACCEPTED)
            assert "error=404" in failed.detail
            (line,) = s.logged("second_channel_failed")
            assert line["text"].startswith("🛑 Second channel failed as well: 🚪 IWM 0DTE CALL — SELL")
            (line,) = s.logged("second_channel_sent")
            assert line["text"].startswith("✓ Alert sent to the second channel (json 2): 🚪 ")
        assert json.loads(good.bodies[0])["title"].startswith("🚪 IWM 0DTE CALL — SELL")
        assert "Reason: " in json.loads(good.bodies[0])["message"]
        for seen in (s.logs, s.facts):
            assert "Canary" not in repr(seen)
        assert {fact.kind for fact in told.values()} == {AlertKind.SELL}


async def test_an_address_that_cannot_be_used_is_told_once_soon_after_the_start() -> None:
    url = SecretStr("tgrm://CanaryToken json://127.0.0.1:1/Canary json://example.com/Canary")
    async with story(second_channel_url=url) as s:
        await s.until(lambda: len(s.logged("second_channel_unusable")) == 2)
        assert [line["text"] for line in s.logged("second_channel_unusable")] == [
            '⚠️ SECOND_CHANNEL_URL: Apprise has no service "tgrm" (https://appriseit.com/services/ lists them). '
            "Nothing can be sent there",
            "⚠️ SECOND_CHANNEL_URL (json 2): json:// sends the text unencrypted, which is for loopback only: "
            "write jsons://. Nothing can be sent there",
        ]
        assert "Canary" not in repr(s.logs)


async def test_without_an_address_apprise_is_not_asked() -> None:
    with capture_logs() as logs:
        async with story(speed=1000) as s:
            await s.until(functools.partial(lambda begun: s.now() - begun > 30_000_000, s.now()))
    assert not [line for line in logs if line["event"] == "second_channel_unusable"]
