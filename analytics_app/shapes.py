"""Shapes that every part of the API shares: one object, a page of them, an error, and the types of their fields."""

import base64
import binascii
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any
from zoneinfo import available_timezones

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from typing_extensions import TypeAliasType

from analytics_app import clock
from analytics_app.errors import FaultyField, Invalid
from analytics_app.intake.text import clean_text

MAX_SAFE_ID = 2**53 - 1
"""Largest id that JavaScript holds exactly."""

MAX_ROW_ID = 2**31 - 1
"""Largest id of what people define (websites, tokens, goals): a Postgres integer. A larger one names nothing."""


def instant(value: datetime | None) -> str | None:
    """A time as the API writes it; None stays None."""
    return None if value is None else clock.iso(value)


Instant = Annotated[
    datetime,
    PlainSerializer(instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-01T00:00:00Z"]}),
]
"""A time in an answer: ISO 8601 in UTC, to the second."""


# What cleaning leaves nothing of: space, control characters, marks of direction.
_NOTHING = "\\u0000-\\u0020\\u007f-\\u00a0\\u1680\\u2000-\\u200a\\u2028-\\u202f\\u205f\\u2066-\\u2069\\u3000"


_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:[.,](\d{1,6})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def moment(value: object) -> datetime:
    """The time that a text in RFC 3339's form stands for, in UTC; a leap second counts as the one before it.

    Raises ValueError on anything else, numbers included.
    """
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a time such as 2026-01-29T12:00:00Z")
    day, minute, second, fraction, zone = found.groups()
    offset = "+00:00" if zone in "Zz" else zone
    try:
        local = datetime.fromisoformat(f"{day}T{minute}:{min(second, '59')}.{fraction or '0':<06}{offset}")
    except ValueError:
        raise ValueError("must be a time that exists") from None
    try:
        return local.astimezone(UTC)
    except OverflowError:  # within a day of either end of the calendar
        return local.replace(tzinfo=UTC)


Moment = Annotated[
    datetime,
    PlainValidator(moment),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2027-01-01T00:00:00Z"]}),
]
"""A time in a body."""


def line(most: int) -> Any:
    """The type of a text of at most `most` characters, taken without control characters and surrounding space.

    Nothing but those is refused, as is an empty text.
    """

    def cleaned(value: str) -> str:
        if len(value) > most:
            raise ValueError(f"must have at most {most} characters")
        if not (text := clean_text(value, most)):
            raise ValueError("must not be empty")
        return text

    said = {"type": "string", "minLength": 1, "maxLength": most, "pattern": f"[^{_NOTHING}]"}
    return Annotated[str, AfterValidator(cleaned), WithJsonSchema(said)]


@lru_cache(maxsize=1)
def zones() -> frozenset[str]:
    """The names of all IANA time zones."""
    return frozenset(available_timezones() - {"localtime", "Factory"})


def _known_zone(name: str) -> str:
    if name not in zones():
        raise ValueError("must be an IANA time zone such as Europe/London")
    return name


Timezone = TypeAliasType(
    "Timezone",
    Annotated[str, AfterValidator(_known_zone), WithJsonSchema({"type": "string", "enum": sorted(zones())})],
)
"""The name of an IANA time zone."""


class Shape(BaseModel):
    """The base of what goes out."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


class Body(BaseModel):
    """The base of what comes in as JSON. Types are meant as they are written: "1" is no number, 1 is no boolean."""

    model_config = ConfigDict(extra="ignore", strict=True)


class Query(BaseModel):
    """The base of what comes in as a query string. Parameters nobody knows are left alone."""

    model_config = ConfigDict(extra="ignore")


class FaultOut(Shape):
    """One fault of a request."""

    field: str = Field(examples=["allowed_hosts.0"])
    message: str


class ErrorOut(Shape):
    """What every error looks like."""

    ok: bool = Field(False, json_schema_extra={"const": False})
    error: str = Field(examples=["The request is not valid"])
    code: str = Field(examples=["VALIDATION_ERROR"])
    details: list[FaultOut] | None = Field(None, description="With VALIDATION_ERROR: every fault at once")
    request_id: str | None = Field(None, description="With SERVER_ERROR: what to look for in the log")


class PageMeta(Shape):
    """Where a list goes on."""

    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last")


def encode_cursor(after: Any) -> str:
    """`after`, whatever JSON holds, as an opaque text for a URL."""
    return base64.urlsafe_b64encode(orjson.dumps(after)).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> Any:
    """What `encode_cursor` was given. Raises `Invalid` on anything else."""
    try:
        return orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise _not_a_cursor() from None


def id_after(cursor: str | None) -> int:
    """The id that a cursor over ids stands for; 0 without one. Raises `Invalid` on a cursor of another list."""
    after = decode_cursor(cursor) if cursor else 0
    if type(after) is not int or not 0 <= after <= MAX_SAFE_ID:
        raise _not_a_cursor()
    return after


def _not_a_cursor() -> Invalid:
    return Invalid(details=[FaultyField("cursor", "must be the next_cursor of an earlier page of this list")])


class PageQuery(Query):
    """What every list takes."""

    limit: int = Field(50, ge=1, le=1000, description="Most items on a page")
    cursor: Annotated[str | None, BeforeValidator(lambda value: value or None)] = Field(
        None, max_length=1000, description="`meta.next_cursor` of the page before"
    )
