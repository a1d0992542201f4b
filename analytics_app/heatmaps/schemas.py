"""HTTP shapes of heatmaps: what people define, what browsers send, and what is answered."""

import math
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from analytics_app.heatmaps.logic import GRID, MOST_X, MOST_Y
from analytics_app.intake.paths import MAX_PATH, clean_path
from analytics_app.intake.schemas import Id, Key, Long, Short
from analytics_app.shapes import Body, DaysZone, Instant, Line, Query, Shape, Whole
from analytics_app.shapes import Moment as Instance
from analytics_app.stats.periods import Period, period_of, read_moment
from analytics_app.stats.schemas import Moment, PeriodOut

HeatmapType = Literal["click", "move", "scroll"]
ViewportName = Literal["mobile", "tablet", "desktop"]
MOST_SAMPLES = 10_000


def _pattern(value: str) -> str:
    return value if value.startswith("*") else clean_path(value, MAX_PATH)


Name = Annotated[str, Line(200)]
UrlPattern = Annotated[str, Line(MAX_PATH), AfterValidator(_pattern)]


class HeatmapBody(Body):
    """A heatmap to create, or to put in the place of another."""

    name: Name = Field(examples=["Homepage Clicks"])
    url_pattern: UrlPattern = Field(
        description="The page's path, `*` standing for anything; without a `?` whatever the query", examples=["/"]
    )
    type: HeatmapType = Field(examples=["click"])
    is_active: bool = Field(True, description="false: pages no longer sample for it; what there is stays")


class HeatmapPatch(Body):
    """The fields of a heatmap that are to change."""

    name: Name = Field("", examples=["Homepage Clicks"])
    url_pattern: UrlPattern = "/"
    type: HeatmapType = "click"
    is_active: bool = True

    def changes(self) -> dict[str, object]:
        """What was given, and nothing else."""
        return self.model_dump(include=self.model_fields_set)


class HeatmapOut(Shape):
    """A heatmap."""

    id: int = Field(examples=[1])
    website_id: int = Field(examples=[1])
    name: str = Field(examples=["Homepage Clicks"])
    url_pattern: str = Field(examples=["/"])
    type: HeatmapType
    is_active: bool
    created_at: Instant
    updated_at: Instant


class AreaQuery(Query):
    """Which samples of a heatmap."""

    start_date: Moment | None = Field(
        None, description="A date (its start) or a time, which counts to the minute; default: 7 days before the end"
    )
    end_date: Moment | None = Field(None, description="A date (its end) or a time (itself left out); default: now")
    timezone: DaysZone = "UTC"
    viewport: ViewportName | None = Field(
        None, description="Windows below 768 pixels, below 1024, or wider; default: the group with most samples"
    )
    device_type: Annotated[str, Field(max_length=50)] | None = Field(
        None, description="Only samples from such devices: desktop, mobile, tablet, …"
    )

    def period(self, now: datetime) -> Period:
        """The period asked about. Raises `Invalid` where there is none such."""
        start, end = (read_moment(said) if said else None for said in (self.start_date, self.end_date))
        return period_of(start, end, ZoneInfo(self.timezone), now)


class DataQuery(AreaQuery):
    """Which samples of a heatmap, and how finely they are counted."""

    cell: int = Field(
        GRID, ge=GRID, le=1000, multiple_of=GRID, description="Pixels that a cell of the grid is wide and high"
    )


class ElementsQuery(AreaQuery):
    """Which samples of a heatmap, and how many elements."""

    limit: int = Field(20, ge=1, le=100, description="Most elements")


class PointOut(Shape):
    """A cell: its upper left corner in pixels of the page, and how many samples lie in it."""

    x: int = Field(examples=[500])
    y: int = Field(examples=[300])
    count: int | float = Field(examples=[45], description="For `scroll`: percent of the visits that saw that line")


class ViewportOut(Shape):
    """The group of windows that is shown, and the window that stands for it."""

    width: int = Field(examples=[1920])
    height: int = Field(examples=[1080])
    group: ViewportName


class SizeOut(Shape):
    """Width and height in pixels."""

    width: int
    height: int


class GroupsOut(Shape):
    """How many samples there are in each group of windows."""

    mobile: int
    tablet: int
    desktop: int


class DataOut(Shape):
    """A heatmap's data."""

    heatmap_id: int = Field(examples=[1])
    type: HeatmapType
    data: list[PointOut]
    viewport: ViewportOut
    page: SizeOut | None = Field(
        description="The width most pages had and the height that 95 of 100 did not exceed; null without samples"
    )
    cell: int = Field(examples=[10])
    total: int = Field(description="Samples in `data`; for `scroll`: visits")
    groups: GroupsOut
    period: PeriodOut


class ElementOut(Shape):
    """An element, by its selector, and how many samples met it."""

    selector: str = Field(examples=["#buy"])
    count: int


class ElementsOut(Shape):
    """The elements that most samples met, most first."""

    heatmap_id: int
    elements: list[ElementOut]
    viewport: ViewportOut
    period: PeriodOut


# What browsers send.


def _floor(value: object) -> object:
    return math.floor(value) if isinstance(value, float) and math.isfinite(value) else value


def _pixels(most: int) -> object:
    return Annotated[
        int,
        BeforeValidator(_floor),
        Field(ge=0, le=most),
        WithJsonSchema({"type": "number", "minimum": 0, "maximum": most}),
    ]


if TYPE_CHECKING:
    Across = int
    Down = int
else:
    Across = _pixels(MOST_X)
    Down = _pixels(MOST_Y)


class SampleBody(Body):
    """A click, a position of the mouse, or how far somebody scrolled; all in pixels."""

    type: HeatmapType
    path: Long = Field(description="The page, as a path; an address is reduced to its path", examples=["/"])
    x: Across = Field(description="From the page's left edge; of no meaning for `scroll`", examples=[500])
    y: Down = Field(description="From the page's top; for `scroll` the deepest pixel seen", examples=[300])
    viewport_width: Across = Field(examples=[1920])
    viewport_height: Across = Field(examples=[1080])
    page_width: Across = Field(examples=[1905])
    page_height: Down = Field(examples=[4200])
    selector: Short = Field("", description="The element, as a short CSS selector")
    at: Instance | Annotated[int, Whole(0, 4_102_444_800_000)] | None = Field(
        None, description="When, as a time or in milliseconds since 1970; default, and where it cannot be: now"
    )


class SamplesBody(Body):
    """What somebody did on some pages."""

    key: Key
    id: Annotated[UUID, Field(strict=False)] | None = Field(
        None, description="Your own id of this call: sent again within 48 hours, it counts once"
    )
    visitor_id: Id | None = Field(None, description="Your id of the visitor; made by the service where missing")
    session_id: Id | None = Field(None, description="Your id of the session; made by the service where missing")
    samples: list[SampleBody] = Field(min_length=1, max_length=MOST_SAMPLES)
