"""The machine's own variables: which proxies to go through, which certificates to trust, where TLS keys are logged.

They are no settings of this program, but they can make its connections impossible. `faults` finds that out before the
first connection: it builds the parts that a connection is made of, and returns one line for each fault. Without such
variables it does nothing.
"""

from __future__ import annotations

import errno
import importlib.util
import ipaddress
import os
import re
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from pydantic import SecretStr

from config import Settings
from network import trust
from settings.types import LOOPBACK_HOSTS, host_fault

if TYPE_CHECKING:
    import ssl

CERTIFICATES, KEY_LOG = ("SSL_CERT_FILE", "SSL_CERT_DIR"), "SSLKEYLOGFILE"

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "wss_proxy", "socks_proxy")
"""Read in lower case first, then in upper case, by everything that speaks HTTP."""

SOCKS = ("socks5", "socks5h")
SOCKS_PACKAGES = ("socksio", "python_socks")
"""What httpx and websockets need to speak SOCKS. They are no part of requirements.txt."""

TAKES_PROXY = "takes a proxy as http://HOST:PORT; set it so, or unset it for this program"

HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""How OpenSSL names the certificates in a folder."""


def faults(settings: Settings | None) -> list[str]:
    """Returns one line for each variable that makes a connection impossible. ``settings`` is None if they are invalid."""
    given = [name for name in (*CERTIFICATES, KEY_LOG, *_proxy_names()) if os.environ.get(name)]
    if not given or (settings is not None and not _leaves_the_machine(settings)):
        return []
    return [*_certificate_faults(), *_proxy_faults()]


def unify() -> None:
    """Send the sockets through the proxy of REST and pushes.

    The library for sockets does not know ``ALL_PROXY``, nor a proxy that is written without ``http://``.
    """
    proxies = getproxies_environment()
    proxy = proxies.get("https") or proxies.get("all")
    if proxy and not any(proxies.get(scheme) for scheme in ("wss", "socks")):
        os.environ["https_proxy"] = _with_scheme(proxy)


def forget_tls() -> None:
    """Take the machine's certificates and its log of TLS keys out of the environment of this process.

    For what speaks to its own loopback only: aiohttp reads them while it is imported, and a file that is gone, or a
    pipe, would end the program or keep it waiting for something that it does not use.
    """
    for name in (*CERTIFICATES, KEY_LOG):
        os.environ.pop(name, None)


def doubts() -> list[str]:
    """Returns one line for each variable whose effect the owner may not expect. None of them is a fault."""
    told = []
    if os.environ.get(KEY_LOG):
        told.append(
            f"{KEY_LOG} is set: whoever can read that file can read your keys in transit; unset it if you can"
        )
    proxy = getproxies_environment().get("https")
    if proxy:
        host = urlsplit(_with_scheme(proxy)).netloc.rpartition("@")[2]
        told.append(
            f"https_proxy is set: the the vendor and Pushover are reached through {host}, unless no_proxy says otherwise"
        )
    return told


def _leaves_the_machine(settings: Settings) -> bool:
    """Returns whether any address is on another machine: loopback uses neither proxies nor certificates."""
    given = (getattr(settings, name) for name in type(settings).model_fields if name.endswith("_url"))
    addresses = (value.get_secret_value() if isinstance(value, SecretStr) else value for value in given)
    return any(address and urlsplit(address).hostname not in LOOPBACK_HOSTS for address in addresses)


# --- Certificates ------------------------------------------------------------------------------------


def _certificate_faults() -> Iterator[str]:
    import ssl  # noqa: PLC0415 - only where the machine names certificates of its own

    found: list[str] = []
    if name := os.environ.get(KEY_LOG):
        try:
            _append(name)
        except (OSError, ValueError) as error:
            takes = "takes a file that this user may write; unset it for this program"
            found.append(f"{KEY_LOG}: got {name!r} ({_words(error)}); {takes}")
    # OpenSSL reads the first of them that is set, and ignores the other.
    variable = next((name for name in CERTIFICATES if os.environ.get(name)), None)
    if variable is not None:
        value = os.environ[variable]
        try:
            (_read_file if variable == "SSL_CERT_FILE" else _read_folder)(value)
        except (OSError, ValueError) as error:
            what = (
                "a file of certificates (PEM)" if variable == "SSL_CERT_FILE" else "a folder made by c_rehash"
            )
            takes = f"takes {what}; mend it, or unset it for this program: it brings certificates of its own"
            found.append(f"{variable}: got {value!r} ({_words(error)}); {takes}")
    yield from found
    if not found:
        try:
            trust()
        except (ssl.SSLError, OSError, ValueError) as error:
            yield f"TLS cannot be set up on this machine ({_words(error)}); check OPENSSL_CONF, and Python's ssl module"


def _append(path: str) -> None:
    """Opens a file as the TLS key log is opened, without waiting for a reader. Raises OSError, or ValueError for an impossible name."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    mode = os.fstat(descriptor).st_mode
    os.close(descriptor)
    if stat.S_ISFIFO(mode):
        raise OSError(errno.ENXIO, "it is a pipe")


