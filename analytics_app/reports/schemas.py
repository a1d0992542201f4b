"""Email reports as the API takes and shows them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from analytics_app.deliveries.schemas import DeliveryOut
from analytics_app.reports.addresses import MailAddress
from analytics_app.reports.logic import Frequency, Section
from analytics_app.shapes import Body, Instant, Line, Query, Shape
from analytics_app.stats.logic import Metric


def each_once(values: list[str]) -> list[str]:
    """`values` without repeats, in their order."""
    return list(dict.fromkeys(values))


Name = Annotated[str, Line(200)]
Recipients = Annotated[list[MailAddress], AfterValidator(each_once)]
Metrics = Annotated[list[Metric], AfterValidator(each_once)]
Sections = Annotated[list[Section], AfterValidator(each_once)]


class ReportSettings(Body):
    """What a report may leave to its defaults."""

    metrics: Metrics = Field(
        default=["pageviews", "visitors", "sessions", "bounce_rate", "avg_session_duration"],
        min_length=1,
        max_length=20,
        description="What it tells, in that order, each beside the period before",
    )
    sections: Sections = Field(
        default=["pages", "sources", "countries", "goals"], max_length=20, description="The lists below the numbers"
    )
    is_enabled: bool = Field(True, description="false: it is sent by hand only")


class ReportBody(ReportSettings):
    """A report to create, or to put in the place of another."""

    name: Name = Field(examples=["Weekly Summary"])
    frequency: Frequency = Field(examples=["weekly"])
    recipients: Recipients = Field(min_length=1, max_length=50, examples=[["user@example.com"]])


class ReportPatch(ReportSettings):
    """The fields of a report that are to change."""

    name: Name = Field("", examples=["Weekly Summary"])
    frequency: Frequency = Field("weekly", examples=["weekly"])
    recipients: Recipients = Field(default_factory=list, min_length=1, max_length=50, examples=[["user@example.com"]])

    def changes(self) -> dict[str, object]:
        """What was given, and nothing else."""
        return self.model_dump(include=self.model_fields_set)


class ReportOut(Shape):
    """A report."""

    id: int = Field(examples=[1])
    website_id: int
    name: str
    frequency: Frequency
    recipients: list[str] = Field(description="Who has unsubscribed is not among them any more")
    metrics: list[Metric]
    sections: list[Section]
    is_enabled: bool
    next_send_at: Instant | None = Field(description="When it is due next; null while it is disabled")
    created_at: Instant
    updated_at: Instant


class SendOut(Shape):
    """One sending of a report."""

    id: int
    trigger: Literal["schedule", "manual"]
    period_start: Instant
    period_end: Instant
    created_at: Instant
    state: Literal["waiting", "sent", "failed", "unknown"] = Field(
        description="waiting while any mail is; failed or unknown where any is that, else sent"
    )
    deliveries: list[DeliveryOut]


class SentOut(Shape):
    """A report is on its way."""

    ok: bool = Field(True, json_schema_extra={"const": True})
    send_id: int = Field(description="What the list of its sends knows it by")


class PreviewOut(Shape):
    """A report as it would be sent now."""

    subject: str
    html: str = Field(description="Its chart is within, as a data: URL")
    text: str


class UnsubscribeQuery(Query):
    """The link of a mail."""

    token: str = Field("", max_length=1000, description="What the link carries")
