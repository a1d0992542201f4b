"""Mails as people read them: HTML with its styles inlined, plain text beside it, the chart as an image within."""

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from functools import cache

import css_inline
from jinja2 import Environment, PackageLoader, select_autoescape

from analytics_app.reports.chart import draw
from analytics_app.reports.logic import Summary

CHART = "chart@analytics"


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail's parts; `chart` is a PNG that the HTML shows as `cid:` + `CHART`."""

    subject: str
    html: str
    text: str
    chart: bytes | None = None

    @property
    def standalone_html(self) -> str:
        """The HTML with the chart within, for a browser."""
        if self.chart is None:
            return self.html
        return self.html.replace(f"cid:{CHART}", "data:image/png;base64," + b64encode(self.chart).decode())


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("analytics_app.reports"),
        autoescape=select_autoescape(("html",)),
        trim_blocks=True,
        lstrip_blocks=True,
    )


def report_mail(summary: Summary, unsubscribe: str = "") -> Mail:
    """The report's mail; `unsubscribe` is the recipient's link."""
    known = {
        "summary": summary,
        "unsubscribe": unsubscribe,
        "chart": f"cid:{CHART}",
        "chart_text": f"Unique visitors, {sum(summary.visitors):,} over {len(summary.keys)} columns",
    }
    html = css_inline.inline(_templates().get_template("report.html").render(known))
    text = _templates().get_template("report.txt").render(known)
    return Mail(summary.subject, html, text, draw(summary.keys, summary.visitors, summary.visitors_before))


def alert_mail(*, website: str, host: str, name: str, sentence: str, at: str, is_test: bool) -> Mail:
    """The mail that an alert sends when it fires."""
    subject = f"{'Test: ' if is_test else ''}{name}: {host}"
    known = {"subject": subject, "website": website, "host": host, "name": name, "sentence": sentence, "at": at}
    html = css_inline.inline(_templates().get_template("alert.html").render(known, is_test=is_test))
    text = f"{website}: {name}\n\n{sentence}\n\n{at}, {host}\n" + ("This is a test.\n" if is_test else "")
    return Mail(subject, html, text)


def message_of(
    mail: Mail, *, sender: str, recipient: str, number: int, now: datetime, unsubscribe: str = ""
) -> EmailMessage:
    """`mail` as it crosses SMTP. `number` is the delivery's: another attempt at it is the same message."""
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = mail.subject, sender, recipient
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<delivery-{number}@{sender.rpartition('@')[2].strip('> ') or 'analytics'}>"
    message["Auto-Submitted"] = "auto-generated"
    if unsubscribe:
        message["List-Unsubscribe"] = f"<{unsubscribe}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    if mail.chart is not None:
        html = message.get_payload()[1]  # type: ignore[index]
        html.add_related(mail.chart, "image", "png", cid=f"<{CHART}>", disposition="inline", filename="visitors.png")  # type: ignore[union-attr]
    return message
