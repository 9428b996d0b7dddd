"""All that is known of Apprise (https://appriseit.com), which sends a text to one of some 190 services.

Everything here blocks, so it is called in a thread. The package is optional and takes a second to load, so it is
imported when first needed. Apprise says only whether a service took a text; why not stands in its log, which is caught
here, and which names addresses: nothing of it leaves this file before the address's parts are hidden.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote
from urllib.request import getproxies, proxy_bypass

from errors import OurError
from redaction import redactor
from settings.types import LOOPBACK_HOSTS, service_of
from utils import printable

if TYPE_CHECKING:
    from apprise import AppriseAsset, NotifyBase

SOCKET_S = 6.0
"""The longest that a service may wait for a connection, and then for each part of its answer, in seconds. Both together
are less than the limit of `delivery.apprise_channel`, so that Apprise gives up by itself, and says why."""

PART_LENGTH = 3
"""A part of an address of at least this length is hidden in Apprise's words, be it a host, a token or a topic."""

LINES_MAX = 200
"""Lines of Apprise's log that are kept of one send."""

REASON_LENGTH = 240
"""Characters of a reason: it stands in one line of the log and in the record."""

_CAUSE = re.compile(
    r"\[Errno -?\d+\] (?P<system>[A-Za-z][A-Za-z ]+)"
    r"|(?P<slow>[Tt]imed out)"
    r"|(?P<certificate>certificate verify failed: [A-Za-z' -]+)"
    r"|(?P<closed>Remote end closed connection|Connection unexpectedly closed)"
    r"|(?P<mail>\(\d{3}, b['\"][^'\"]{1,160}['\"]\))"
)
"""The cause in a line such as ``Socket Exception: …``. The rest of the line may hold addresses made of the secrets."""

_EXCEPTION = "Socket Exception: "
"""How Apprise's line for an exception begins, at level DEBUG."""

_GENERAL = ("Could not load ", "Unpars")
"""How Apprise's lines begin that only repeat that an address is no good."""

NOT_IN_THE_CLEAR = frozenset(
    {
        *("pushme", "sfr", "psafer"),  # they use HTTPS, whatever the scheme is
        *(
            "syslog",
            "dbus",
            "qt",
            "kde",
            "glib",
            "gio",
            "gnome",
            "macosx",
            "windows",
            "blink1",
        ),  # this machine's own
    }
)
"""Services that expose nothing to the network although their scheme is the plain one."""

IN_THE_CLEAR = frozenset({"aprs", "dapnet", "kavenegar"})
"""Services that have no plain scheme, and yet send over plain TCP or HTTP (`apprise/plugins/aprs.py` and so on)."""


class BadAddress(OurError):
    """An address cannot be used. The text says why, without anything of the address but its scheme."""


def send(address: str, title: str, text: str) -> str:
    """Sends a text to a service. Returns why it was not taken; empty if it was. Blocks; raises nothing.

    The text is sent whole: where a service limits the length, as several messages.
    """

    def action() -> bool:
        from apprise import NotifyFormat, NotifyType, OverflowMode  # noqa: PLC0415

        return _service(address).notify(
            title=title,
            body=text,
            notify_type=NotifyType.WARNING,
            body_format=NotifyFormat.TEXT,
            overflow=OverflowMode.SPLIT,
        )

    return _reason(address, action)


def fault(address: str) -> str:
    """Returns what is wrong with an address, as far as Apprise knows without asking anyone; empty if nothing is."""
    return _reason(address, lambda: bool(_service(address)))


def _reason(address: str, action: Callable[[], bool]) -> str:
    """Returns in words, without anything secret, why an action failed; empty if it returned True."""
    with _listening() as heard:
        try:
            if action():
                return ""
            why = _told(heard)
        except BadAddress as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a foreign library's border: a plugin can fail in any way
            why = f"Apprise failed ({type(error).__name__})"
    return _shown(address, why or "Apprise does not say why")


# --- The service -------------------------------------------------------------------------------------


@functools.cache
def _asset() -> AppriseAsset:
    """Returns what all services share: nothing is kept on the disk, no redirect is followed."""
    from apprise import AppriseAsset, PersistentStoreMode  # noqa: PLC0415

    return AppriseAsset(
        app_id="IWM-5-VWAP",
        storage_mode=PersistentStoreMode.MEMORY,
        pgp_autogen=False,
        pem_autogen=False,
        http_redirects=False,
    )


def _service(address: str) -> NotifyBase:
    """Returns the service of an address, with its waiting limited. Raises BadAddress."""
    from apprise import Apprise, NotificationManager  # noqa: PLC0415

    name, known = service_of(address), NotificationManager()  # type: ignore[no-untyped-call]
    if name not in known:
        raise BadAddress(f'Apprise has no service "{name}" (https://appriseit.com/services/ lists them)')
    if not known[name].enabled:
        raise BadAddress(f'Apprise\'s service "{name}" cannot run on this machine{_lacking(known[name])}')
    with _listening() as heard:
        service = Apprise.instantiate(address, asset=_asset())
    if service is None:
        raise BadAddress(
            _shown(address, _told(heard) or f"not an address of {name}://; its form: {known[name].setup_url}")
        )
    service.redirects = False
    service.socket_connect_timeout = min(service.socket_connect_timeout, SOCKET_S)
    service.socket_read_timeout = min(service.socket_read_timeout, SOCKET_S)
    _refuse_unsafe(service, name)
    return service


