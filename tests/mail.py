"""A mail server on loopback that takes each mail, or refuses it with the answer that a test hands it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class MailServer:
    """What was mailed, and how each command is answered that is not answered well."""

    refusals: dict[str, str]
    """Commands (``RCPT``) and the answers that refuse them (``550 no such user``)."""
    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: RFC 5321, as far as a client that sends one mail needs it."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(b"220 loopback\r\n")
            while command := (await reader.readuntil(b"\r\n")).decode()[:4].upper():
                answer = self.refusals.get(command, "221 bye" if command == "QUIT" else "250 fine")
                if command == "DATA" and answer.startswith("2"):
                    writer.write(b"354 go on\r\n")
                    mail = (await reader.readuntil(b"\r\n.\r\n")).removesuffix(b".\r\n")
                    self.mails.append(message_from_bytes(mail, EmailMessage, policy=policy.default))
                writer.write(f"{answer}\r\n".encode())
                await writer.drain()
                if command == "QUIT":
                    break
        writer.close()


@asynccontextmanager
async def mail_server(**refusals: str) -> AsyncIterator[MailServer]:
    """A mail server that refuses these commands."""
    made = MailServer(refusals)
    server = await asyncio.start_server(made.talk, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
