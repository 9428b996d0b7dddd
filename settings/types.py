"""The kinds of values that settings take: paths, addresses, hosts and keys, each checked as far as that needs no look-up.

A validator raises ValueError with a text that begins with "takes", and never with a secret's value.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, SecretStr

NAME_BYTES, PATH_BYTES = 255, 4000
"""The longest file name and the longest path, bytes: NAME_MAX of Linux and macOS, and Linux's PATH_MAX of 4096 less what the
program appends. macOS has a PATH_MAX of 1024: there the system refuses a longer path when it is used."""

ADDRESS_LENGTH = 2000
"""The most characters of an address: more than real ones have, and fewer than the 8,000 octets that RFC 9110, section 4.1,
recommends everyone to support."""

HOST_LENGTH = 253
"""The most characters of a host name. RFC 1035, section 2.3.4, allows a name 255 octets; two of them are the length octets of
the first label and of the root."""

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
"""One part of a host name. Public names have no underscore, but private networks use it."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[/\\]")
"""How an address (``file:///``) or a Windows drive begins. Taken as a path, it would create a folder of that name."""

_SOUND = re.compile(r"[A-Za-z0-9_-]{1,50}")
"""The name of a sound: https://pushover.net/api#sounds lists the built-in ones; owners upload others."""

PUSHOVER_KEY_LENGTH = 30
"""The length of Pushover's tokens and user keys, letters and digits: https://pushover.net/api#registration."""

_NEXT_ADDRESS = re.compile(r"(?<![\s,;])[\s,;]++(?=[A-Za-z0-9]{1,32}://)")
"""What separates two addresses, as Apprise splits them: spaces, commas or semicolons, only if another scheme follows. A run of
them is looked at once, so that no setting takes long to read."""

_SERVICE = re.compile(r"[A-Za-z0-9]{1,32}(?=://[^\s/])")
"""The scheme with which an address names a service of Apprise."""

ADDRESSES_MAX = 10
"""The most addresses that one setting takes. Each costs a thread while a text is sent there."""

APPRISE = "apprise>=2.2,<3"
"""The optional package that knows the services, as pip takes it."""

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
"""The only hosts that may be spoken to without TLS."""


def upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) and value.isascii() else value


def lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) and value.isascii() else value


def _place(value: Path) -> Path:
    text = str(value)
    if any(mark in text for mark in ("'", '"', "$", " #")) or not all(map(str.isprintable, _shown(text))):
        # Quotes and variables that a shell would have removed or filled in were taken literally.
        raise ValueError("takes a path without quotes, $, # behind a space, or control characters")
    if _SCHEME.match(text):
        raise ValueError("takes a path of this machine, not an address or a drive")
    try:
        place = value.expanduser()
    except RuntimeError:
        raise ValueError("takes a path; this machine knows no home folder for its ~") from None
    encoded = os.fsencode(place)
    if len(encoded) > PATH_BYTES or any(len(part) > NAME_BYTES for part in encoded.split(b"/")):
        raise ValueError(f"takes a path whose names have at most {NAME_BYTES} bytes each")
    return place


def _shown(path: str) -> str:
    """Returns a path without the stand-ins for bytes that are not UTF-8: file systems may hold such names."""
    return "".join(character for character in path if not "\udc80" <= character <= "\udcff")


Place = Annotated[Path, AfterValidator(_place)]


def host_fault(host: str) -> str | None:
    """Returns why a host name or address cannot be connected to; None if it may be. Nothing is looked up."""
    if ":" in host:
        return None if _is_address(host, ipaddress.IPv6Address) else "no IPv6 address"
    if not host.isascii() or "xn--" in host.lower():
        import idna  # noqa: PLC0415 - only names outside ASCII need it

        try:
            host = idna.encode(host).decode()
            idna.decode(host)
        except UnicodeError:  # the base of idna's own errors
            return "cannot be encoded"
    if len(host) > HOST_LENGTH or not all(map(_LABEL.fullmatch, host.split("."))):
        return "takes names of 1 to 63 letters, digits and hyphens, with single dots between them"
    if host.rpartition(".")[2].isdigit() and not _is_address(host, ipaddress.IPv4Address):
        return "no IPv4 address"
    return None