def _read_file(path: str) -> None:
    """Reads a file of certificates. Raises OSError (ssl.SSLError is one), or ValueError for an impossible name."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EISDIR, "it is not a plain file")
    _context().load_verify_locations(cafile=path)


def _read_folder(path: str) -> None:
    """Checks that a folder has certificates: OpenSSL reads them only when it needs them, and reports no missing one."""
    folders = path.split(os.pathsep)
    if not any(HASHED.fullmatch(name) for folder in folders for name in os.listdir(folder)):
        raise OSError(errno.ENOENT, "it has no certificates under their hashes")
    _context().load_verify_locations(capath=path)


def _context() -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 - only where the machine names certificates of its own

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return getattr(error, "reason", None) or type(error).__name__


# --- Proxies -----------------------------------------------------------------------------------------


def _proxy_names() -> tuple[str, ...]:
    return (*PROXIES, *(name.upper() for name in PROXIES))


def _proxy_faults() -> Iterator[str]:
    found = False
    for scheme, value in getproxies_environment().items():
        if f"{scheme}_proxy" not in PROXIES or not value:
            continue
        fault = _no_proxy_fault(value) if scheme == "no" else _proxy_fault(scheme, value)
        if fault:
            found = True
            name = f"{scheme}_proxy" if os.environ.get(f"{scheme}_proxy") else f"{scheme}_proxy".upper()
            yield f"{name}: {fault}"
    if not found and (reason := _client_fault()):
        yield f"HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY: no connection can be made with them ({reason}); unset them"


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _proxy_fault(scheme: str, value: str) -> str | None:
    """Returns why REST, pushes and sockets cannot all use a proxy; None if they can."""
    shown = "a value that is not shown" if "@" in value else repr(value)
    wrong = f"got {shown}; {TAKES_PROXY}"
    try:
        parts = urlsplit(_with_scheme(value))
        host, port, password = parts.hostname, parts.port, parts.password
    except ValueError:
        return wrong
    if parts.scheme in SOCKS or scheme == "socks":
        if all(importlib.util.find_spec(name) for name in SOCKS_PACKAGES):
            return None
        return f"{wrong} (SOCKS needs the packages socksio and python-socks, which are not installed)"
    if (
        parts.scheme not in ("http", "https")
        or not host
        or port == 0
        or host_fault(host)
        or not value.isprintable()
    ):
        return wrong
    if parts.path not in ("", "/") or parts.query or parts.fragment or (parts.username and password is None):
        return wrong
    return None


def _no_proxy_fault(value: str) -> str | None:
    """Returns why a list of hosts to reach without a proxy is invalid; None if it is valid."""
    import httpx  # noqa: PLC0415 - only where the machine names proxies

    wrong: list[str] = []
    for entry in (part.strip() for part in value.split(",")):
        try:
            if entry and entry != "*":
                httpx.Client(trust_env=False, verify=False, mounts={_pattern(entry): None}).close()
        except (ValueError, httpx.InvalidURL):
            wrong.append(entry)
    if not wrong:
        return None
    shown = "a value that is not shown" if "@" in value else ", ".join(map(repr, wrong))
    return (
        f"got {shown}; takes names and addresses with commas between them, no blocks of IPv6: leave that out"
    )


def _pattern(entry: str) -> str:
    """Returns the pattern that httpx makes of an entry of ``NO_PROXY``."""
    if "://" in entry:
        return entry
    try:
        version = ipaddress.ip_address(entry.partition("/")[0]).version
    except ValueError:
        return f"all://{entry}" if entry.lower() == "localhost" else f"all://*{entry}"
    return f"all://[{entry}]" if version == 6 else f"all://{entry}"  # noqa: PLR2004 - IPv6


def _client_fault() -> str | None:
    """Returns why no HTTP client can be made with this machine's proxies; None if one can."""
    import httpx  # noqa: PLC0415 - only where the machine names proxies

    try:
        httpx.Client(verify=False).close()
    except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
        return type(error).__name__
    return None
