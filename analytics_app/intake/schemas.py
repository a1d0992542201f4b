"""HTTP shapes of tracking: what browsers and servers send, and what they are answered.

Texts are cleaned and cut, not refused: a long title is no reason to lose a pageview. What cannot be meant (a wrong
type, a negative time, a property that is a list) is refused, all faults at once.
"""

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from analytics_app.intake.currencies import CURRENCIES
from analytics_app.intake.text import MAX_PROPERTIES, MAX_PROPERTY_NAME, clean_properties, clean_text
from analytics_app.shapes import MAX_SAFE_ID, VISIBLE, Moment, Whole

LONG, SHORT = 1000, 200


def _none_to_empty(value: object) -> object:
    return "" if value is None else value


def _text(limit: int) -> Any:
    return Annotated[str, BeforeValidator(_none_to_empty), AfterValidator(lambda text: clean_text(text, limit))]


def _currency(value: str) -> str:
    if value.upper() not in CURRENCIES:
        raise ValueError("must be a currency code of ISO 4217, such as EUR")
    return value.upper()


def _money(value: float) -> float:
    if not math.isfinite(value) or abs(value) >= 10**14:
        raise ValueError("must be a number below 10^14")
    return value


def _properties(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError("must be an object of texts, numbers and booleans")  # noqa: TRY004 - pydantic takes ValueError
    return clean_properties(value)


def _seconds(value: object) -> object:
    if isinstance(value, float) and math.isfinite(value):
        return math.floor(value)
    return value


if TYPE_CHECKING:
    Long = str
    Short = str
else:
    Long = _text(LONG)
    Short = _text(SHORT)
Key = Annotated[str, Field(min_length=1, max_length=100, description="The website's pixel key")]
Id = Annotated[str, Field(min_length=1, max_length=200)]
Pixels = Annotated[
    int,
    BeforeValidator(_seconds),
    Field(ge=0, le=100_000),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100_000}),
]
Total = Annotated[int, BeforeValidator(_seconds), Field(ge=0), WithJsonSchema({"type": "number", "minimum": 0})]
Currency = Annotated[str, AfterValidator(_currency), WithJsonSchema({"type": "string", "enum": sorted(CURRENCIES)})]
Money = Annotated[
    float | int,
    Field(union_mode="left_to_right"),
    AfterValidator(_money),
    WithJsonSchema({"type": "number", "exclusiveMinimum": -(10**14), "exclusiveMaximum": 10**14}),
]
_PROPERTY_NAME = {"minLength": 1, "maxLength": MAX_PROPERTY_NAME, "pattern": VISIBLE}
Properties = Annotated[
    dict[str, str | int | float | bool | None],
    BeforeValidator(_properties),
    Field(json_schema_extra={"maxProperties": MAX_PROPERTIES, "propertyNames": _PROPERTY_NAME}),
]
Kind = Literal["pageview", "event", "click", "scroll", "form", "goal", "custom"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class _HitBody(_Body):
    """What a pageview and an event have in common."""

    id: Annotated[UUID, Field(strict=False)] | None = Field(
        None, description="Your own id of the hit: sent again within 48 hours, it counts once"
    )
    visitor_id: Id | None = Field(None, description="Your id of the visitor; made by the service where missing")
    session_id: Id | None = Field(None, description="Your id of the session; made by the service where missing")
    path: Long = Field("", description="The page, as a path; an address is reduced to its path")
    title: Short = ""
    host: Short = Field("", description="Host of the page")
    referrer: Long = Field("", description="Address the visitor came from")
    utm_source: Short = ""
    utm_medium: Short = ""
    utm_campaign: Short = ""
    utm_term: Short = ""
    utm_content: Short = ""
    screen_width: Pixels | None = None
    screen_height: Pixels | None = None
    language: Short = ""
    properties: Properties | None = None
    value: Money | None = Field(None, description="Revenue, in `currency`")
    currency: Currency | None = Field(None, description="ISO 4217, such as EUR")
    interactive: bool = Field(True, description="false: the event does not keep a session from being a bounce")
    webdriver: bool = Field(False, description="Whether the browser says that a program drives it; the tracker tells")
    timestamp: Moment | None = Field(
        None, description="When it happened, at most 24 hours ago; needs a token with the scope write"
    )
    ip: Short = Field("", description="The visitor's address; needs a token with the scope write")
    user_agent: Long = Field("", description="The visitor's user agent; needs a token with the scope write")

    @property
    def screen(self) -> str:
        """`1920x1080`, or nothing."""
        return f"{self.screen_width}x{self.screen_height}" if self.screen_width and self.screen_height else ""

    @property
    def amount(self) -> str | None:
        """The value to four decimals, exactly as it was written."""
        return None if self.value is None else f"{Decimal(str(self.value)):.4f}"


class PixelBody(_HitBody):
    """A pageview or event whose key stands in the address."""

    type: Kind = "pageview"
    name: Short = ""


class TrackBody(PixelBody):
    """A pageview, or an event."""

    key: Key


class EventBody(_HitBody):
    """A custom event."""

    key: Key
    name: Annotated[str, Field(min_length=1), AfterValidator(lambda text: clean_text(text, SHORT))]


class HeartbeatBody(_Body):
    """Engagement with a pageview so far. Totals, of which the highest counts."""

    event_id: Annotated[int, Whole(0, MAX_SAFE_ID)]
    session_id: Id
    time_on_page: Total = Field(0, description="Seconds; more than a day counts as a day")
    scroll_depth: Total = Field(0, description="Percent; more than 100 counts as 100")
    key: Key | None = None


class LeaveBody(_Body):
    """The end of a session's clock."""

    session_id: Id
    key: Key | None = None


class Capture(BaseModel):
    """What the tracker is to record of a view, each by the script of that name; what is left out is not recorded."""

    heatmap: list[Literal["click", "move", "scroll"]] | None = None
    replay: dict[str, Any] | None = None


class Tracked(BaseModel):
    """Kafka has the hit, unless `ignored` says why it is not counted."""

    ok: Literal[True] = True
    event_id: int | None = None
    visitor_id: str | None = None
    session_id: str | None = None
    ignored: str | None = None
    capture: Capture | None = Field(None, description="What is to be recorded of the view, for websites of type full")
