"""A real SMTP server, with TLS and a login, that keeps what it is given and can misbehave."""

import email
import email.policy
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from analytics_app.embedded.ports import kept_or_new

USER, PASSWORD = "stats", "correct horse"


@dataclass
class Inbox:
    """What arrived, and how the server behaves: `refuse` maps recipients to an answer, `cut` runs on the message."""

    messages: list[tuple[str, EmailMessage]] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)
    on_message: Callable[[SMTP], None] | None = None

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, _: Any) -> str:  # noqa: N802
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=email.policy.default)
        for recipient in envelope.rcpt_tos:
            self.messages.append((recipient, message))  # type: ignore[arg-type]
        if self.on_message is not None:
            self.on_message(server)
        return "250 OK"

    def to(self, recipient: str) -> list[EmailMessage]:
        return [message for said, message in self.messages if said == recipient]


@dataclass
class MailServer:
    """Where the server is, what signed its certificate, and what it was given."""

    port: int
    ca_file: Path
    inbox: Inbox

    @property
    def settings(self) -> dict[str, Any]:
        """The settings with which the service uses it."""
        from pydantic import SecretStr

        return {
            "smtp_host": "localhost",  # what its certificate says
            "smtp_port": self.port,
            "smtp_security": "starttls",
            "smtp_username": USER,
            "smtp_password": SecretStr(PASSWORD),
            "smtp_from": "Analytics <stats@example.com>",
            "smtp_ca_file": self.ca_file,
            "public_url": "https://stats.example.com",
        }


def _authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=good, handled=False)


@asynccontextmanager
async def mail_server(folder: Path) -> AsyncIterator[MailServer]:
    """A server on a free port, for as long as the block runs."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    inbox = Inbox()
    controller = Controller(
        inbox, hostname="127.0.0.1", port=kept_or_new(None), tls_context=context, require_starttls=True,
        authenticator=_authenticate, auth_required=True,
    )  # fmt: skip
    controller.start()
    try:
        yield MailServer(controller.port, ca_file, inbox)
    finally:
        controller.stop(no_assert=True)
