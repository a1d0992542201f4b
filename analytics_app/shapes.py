"""Shapes that every part of the API shares: one object, a page of them, an error, and the types of their fields."""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any
from zoneinfo import available_timezones

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypeAliasType

from analytics_app import clock
from analytics_app.errors import NotFound
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
VISIBLE = f"[^{_NOTHING}]"
"""The pattern of a text of which cleaning leaves something."""


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


@dataclass(frozen=True)
class Line:
    """Of a text: at most `most` characters, taken without control characters and surrounding space, then not empty."""

    most: int

    def cleaned(self, value: str) -> str:
        """The text as it is kept."""
        if len(value) > self.most:
            raise ValueError(f"must have at most {self.most} characters")
        if not (text := clean_text(value, self.most)):
            raise ValueError("must not be empty")
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.cleaned, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": self.most, "pattern": VISIBLE}


@dataclass(frozen=True)
class Whole:
    """Of an integer in a body: its bounds. JSON has one kind of number, so 60.0 is 60."""

    least: int
    most: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        bounded = core_schema.int_schema(ge=self.least, le=self.most, strict=True)
        return core_schema.no_info_before_validator_function(_whole, bounded)


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


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

DaysZone = Annotated[
    Timezone,
    BeforeValidator(lambda name: name or "UTC"),
    Field(description="IANA zone in which days begin and end"),
]
"""A query's zone; empty, as missing, is its default UTC."""


class Shape(BaseModel):
    """The base of what goes out."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


class Body(BaseModel):
    """The base of what comes in as JSON. Types are meant as they are written: "1" is no number, 1 is no boolean."""

    model_config = ConfigDict(extra="ignore", strict=True)


class Query(BaseModel):
    """The base of what comes in as a query string. Parameters nobody knows are left alone.

    One that may be missing (whose default is None) may be empty instead.
    """

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, said: dict[str, Any]) -> dict[str, Any]:
        if "" not in said.values():
            return said
        optional = {name for name, field in cls.model_fields.items() if field.default is None}
        return {name: value for name, value in said.items() if value != "" or name not in optional}


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


CURSOR = r"^(c\.[A-Za-z0-9_-]{7,1200})?$"


def encode_cursor(after: Any) -> str:
    """`after`, whatever JSON holds, as an opaque text for a URL."""
    said = orjson.dumps(after)
    return "c." + base64.urlsafe_b64encode(_check(said) + said).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> Any:
    """What `encode_cursor` was given. Raises `NotFound` on anything else: no list ever had such a page."""
    text = cursor.removeprefix("c.")
    try:
        whole = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise _no_such_page() from None
    check, said = whole[:4], whole[4:]
    if check != _check(said):
        raise _no_such_page()
    return orjson.loads(said)


def _check(said: bytes) -> bytes:
    # Against typing errors and cut texts only: a cursor says nothing that its holder may not ask for anyway.
    return sha256(b"cursor" + said).digest()[:4]


def id_after(cursor: str | None) -> int:
    """The id that a cursor over ids stands for; 0 without one. Raises `NotFound` on a cursor of another list."""
    after = decode_cursor(cursor) if cursor else 0
    if type(after) is not int or not 0 <= after <= MAX_SAFE_ID:
        raise _no_such_page()
    return after


def _no_such_page() -> NotFound:
    return NotFound("cursor: it is not the next_cursor of an earlier page of this list")


class PageQuery(Query):
    """What every list takes."""

    limit: int = Field(50, ge=1, le=1000, description="Most items on a page")
    cursor: Annotated[str | None, BeforeValidator(lambda value: value or None)] = Field(
        None, pattern=CURSOR, description="`meta.next_cursor` of the page before"
    )
