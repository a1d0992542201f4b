"""Goals and conversions as the API takes and shows them."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from analytics_app.goals.goal import Count, GoalType, MatchType
from analytics_app.intake.paths import clean_path
from analytics_app.intake.schemas import Currency
from analytics_app.shapes import Body, Instant, Line, PageQuery, Shape
from analytics_app.stats.filters import LONGEST_PATTERN, check_pattern, storable
from analytics_app.stats.schemas import ComparedQuery, Format, PeriodOut, PeriodQuery

MOST_GOALS = 1_000
"""Of one website."""
LONGEST_MATCH = 1_000
LONGEST_DURATION_S = 86_400
MOST_PAGES = 1_000
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)


def _match_value(value: object) -> object:
    """A threshold may come as a number; it is told as a text, like the others.

    Raises:
        ValueError: a number that is no threshold of any type of goal.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        return value
    if not 1 <= value <= LONGEST_DURATION_S:
        raise ValueError(f"must be a text, or a whole number from 1 to {LONGEST_DURATION_S}")
    return str(int(value))


Name = Annotated[str, Line(200)]
Amount = Annotated[float, Field(ge=0, lt=10**14)]
MatchValue = Annotated[
    str,
    BeforeValidator(_match_value),
    Field(min_length=1, max_length=LONGEST_MATCH),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": LONGEST_MATCH},
                {"type": "integer", "minimum": 1, "maximum": LONGEST_DURATION_S},
            ],
            "examples": ["/signup/complete"],
        }
    ),
]
_TYPE: Any = Field(description="What is looked at: a page, an event's name, or how long or how many pages a session is")
_MATCH_TYPE: Any = Field(
    "equals",
    validate_default=True,
    description="How `match_value` is compared with a path or name; regex is RE2. Null for thresholds",
)
_MATCH_VALUE: Any = Field(
    description="A path, a name, a regular expression; for `duration` seconds, for `pages_per_session` pageviews: a"
    " session converts when it has at least so many"
)
_COUNT: Any = Field("once", description="How often a session converts: once, or with every event that matches")
_VALUE: Any = Field(None, description="What a conversion is worth; null: what its event says")
_CURRENCY: Any = Field(None, description="Of `value`; where that is null, the one in which `total_value` is told")
_IS_ENABLED: Any = Field(True, description="false: nothing new converts")


class GoalBody(Body):
    """A goal to create, or to put in the place of another."""

    name: Name = Field(examples=["Signup Completion"])
    type: GoalType = _TYPE
    match_type: MatchType | None = _MATCH_TYPE
    match_value: MatchValue = _MATCH_VALUE
    count: Count = _COUNT
    value: Amount | None = _VALUE
    currency: Currency | None = _CURRENCY
    is_enabled: bool = _IS_ENABLED

    @field_validator("match_type", mode="after")
    @classmethod
    def _fitting_type(cls, value: MatchType | None, info: ValidationInfo) -> MatchType | None:
        return None if _has_threshold(info) else value or "equals"

    @field_validator("match_value", mode="after")
    @classmethod
    def _fitting_value(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("type") == "duration":
            return _threshold(value, LONGEST_DURATION_S, "seconds")
        if info.data.get("type") == "pages_per_session":
            return _threshold(value, MOST_PAGES, "pageviews")
        if not storable(value) or not value.strip():
            raise ValueError("must be a text that can be stored")
        if info.data.get("match_type") == "regex":
            check_pattern(value)
        elif info.data.get("type") == "pageview" and info.data.get("match_type") == "equals":
            return clean_path(value)  # as paths are stored
        return value

    @field_validator("count", mode="after")
    @classmethod
    def _fitting_count(cls, value: Count, info: ValidationInfo) -> Count:
        if value == "every" and _has_threshold(info):
            raise ValueError("must be once: a session passes a threshold once")
        return value


def _has_threshold(info: ValidationInfo) -> bool:
    return info.data.get("type") in ("duration", "pages_per_session")


def _threshold(value: str, most: int, of_what: str) -> str:
    if not _WHOLE.fullmatch(value) or not 1 <= int(value) <= most:
        raise ValueError(f"must be a whole number of {of_what} from 1 to {most}")
    return str(int(value))


class GoalPatch(Body):
    """The fields of a goal that are to change. Whether they go together is judged with those that stay."""

    name: Name = Field("", examples=["Signup Completion"])
    type: GoalType = Field("pageview", description=_TYPE.description)
    match_type: MatchType | None = _MATCH_TYPE
    match_value: MatchValue = Field("/", description=_MATCH_VALUE.description)
    count: Count = _COUNT
    value: Amount | None = _VALUE
    currency: Currency | None = _CURRENCY
    is_enabled: bool = _IS_ENABLED

    def changes(self) -> dict[str, Any]:
        """What was given, and nothing else."""
        return self.model_dump(include=self.model_fields_set)


class GoalOut(Shape):
    """A goal."""

    id: int = Field(examples=[1])
    website_id: int
    name: str = Field(examples=["Signup Completion"])
    type: GoalType
    match_type: MatchType | None
    match_value: str
    count: Count
    value: float | None
    currency: str | None
    is_enabled: bool
    created_at: Instant
    updated_at: Instant


class ConversionsQuery(PeriodQuery, PageQuery):
    """Which conversions to list."""

    format: Format = Field(None, description="`csv` is also asked for by `Accept: text/csv`")


class ConversionOut(Shape):
    """A conversion."""

    converted_at: Instant
    visitor_hash: str | None = Field(description="The hash the visitor is stored under")
    session_id: int
    event_id: int | None = Field(description="What converted; null for a duration")
    path: str | None = Field(description="Its page; for a duration the page of that moment")
    name: str | None = Field(description="Of an event")
    value: float | None
    currency: str | None


class GoalStatsQuery(ComparedQuery):
    """What the statistics of a goal take."""


class ValueOut(Shape):
    """What the conversions of one currency come to."""

    currency: str | None
    conversions: int
    total_value: float
    average_value: float


class GoalFiguresOut(Shape):
    """The numbers of a goal in a period."""

    total_conversions: int = Field(examples=[342])
    conversion_rate: float = Field(examples=[4.2], description="Percent of the period's visitors who converted")
    total_value: float = Field(examples=[15230.5], description="In `currency`")
    average_value: float = Field(examples=[44.53], description="Of a conversion, those of other currencies left out")
    currency: str | None
    converted_visitors: int
    unique_visitors: int = Field(description="All visitors of the period")
    values: list[ValueOut] = Field(description="By currency, the most conversions first")
    period: PeriodOut


class GoalStatsOut(GoalFiguresOut):
    """The numbers of a period, and of the one it is compared with."""

    previous: GoalFiguresOut | None = None


CSV_COLUMNS = tuple(ConversionOut.model_fields)
assert LONGEST_MATCH <= LONGEST_PATTERN
