"""Alerts as the API takes and shows them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema
from yarl import URL

from analytics_app.alerts.logic import AlertType
from analytics_app.deliveries.schemas import DeliveryOut
from analytics_app.reports.addresses import MailAddress
from analytics_app.reports.schemas import Name, each_once
from analytics_app.shapes import MAX_ROW_ID, Body, Instant, Shape, Whole

AlertMetric = Literal["pageviews", "visitors"]


def _web_address(value: str) -> str:
    try:
        url = URL(value)
        port = url.port
    except ValueError:
        raise ValueError("must be an address such as https://example.com/hook") from None
    if (
        url.scheme not in ("http", "https")
        or not url.host
        or not port
        or url.user
        or url.password
        or not value.isascii()
    ):
        raise ValueError("must be an address such as https://example.com/hook, without a name or password in it")
    return value


WebAddress = Annotated[
    str,
    AfterValidator(_web_address),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 500,
            "pattern": r"^https?://[a-z][a-z0-9]{0,40}(\.[a-z]{2,20}){1,3}/[a-z0-9/]{0,80}$",
        }
    ),
]


class AlertSettings(Body):
    """What an alert may leave to its defaults."""

    metric: AlertMetric = Field("pageviews", description="What is counted, for spikes and drops")
    goal_id: Annotated[int, Whole(1, MAX_ROW_ID)] | None = Field(None, description="The goal, for goal_silence")
    window_minutes: Annotated[int, Whole(15, 1440)] = Field(
        60, description="Length of the stretch that ends now; it is compared with the same one of four weeks before"
    )
    threshold_percent: Annotated[float, Field(gt=0, le=100_000)] = Field(
        50.0, description="How far from the usual it must be, in percent of that (a drop: at most 100)"
    )
    min_count: Annotated[int, Whole(1, 1_000_000_000)] = Field(
        20, description="A spike must reach so many; a drop or a silence must be used to so many"
    )
    cooldown_minutes: Annotated[int, Whole(0, 43_200)] = Field(360, description="Shortest time between two firings")
    recipients: Annotated[list[MailAddress], AfterValidator(each_once)] = Field(default_factory=list, max_length=50)
    webhook_url: WebAddress | None = Field(None, max_length=500, description="Called with a signed POST")
    is_enabled: bool = True


class AlertBody(AlertSettings):
    """An alert to create, or to put in the place of another."""

    name: Name = Field(examples=["Traffic has fallen"])
    type: AlertType = Field(examples=["traffic_drop"])


class AlertPatch(AlertSettings):
    """The fields of an alert that are to change."""

    name: Name = Field("", examples=["Traffic has fallen"])
    type: AlertType = Field("traffic_drop", examples=["traffic_drop"])

    def changes(self) -> dict[str, object]:
        """What was given, and nothing else."""
        return self.model_dump(include=self.model_fields_set)


class AlertOut(Shape):
    """An alert."""

    id: int = Field(examples=[1])
    website_id: int
    name: str
    type: AlertType
    metric: AlertMetric
    goal_id: int | None
    window_minutes: int
    threshold_percent: float
    min_count: int
    cooldown_minutes: int
    recipients: list[str]
    webhook_url: str | None
    webhook_secret: str | None = Field(
        description="Key of the signature of its calls; null without a webhook, or to a token that may only read"
    )
    is_enabled: bool
    firing_since: Instant | None
    last_fired_at: Instant | None
    created_at: Instant
    updated_at: Instant


class FiringOut(Shape):
    """One time an alert fired."""

    id: int
    at: Instant
    value: int = Field(description="What was counted")
    usual: float = Field(description="The median of the weeks before")
    is_test: bool
    resolved_at: Instant | None
    deliveries: list[DeliveryOut]