def _lacking(kind: type[NotifyBase]) -> str:
    """Returns which package a service needs, to be appended to a sentence; empty if it does not say so."""
    needs = kind.requirements.get("packages_required") or []
    names = [needs] if isinstance(needs, str) else list(needs)
    return f": it needs {', '.join(map(str, names))}" if names else ""


def _refuse_unsafe(service: NotifyBase, name: str) -> None:
    """Raises BadAddress for a service that would send the text unencrypted, or to a server whose identity is not checked."""
    host = getattr(service, "smtp_host", "") or service.host or ""
    if host.lower().strip("[]") in LOOPBACK_HOSTS:
        if getproxies().get("http") and not proxy_bypass(host):
            raise BadAddress(
                "http_proxy would send this machine's own texts to the proxy: name the host in no_proxy"
            )
        return
    if not service.verify_certificate:
        raise BadAddress("verify=no: the server's certificate must be checked")
    if _is_in_the_clear(service, name):
        other = sorted(set(_schemes(service.secure_protocol)) - {name})
        do = f"write {other[0]}://" if other else "take another service"
        raise BadAddress(f"{name}:// sends the text unencrypted, which is for loopback only: {do}")


def _is_in_the_clear(service: NotifyBase, name: str) -> bool:
    """Returns whether a service sends texts unencrypted. ``name`` is its scheme in the address."""
    if (
        name in IN_THE_CLEAR or getattr(service, "secure_mode", "") == "insecure"
    ):  # e-mail with ?mode=insecure
        return True
    if name not in _schemes(service.protocol) or name in NOT_IN_THE_CLEAR:
        return False
    # `mailto://` of a known provider uses TLS (its ``secure`` says so); `ntfy://topic` is ntfy.sh's own, over HTTPS.
    return not service.secure and not (name == "ntfy" and getattr(service, "mode", "") == "cloud")


def _schemes(protocol: object) -> tuple[str, ...]:
    if isinstance(protocol, str):
        return (protocol,)
    return tuple(protocol) if isinstance(protocol, (tuple, list)) else ()


# --- Its words ---------------------------------------------------------------------------------------


class _Heard(logging.Handler):
    """Collects what is logged in the thread that made it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._thread = threading.get_ident()
        self.lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line. One that cannot be formatted is left out: it must not end the send that it is about."""
        if record.thread == self._thread and len(self.lines) < LINES_MAX:
            with contextlib.suppress(TypeError, ValueError):
                self.lines.append((record.levelno, record.getMessage()))


@functools.cache
def _silence() -> None:
    """Keeps the words of Apprise, and of what it sends with, out of every log: they name addresses."""
    for name in ("apprise", "urllib3", "requests"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    logging.getLogger("apprise").setLevel(logging.DEBUG)


@contextlib.contextmanager
def _listening() -> Iterator[_Heard]:
    """Catches what Apprise logs in this thread."""
    _silence()
    logger, heard = logging.getLogger("apprise"), _Heard()
    logger.addHandler(heard)
    try:
        yield heard
    finally:
        logger.removeHandler(heard)


def _told(heard: _Heard) -> str:
    """Returns why something failed, from Apprise's warnings, and from its exceptions as far as they are a known cause."""
    found: list[str] = []
    for level, line in heard.lines:
        if level >= logging.WARNING and not line.startswith(_GENERAL):
            found.append(line.strip().rstrip("."))
        elif line.startswith(_EXCEPTION) and (cause := _CAUSE.search(line)):
            found.append(cause[cause.lastgroup or 0].strip())
    return "; ".join(dict.fromkeys(found))


def _shown(address: str, words: str) -> str:
    """Returns words in one line, without any part of the address, and not too long."""
    text = " ".join(printable(redactor(_parts(address))(words)).split())
    return text if len(text) <= REASON_LENGTH else f"{text[: REASON_LENGTH - 1]}…"


def _parts(address: str) -> list[str]:
    """Returns every part of an address that may be a secret: all but its scheme and the names of its options."""
    rest = address.partition("://")[2]
    place, _, query = rest.partition("?")
    texts = [place, *(value for _, value in parse_qsl(query))]
    found = {address, rest, query}
    for text in (*texts, *map(unquote, texts)):
        found |= {text, *re.split(r"[/:@,;#&=?\s]+", text)}
    found |= {spelt for part in found for spelt in (part.lower(), part.upper())}
    return sorted((part for part in found if len(part) >= PART_LENGTH), key=len, reverse=True)
