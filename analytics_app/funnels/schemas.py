"""Funnels as the API takes and shows them."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from analytics_app.funnels.logic import MOST_STEPS, MatchType
from analytics_app.shapes import MAX_ROW_ID, Body, Instant, Line, Shape, Whole
from analytics_app.stats.periods import Compare, Interval
from analytics_app.stats.schemas import DimensionName, PeriodOut, PeriodQuery

LONGEST_WINDOW_H = 24 * 90
LONGEST_VALUE = 1_000

Name = Annotated[str, Line(200)]
MatchValue = Annotated[str, Line(LONGEST_VALUE)]
Position = Annotated[int, Whole(1, MOST_STEPS)]
Window = Annotated[int, Whole(1, LONGEST_WINDOW_H)]

_VALUE = "The page, or the name of the event; `*` stands for any text"
_OPTIONAL = "It may be left out, and never blocks; not for the first step"
FIRST_OPTIONAL = "the first step cannot be optional: a funnel is entered by it"


class StepFields(Body):
    """What a step is."""

    name: Name = Field(examples=["Add to Cart"])
    match_type: MatchType = Field("pageview", description="What takes the step")
    match_value: MatchValue = Field(description=_VALUE, examples=["/cart/add"])
    is_optional: bool = Field(False, description=_OPTIONAL)


class StepBody(StepFields):
    """A step to add, or to put in the place of another."""

    position: Position | None = Field(None, description="Its place, from 1; null: the last, or the one it has")


class StepPatch(Body):
    """The fields of a step that are to change."""

    name: Name = Field("", examples=["Add to Cart"])
    match_type: MatchType = Field("pageview", description="What takes the step")
    match_value: MatchValue = Field("", description=_VALUE, examples=["/cart/add"])
    is_optional: bool = Field(False, description=_OPTIONAL)
    position: Position | None = Field(None, description="Its place, from 1; null: the one it has")

    def changes(self) -> dict[str, object]:
        """What was given, and nothing else."""
        return self.model_dump(include=self.model_fields_set)


class ListedStep(StepFields):
    """A step of a whole list: one that there is already keeps its `id` by naming it."""

    id: Annotated[int, Whole(1, MAX_ROW_ID)] | None = Field(None, description="Of a step of this funnel; null: new")


def _possible(steps: list[ListedStep]) -> list[ListedStep]:
    if steps and steps[0].is_optional:
        raise ValueError(FIRST_OPTIONAL)
    ids = [step.id for step in steps if step.id is not None]
    if len(set(ids)) < len(ids):
        raise ValueError("an id stands twice")
    return steps


Steps = Annotated[list[ListedStep], Field(max_length=MOST_STEPS), AfterValidator(_possible)]


class StepsBody(Body):
    """All steps of a funnel in order, in the place of those it has."""

    steps: Steps


class FunnelSettings(Body):
    """What a funnel is, beside its steps."""

    is_strict: bool = Field(False, description="true: no other pageview or event may come between the steps")
    window_hours: Window = Field(24, description="Hours from step 1 within which the last step must be taken")


class FunnelBody(FunnelSettings):
    """A funnel to create, or to put in the place of another."""

    name: Name = Field(examples=["Checkout Funnel"])
    steps: Steps | None = Field(None, description="All its steps in order; null: those it has stay")

    def settings(self) -> dict[str, object]:
        """Everything but the steps."""
        return self.model_dump(exclude={"steps"})


class FunnelPatch(FunnelSettings):
    """The fields of a funnel that are to change."""

    name: Name = Field("", examples=["Checkout Funnel"])
    steps: Steps | None = Field(None, description="All its steps in order; null: those it has stay")

    def settings(self) -> dict[str, object]:
        """What was given, but for the steps."""
        return self.model_dump(include=self.model_fields_set - {"steps"})


class StepOut(Shape):
    """A step of a funnel."""

    id: int = Field(examples=[1])
    funnel_id: int = Field(examples=[1])
    position: int = Field(examples=[1])
    name: str = Field(examples=["Add to Cart"])
    match_type: MatchType
    match_value: str = Field(examples=["/cart/add"])
    is_optional: bool


class FunnelOut(Shape):
    """A funnel with its steps in order."""

    id: int = Field(examples=[1])
    website_id: int = Field(examples=[1])
    name: str = Field(examples=["Checkout Funnel"])
    is_strict: bool
    window_hours: int
    steps: list[StepOut]
    created_at: Instant
    updated_at: Instant


class AnalysisQuery(PeriodQuery):
    """What `analysis` takes."""

    compare: Compare | None = Field(
        None, description="Also the numbers of the period before, or of the same dates a year earlier"
    )
    breakdown: DimensionName | None = Field(None, description="Also the numbers of each value of this dimension")
    limit: int = Field(50, ge=1, le=1000, description="Most values of a breakdown")


class StreamQuery(PeriodQuery):
    """What `stream` takes."""


class TrendQuery(PeriodQuery):
    """What `trend` takes."""

    interval: Interval = Field("day", description="How long a bucket is")
    compare: Compare | None = Field(
        None, description="Also that of the period before, or of the same dates a year earlier"
    )


class SummaryOut(Shape):
    """A funnel as a whole."""

    total_entrants: int = Field(examples=[1000], description="Visitors who took step 1")
    completed: int = Field(examples=[120], description="Of them, those who took every required step")
    completion_rate: float = Field(examples=[12.0], description="Percent of the entrants")
    avg_completion_time: int = Field(examples=[540], description="Seconds from step 1 to the last required one")
    median_completion_time: int = Field(examples=[410], description="Seconds")
    total_steps: int = Field(examples=[4])


class StepNumbersOut(Shape):
    """What became of a funnel at a step."""

    step_id: int
    name: str
    visitors: int = Field(examples=[650], description="Visitors who took it")
    conversion_rate: float = Field(examples=[65.0], description="Percent of those of the required step before")
    drop_off: int = Field(examples=[350], description="Of those, the others")
    drop_off_rate: float = Field(examples=[35.0])
    position: int
    is_optional: bool
    overall_rate: float = Field(description="Percent of the entrants")
    avg_time_from_previous: int = Field(description="Seconds since the required step before")
    median_time_from_previous: int
    now: int = Field(description="Visitors standing here now, of any period")


class NumbersOut(Shape):
    """The numbers of a funnel."""

    summary: SummaryOut
    steps: list[StepNumbersOut]


class ValueOut(NumbersOut):
    """The numbers of one value of a dimension."""

    value: str = Field(description="`(none)` where there is none")


class PreviousOut(NumbersOut):
    """The numbers of the time compared with."""

    period: PeriodOut


class AnalysisOut(NumbersOut):
    """The numbers of a funnel in a period."""

    funnel_id: int
    funnel_name: str
    period: PeriodOut | None = Field(None, description="Not on the event stream, where it moves on")
    previous: PreviousOut | None = None
    breakdown: list[ValueOut] | None = None


_POINT = {
    "type": "object",
    "properties": {
        "total_entrants": {"type": "integer"},
        "completed": {"type": "integer"},
        "completion_rate": {"type": "number"},
        "avg_completion_time": {"type": "integer"},
    },
    "required": ["total_entrants", "completed", "completion_rate", "avg_completion_time"],
}
_POINTS = {"type": "object", "additionalProperties": _POINT}
TREND: dict[str, Any] = {
    "anyOf": [
        _POINTS,
        {
            "type": "object",
            "properties": {"current": _POINTS, "previous": _POINTS},
            "required": ["current", "previous"],
            "additionalProperties": False,
        },
    ]
}
"""What `trend` answers: the numbers of each bucket; with `compare` two such objects."""