def _is_address(host: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> bool:
    try:
        return "%" not in host and bool(kind(host))
    except ValueError:
        return False


def _split(text: str, example: str) -> SplitResult:
    """Returns the parts of an address whose host and port can be connected to. Raises ValueError."""
    wrong = f"takes an address such as {example}"
    # urlsplit silently drops line breaks and tabs, which nobody means.
    if not text.isprintable() or " " in text or "\\" in text:
        raise ValueError(f"{wrong}, without spaces")
    if len(text) > ADDRESS_LENGTH:
        raise ValueError(f"{wrong}, of at most {ADDRESS_LENGTH} characters")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(wrong) from None
    if not host:
        raise ValueError(wrong)
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError(f"{wrong}, its port from 1 to 65535")
    if fault := host_fault(host):
        raise ValueError(f"{wrong}; its host is not one that can be connected to ({fault})")
    return parts


def _url(schemes: tuple[str, str], endings: tuple[str, ...] = ()) -> AfterValidator:
    """Returns a validator of addresses: ``schemes`` are the one with TLS and the one that only loopback may use.

    ``endings`` are paths that the program adds itself; the validator removes them.
    """
    secure, plain = schemes

    def check(text: str) -> str:
        text = text.strip().rstrip("/")
        parts = _split(text, f"{secure}://example.com")
        if parts.scheme not in schemes:
            raise ValueError(f"takes an address such as {secure}://example.com")
        if parts.scheme == plain and parts.hostname not in LOOPBACK_HOSTS:
            raise ValueError(f"takes {secure}://; plain {plain}:// is for loopback only")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ValueError("takes an address without user, query or fragment")
        ending = next((ending for ending in endings if parts.path.endswith(ending)), "")
        return text.removesuffix(ending).rstrip("/")

    return AfterValidator(check)


def _secret_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()
    if not text:
        return SecretStr("")
    parts = _split(text, "https://example.com/abc")
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS)
    if not secure:
        raise ValueError("takes an https:// address")
    return SecretStr(text)


def split_addresses(text: str) -> tuple[str, ...]:
    """Returns the addresses in a setting that may hold several. A comma inside an address does not end it."""
    return tuple(address for address in _NEXT_ADDRESS.split(text.strip(" \t\r\n,;")) if address)


def service_of(address: str) -> str:
    """Returns the name of Apprise's service that an address is for, such as ``tgram``; empty for http:// and https://."""
    scheme = address.partition("://")[0].lower()
    return "" if scheme in ("http", "https") else scheme


def _secret_urls(value: SecretStr) -> SecretStr:
    addresses = split_addresses(value.get_secret_value())
    if len(addresses) > ADDRESSES_MAX:
        raise ValueError(f"takes at most {ADDRESSES_MAX} addresses")
    for number, address in enumerate(addresses, 1):
        try:
            _check_one_of_several(address)
        except ValueError as fault:
            raise ValueError(f"{fault} (address {number})" if len(addresses) > 1 else str(fault)) from None
    return SecretStr(" ".join(addresses))


def _check_one_of_several(address: str) -> None:
    """Checks an address for texts, without loading Apprise: only it can tell whether it has that service. Raises ValueError."""
    wrong = "takes addresses such as https://example.com/abc or tgram://token/chat, separated by spaces"
    if not _SERVICE.match(address):
        raise ValueError(wrong)
    service = service_of(address)
    if not service:
        _secret_url(SecretStr(address))
        return
    if not address.isprintable() or " " in address or "\\" in address:
        raise ValueError(f"{wrong}; write a space inside one as %20, a backslash as %5C")
    if len(address) > ADDRESS_LENGTH:
        raise ValueError(f"{wrong}, of at most {ADDRESS_LENGTH} characters each")
    if importlib.util.find_spec("apprise") is None:
        raise ValueError(
            f"takes {service}:// only with the package apprise, which is not installed: "
            f'{sys.executable} -m pip install "{APPRISE}"'
        )


def _polygon_key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text and text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("takes your Massive (formerly Polygon.io) API key, in ASCII and without spaces")
    if any(mark in text for mark in "'\"$"):  # a shell removes these, `docker --env-file` does not
        raise ValueError("takes your Massive (formerly Polygon.io) API key, without quotes or $")
    return value


def _pushover_key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if len(text) != PUSHOVER_KEY_LENGTH or not (text.isascii() and text.isalnum()):
        raise ValueError("takes the 30 letters or digits that pushover.net shows")
    return value


def _sound(value: str) -> str:
    if value and not _SOUND.fullmatch(value):
        raise ValueError(
            "takes the name of a Pushover sound, such as cashregister or siren, or of one that you have uploaded"
        )
    return value


HttpUrl = Annotated[str, _url(("https", "http"))]
SocketUrl = Annotated[str, _url(("wss", "ws"), endings=("/stocks", "/options"))]
SecretUrl = Annotated[SecretStr, AfterValidator(_secret_url)]
SecretUrls = Annotated[SecretStr, AfterValidator(_secret_urls)]
PolygonKey = Annotated[SecretStr, AfterValidator(_polygon_key)]
PushoverKey = Annotated[SecretStr, AfterValidator(_pushover_key)]
Sound = Annotated[str, AfterValidator(_sound)]
