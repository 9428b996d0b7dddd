"""The network between clients and servers on one `SimLoop`: names, addresses, connections, and what hinders them.

Every service has a `Route`; whoever simulates changes it, and everything random comes from the ``source`` passed in.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import ipaddress
import itertools
import random
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sim.link import TO_CLIENT, TO_SERVER, Link, Route
from sim.loop import Process
from sim.transport import QuietSocket, Transport

FIRST_PORT = 20_000

SYN_RETRIES_S = (1, 2, 4, 8, 16, 32, 64)
"""Pauses after which a connection's first packet is sent again; then connecting fails (Linux: tcp_syn_retries 6)."""

RESOLVER_S = 20.0
"""A name server that does not answer is given up after this time: two servers, asked twice for 5 s each (resolv.conf)."""


@dataclass(slots=True)
class Dial:
    """An attempt to connect. ``end`` is empty while it goes on; ``given up`` where its caller cancelled it."""

    route: Route
    process: Process | None
    at: float
    ended_at: float | None = None
    end: str = ""
    link: Link | None = None


class Server:
    """A listening server, as far as an `asyncio.Server` is used."""

    def __init__(self, network: Network, factory: Callable[[], Any], address: tuple[str, int]) -> None:
        self.address = address
        self.context = contextvars.copy_context()
        self.factory = factory
        self.sockets = (QuietSocket(address, ("", 0), lambda: False),)
        self._network = network

    def close(self) -> None:
        """Accepts no more connections."""
        self._network.forget(self)

    async def wait_closed(self) -> None:
        """Returns at once."""

    def is_serving(self) -> bool:
        """Returns whether connections are accepted."""
        return self._network.server_at(self.address[1]) is self


class Network:
    """What is reachable, and how. ``links`` and ``dials`` are everything that ever was."""

    def __init__(self, source: random.Random) -> None:
        self.links: list[Link] = []
        self.dials: list[Dial] = []
        self.names: dict[str, tuple[str, ...]] = {"localhost": ("127.0.0.1",)}
        self.black_holes: set[str] = set()
        """Addresses that answer nothing, as where a network has no way for IPv6."""
        self.routes: dict[str, Route] = {}
        self.route_of: Callable[[str, bytes], str] = lambda name, said: name
        """The route of a connection to the service ``name`` that begins with these bytes."""
        self._source = source
        self._servers: dict[int, Server] = {}
        self._named: dict[int, str] = {}
        self._ports = itertools.count(FIRST_PORT)

    def route(self, name: str) -> Route:
        """Returns the way to a service."""
        if name not in self.routes:
            self.routes[name] = Route(name, self._source)
        return self.routes[name]

    # --- Servers ---

    def listen(self, factory: Callable[[], Any], host: str, port: int) -> Server:
        """Serves a port of this host; 0 is any that is free. Raises OSError if it is taken."""
        port = port or next(self._ports)
        if port in self._servers:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        server = self._servers[port] = Server(self, factory, (host, port))
        return server

    def alias(self, port: int, name: str) -> int:
        """Returns another port of the same server, which is the service ``name``."""
        other = next(self._ports)
        self._servers[other], self._named[other] = self._servers[port], name
        return other

    def server_at(self, port: int) -> Server | None:
        """Returns who listens at a port."""
        return self._servers.get(port)

    def forget(self, server: Server) -> None:
        """A server listens no more."""
        self._servers = {port: each for port, each in self._servers.items() if each is not server}

    # --- Clients ---

    async def resolve(self, host: str, port: int) -> tuple[str, ...]:
        """Returns the addresses of a name. Raises socket.gaierror."""
        try:
            return (str(ipaddress.ip_address(host)),)
        except ValueError:
            route = self._route_to(port)
        if route.unresolved:
            route.hits["unresolved"] += 1
            dial = self._dial(route)
            dial.end = "unresolved"
            await asyncio.sleep(RESOLVER_S if route.unresolved == "silent" else route.latency_s)
            dial.ended_at = asyncio.get_running_loop().time()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.names[host]

    async def connect(self, address: str, port: int) -> Transport:
        """Opens a connection. Returns the client's end, which `Transport.begin` hands to its protocol. Raises OSError."""
        loop, route = asyncio.get_running_loop(), self._route_to(port)
        dial = self._dial(route)
        try:
            dial.link = await self._handshake(route, address, port)
            dial.end = "connected"
            return dial.link.ends[TO_SERVER]
        except OSError as error:
            dial.end = "refused" if error.errno == errno.ECONNREFUSED else "unanswered"
            raise
        except asyncio.CancelledError:
            dial.end = "given up"
            raise
        finally:
            dial.ended_at = loop.time()

    async def _handshake(self, route: Route, address: str, port: int) -> Link:
        for pause in SYN_RETRIES_S:
            is_silent = route.dial == "silent" or address in self.black_holes
            if not is_silent and not any(route.holed(way, len(self.links) + 1) for way in (0, 1)):
                break
            route.hits["dial" if is_silent else "holes"] += 1
            await asyncio.sleep(pause)
        else:
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")
        await asyncio.sleep(2 * route.latency_s)
        server = self._servers.get(port)
        if server is None or route.dial == "refused":
            route.hits["dial"] += 1
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed ({address!r}, {port})")
        return self._accepted(route, server, (address, port))

    def _accepted(self, route: Route, server: Server, address: tuple[str, int]) -> Link:
        loop, number = asyncio.get_running_loop(), len(self.links) + 1
        link = Link(loop, route, number, Process.current.get())
        addresses = (("127.0.0.1", 40_000 + number), address)
        link.ends = (
            Transport(link, TO_SERVER, addresses, contextvars.copy_context()),
            Transport(link, TO_CLIENT, addresses, server.context),
        )
        link.first_said = self._first_said
        self.links.append(link)
        end = link.ends[TO_CLIENT]
        if route.dial == "closed":
            route.hits["dial"] += 1
            end.begin(asyncio.Protocol())
            end.close()
        else:
            server.context.run(end.begin, server.factory())
        return link

    def _first_said(self, link: Link, said: bytes) -> None:
        link.route = self.route(self.route_of(link.route.name, said))

    def _route_to(self, port: int) -> Route:
        return self.route(self._named.get(port, str(port)))

    def _dial(self, route: Route) -> Dial:
        process, now = Process.current.get(), asyncio.get_running_loop().time()
        self.dials.append(dial := Dial(route, process, now))
        return dial

    # --- What happens to connections ---

    def open_links(self, *names: str) -> Iterator[Link]:
        """Yields the open connections to these services; without a name, all."""
        for link in self.links:
            if not link.is_over and (not names or link.route.name in names):
                yield link

    def end_process(self, process: Process, *, silently: bool = False) -> None:
        """A process is dead: its connections end with it, or stay without an end where its host is gone (``silently``)."""
        process.die()
        for link in self.open_links():
            if link.process is process:
                link.die(silently=silently)
