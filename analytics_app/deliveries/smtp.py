"""Mail to the server of the settings."""

from email.message import EmailMessage

import aiosmtplib

from analytics_app.deliveries.logic import Outcome
from analytics_app.settings import Settings

WITHIN_S = 30.0
UNSET = (
    "No mail server is set up: set ANALYTICS_SMTP_HOST and ANALYTICS_SMTP_FROM (and ANALYTICS_SMTP_PORT, "
    "ANALYTICS_SMTP_SECURITY, ANALYTICS_SMTP_USERNAME, ANALYTICS_SMTP_PASSWORD as your server wants them)"
)


def is_set(settings: Settings) -> bool:
    """Whether there is a server to give mail to."""
    return bool(settings.smtp_host and settings.smtp_from)


async def send(settings: Settings, message: EmailMessage, recipient: str) -> Outcome:
    """Give `message` to the mail server for one recipient; never raises for what the server or the network does."""
    if not is_set(settings):
        return Outcome("unset", UNSET)
    client = aiosmtplib.SMTP(
        hostname=settings.smtp_host,
        port=settings.smtp_port,
        use_tls=settings.smtp_security == "tls",
        start_tls=settings.smtp_security == "starttls",
        timeout=WITHIN_S,
        cert_bundle=str(settings.smtp_ca_file) if settings.smtp_ca_file else None,
    )
    try:
        try:
            await client.connect()
            if settings.smtp_username:
                await client.login(settings.smtp_username, settings.smtp_password.get_secret_value())
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return Outcome("later", _said(error))
        return await _hand_over(client, settings.smtp_from, message, recipient)
    finally:
        client.close()


async def _hand_over(client: aiosmtplib.SMTP, sender: str, message: EmailMessage, recipient: str) -> Outcome:
    """The message itself. Until the server has answered to all of it, a broken connection leaves its fate open."""
    try:
        await client.send_message(message, sender=sender, recipients=[recipient])
    except aiosmtplib.SMTPRecipientsRefused as error:
        codes = [refused.code for refused in error.recipients]
        return Outcome("refused" if all(code >= 500 for code in codes) else "later", _said(error))
    except aiosmtplib.SMTPResponseException as error:  # the server answered: it has not taken it
        return Outcome("refused" if 500 <= error.code < 600 else "later", _said(error))
    except (aiosmtplib.SMTPException, OSError) as error:
        return Outcome("unsure", _said(error))
    return Outcome("sent")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
