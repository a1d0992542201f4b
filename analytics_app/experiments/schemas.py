"""Experiments as the API takes and shows them."""

from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, Field, JsonValue, WithJsonSchema

from analytics_app.experiments.logic import Status
from analytics_app.shapes import MAX_ROW_ID, Body, DaysZone, Instant, Line, PageQuery, Query, Shape, Whole
from analytics_app.stats.periods import Interval

MOST_CONFIG_BYTES = 10_000
MOST_WEIGHT = 1_000_000
LONGEST_VISITOR = 200

GoalType = Literal["pageview", "event"]
Name = Annotated[str, Line(200)]
Id = Annotated[int, Whole(1, MAX_ROW_ID)]


def _config(value: dict[str, Any]) -> dict[str, Any]:
    try:
        written = orjson.dumps(value)
    except TypeError:
        raise ValueError("must not hold an integer that needs more than 64 bits") from None
    if _holds_nul(value):
        raise ValueError("must not hold the character U+0000")
    if len(written) > MOST_CONFIG_BYTES:
        raise ValueError(f"must have at most {MOST_CONFIG_BYTES} bytes as JSON")
    return value


def _holds_nul(value: Any) -> bool:
    """Whether Postgres would refuse `value`."""
    if isinstance(value, dict):
        return any(map(_holds_nul, (*value, *value.values())))
    return any(map(_holds_nul, value)) if isinstance(value, list) else isinstance(value, str) and "\0" in value


Config = Annotated[
    dict[str, JsonValue], AfterValidator(_config), WithJsonSchema({"type": "object", "additionalProperties": True})
]


class ExperimentBody(Body):
    """An experiment to create, or to put in the place of another."""

    name: Name = Field(examples=["Button Colour Test"])
    goal_type: GoalType = Field(examples=["pageview"], description="What converts: the view of a page, or an event")
    goal_value: Annotated[str, Line(1000)] = Field(
        examples=["/signup/complete"], description="The page's path or the event's name; `*` stands for any text"
    )
    traffic_percentage: Annotated[int, Whole(0, 100)] = Field(
        100, examples=[100], description="Percent of the visitors that take part; once started, it can only grow"
    )


class ExperimentPatch(Body):
    """The fields of an experiment that are to change."""

    name: Name = Field("", examples=["Button Colour Test"])
    goal_type: GoalType = Field("pageview")
    goal_value: Annotated[str, Line(1000)] = Field("", examples=["/signup/complete"])
    traffic_percentage: Annotated[int, Whole(0, 100)] = Field(100, examples=[100])

    def changes(self) -> dict[str, Any]:
        """What was given, and nothing else."""
        return self.model_dump(include=self.model_fields_set)


class VariantBody(Body):
    """A variant to add, or to put in the place of another."""

    name: Name = Field(examples=["Blue Button"])
    is_control: bool = Field(False, examples=[False], description="Whether the others are compared with it")
    weight: Annotated[int, Whole(1, MOST_WEIGHT)] = Field(
        50, examples=[50], description="Its share of the visitors, in relation to the others' weights"
    )
    config: Config = Field(
        default_factory=dict,
        examples=[{"button_color": "#0066cc"}],
        description=f"What the page is to know: an object of at most {MOST_CONFIG_BYTES} bytes",
    )


class VariantPatch(VariantBody):
    """The fields of a variant that are to change."""

    name: Name = Field("", examples=["Blue Button"])

    def changes(self) -> dict[str, Any]:
        """What was given, and nothing else."""
        return self.model_dump(include=self.model_fields_set)


class VariantOut(Shape):
    """A variant."""

    id: int = Field(examples=[2])
    experiment_id: int = Field(examples=[1])
    name: str = Field(examples=["Blue Button"])
    is_control: bool
    weight: int = Field(examples=[50])
    config: dict[str, Any] = Field(examples=[{"button_color": "#0066cc"}])
    created_at: Instant
    updated_at: Instant


class ExperimentOut(Shape):
    """An experiment, with its variants."""

    id: int = Field(examples=[1])
    website_id: int = Field(examples=[1])
    name: str = Field(examples=["Button Colour Test"])
    status: Status
    goal_type: GoalType
    goal_value: str = Field(examples=["/signup/complete"])
    traffic_percentage: int = Field(examples=[100])
    variants: list[VariantOut]
    started_at: Instant | None = Field(description="When it was started first")
    stopped_at: Instant | None
    created_at: Instant
    updated_at: Instant


class ExperimentsQuery(PageQuery):
    """Which experiments to list."""

    status: Status | None = Field(None, description="Only those that stand so")


