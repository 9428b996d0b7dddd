"""The addresses of the second channel: several in one setting, and those that need the package apprise."""

from __future__ import annotations

import sys

import pytest

from settings.types import split_addresses
from tests.test_config import faults, load


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ("", ()),
        (" https://a.example/x ", ("https://a.example/x",)),
        ("https://a.example/x, tgram://t/c", ("https://a.example/x", "tgram://t/c")),
        ("tgram://t/c;ntfy://topic\tdiscord://i/t,", ("tgram://t/c", "ntfy://topic", "discord://i/t")),
        # A comma inside an address does not end it.
        ("mailtos://u:a,b@a.example?to=x@a.example,y@a.example", None),
        ("slack://a/b/c/#room", None),
        ("https://a.example/x , ;, tgram://t/c", ("https://a.example/x", "tgram://t/c")),
        ("http://127.0.0.1:3/x json://localhost:3", ("http://127.0.0.1:3/x", "json://localhost:3")),
    ],
)
def test_several_addresses_of_the_second_channel(value: str, addresses: tuple[str, ...] | None) -> None:
    expected = (value,) if addresses is None else addresses
    settings = load(SECOND_CHANNEL_URL=value)
    assert split_addresses(settings.second_channel_url.get_secret_value()) == expected
    assert set(expected) <= set(settings.secrets())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            "Canary",
            "takes addresses such as https://example.com/abc or tgram://token/chat, separated by spaces",
        ),
        ("tgram://", "takes addresses such as "),
        ("tgram:///Canary", "takes addresses such as "),
        ("tg+ram://Canary", "takes addresses such as "),
        ("tgram://Canary word", "takes addresses such as "),
        ("tgram://Canary\x1b", "takes addresses such as "),
        ("tgram://Canary\\word", "takes addresses such as "),
        (f"tgram://Canary{'x' * 2_000}", "takes addresses such as "),
        ("http://a.example/Canary", "takes an https:// address"),
        ("tgram://t/c http://a.example/Canary", "takes an https:// address (address 2)"),
        (" ".join(["tgram://Canary"] * 11), "takes at most 10 addresses"),
    ],
)
def test_an_address_of_the_second_channel_that_cannot_be_one(value: str, words: str) -> None:
    (fault,) = faults(SECOND_CHANNEL_URL=value)
    assert fault.startswith(f"SECOND_CHANNEL_URL: got a value that is not shown; {words}")
    assert "Canary" not in fault


def test_a_service_needs_the_package_apprise_and_a_plain_address_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)  # what Python does where it is not installed
    assert load(SECOND_CHANNEL_URL="https://ntfy.sh/topic").second_channel_url
    assert faults(SECOND_CHANNEL_URL="https://a.example/x tgram://CanaryToken/c") == [
        "SECOND_CHANNEL_URL: got a value that is not shown; takes tgram:// only with the package apprise, "
        f'which is not installed: {sys.executable} -m pip install "apprise>=2.2,<3" (address 2)'
    ]