class VariantQuery(Query):
    """Who asks for a variant, and of which experiment."""

    experiment_id: str = Field(min_length=1, description="The experiment", examples=["1"])
    visitor_id: str = Field(min_length=1, description="The visitor's id, as it is tracked")
    variant_id: str = Field("", description="Show this variant, whatever the assignment: to look at it")


class AssignmentOut(Shape):
    """What a visitor is shown."""

    variant_id: int | None = Field(examples=[2], description="null only while the experiment has no variants")
    variant_name: str | None = Field(examples=["Blue Button"])
    config: dict[str, Any] = Field(examples=[{"button_color": "#0066cc"}])
    in_experiment: bool = Field(description="false: the control, and the visitor is not counted")


class ExposureBody(Body):
    """A visitor was shown a variant that the website assigned itself."""

    key: Annotated[str, Field(min_length=1, max_length=100, description="The website's pixel key")]
    experiment_id: Id
    visitor_id: Annotated[str, Field(min_length=1, max_length=LONGEST_VISITOR)] = Field(
        description="The visitor's id, as it is tracked"
    )
    variant_id: Id


class ExperimentSaid(Shape):
    """The experiment that results are of."""

    id: int = Field(examples=[1])
    name: str = Field(examples=["Button Colour Test"])
    status: Status


class MetricsOut(Shape):
    """All variants together."""

    total_visitors: int = Field(examples=[5000])
    total_conversions: int = Field(examples=[250])
    overall_conversion_rate: float = Field(examples=[5.0], description="Percent")


class CourseQuery(Query):
    """What `trend` takes."""

    interval: Interval = Field("day", description="How long a bucket is")
    timezone: DaysZone = "UTC"


class PointOut(Shape):
    """How a variant stood at the end of a bucket of time, and what that brought."""

    visitors: int = Field(examples=[120], description="First exposed within it")
    conversions: int = Field(examples=[7], description="Of all visitors so far, those who first converted within it")
    total_visitors: int = Field(examples=[2500], description="Exposed until its end")
    total_conversions: int = Field(examples=[150], description="Converted until its end")
    conversion_rate: float = Field(examples=[6.0], description="Percent of `total_visitors`")


COURSE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": "object", "additionalProperties": PointOut.model_json_schema()},
}
"""What `trend` answers: by bucket, and by the variant's id."""


class IntervalOut(Shape):
    """Where the difference to the control's conversion rate lies, at all times together with 95 % certainty."""

    lower: float = Field(examples=[0.13], description="Percentage points")
    upper: float = Field(examples=[3.87], description="Percentage points")


class VariantResultOut(Shape):
    """What a variant came to."""

    name: str = Field(examples=["Blue Button"])
    visitors: int = Field(examples=[2500])
    conversions: int = Field(examples=[150], description="Visitors who converted after they saw the variant")
    conversion_rate: float = Field(examples=[6.0], description="Percent")
    is_control: bool


class ArmResultOut(VariantResultOut):
    """What a variant came to in comparison with the control."""

    lift: float = Field(examples=[50.0], description="Percent by which its conversion rate is above the control's")
    is_significant: bool
    p_value: float = Field(examples=[0.0276], description="Always-valid, corrected for the number of variants")
    fixed_p_value: float = Field(examples=[0.0012], description="Of a single look that was planned in advance")
    interval: IntervalOut
    chance_to_beat_control: float = Field(examples=[99.94], description="Percent")


class AnalysisOut(Shape):
    """What the counts say."""

    is_significant: bool
    confidence: float = Field(examples=[97.24], description="100 * (1 - p_value)")
    p_value: float = Field(examples=[0.0276], description="Always-valid: it may be looked at at any time")
    winner: int | None = Field(examples=[2], description="The winning variant's id")
    recommendation: str = Field(examples=['"Blue Button" is the winner with 97% confidence (+50% lift)'])
    results: dict[str, ArmResultOut | VariantResultOut] = Field(description="By the variant's id")


class HealthOut(Shape):
    """Whether the results can be believed."""

    srm_p_value: float = Field(examples=[1.0], description="Of the visitors having been split as the weights say")
    sample_ratio_mismatch: bool = Field(description="srm_p_value < 0.001: something loses visitors of one variant")
    multiple_exposures: int = Field(description="Visitors who saw two variants: they are in no other number")
    enough_data: bool = Field(description="50 visitors, 5 conversions and 5 non-conversions in each variant")
    runtime_days: float = Field(examples=[12.5], description="Days it has been running, pauses left out")


class ResultsOut(Shape):
    """An experiment's results."""

    experiment: ExperimentSaid
    metrics: MetricsOut
    analysis: AnalysisOut
    health: HealthOut
