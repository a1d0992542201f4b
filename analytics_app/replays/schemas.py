"""Recordings as the API takes and shows them."""

from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from analytics_app.intake.schemas import Id, Key
from analytics_app.shapes import DaysZone, Instant, PageQuery, Query, Shape, Whole
from analytics_app.stats.periods import Period, period_of, read_moment

MOST_EVENTS = 20_000
LATEST_MS = 4_102_444_800_000
"""The year 2100."""


class RecordedEvent(BaseModel):
    """An event as rrweb 2 records it."""

    model_config = ConfigDict(extra="ignore", strict=True)

    type: Annotated[int, Whole(0, 6)] = Field(description="rrweb's number of the kind of event")
    timestamp: float = Field(ge=0, le=LATEST_MS, description="Milliseconds since 1970, by the browser's clock")
    data: Any = None


class ReplayBody(BaseModel):
    """A chunk of a session's recording."""

    model_config = ConfigDict(extra="ignore", strict=True)

    key: Key
    visitor_id: Id | None = Field(None, description="As in the tracker's answer; made by the service where missing")
    session_id: Id | None = Field(None, description="As in the tracker's answer; made by the service where missing")
    tab: Annotated[str, Field(pattern=r"^[\w-]{1,64}$")] | None = Field(
        None, description="Your id of the tab: sessions that several tabs record at once have a recording of each"
    )
    sequence: Annotated[int, Whole(0, 1_000_000)] = Field(
        description="0 for the first chunk of a session (and tab), and so on; a repeated number counts once"
    )
    events: list[RecordedEvent] = Field(min_length=1, max_length=MOST_EVENTS)


class Taken(BaseModel):
    """Kafka has the chunk, unless `ignored` says why it is not kept: then the recorder stops."""

    ok: Literal[True] = True
    ignored: str | None = None


def _moment(value: str) -> str:
    read_moment(value)
    return value


Moment = Annotated[
    str,
    AfterValidator(_moment),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date"},
                {"type": "string", "format": "date-time"},
            ],
            "examples": ["2026-01-22"],
        }
    ),
]
Text = Annotated[str, Field(max_length=1000)] | None
Seconds = Annotated[int, Field(ge=0, le=86_400)] | None

Count = Annotated[int, Field(ge=0, le=1_000_000)] | None


class ReplaysQuery(PageQuery):
    """Which recordings to list. Those asked for must fit in every respect."""

    device_type: Text = Field(None, description="desktop, mobile, tablet …")
    country_code: Text = Field(None, description="ISO 3166-1 alpha-2, such as GB")
    browser: Text = None
    os: Text = None
    start_date: Moment | None = Field(None, description="A date (its start) or a time: begun then or later")
    end_date: Moment | None = Field(None, description="A date (its end) or a time (itself left out): begun before that")
    timezone: DaysZone = "UTC"
    min_duration: Seconds = Field(None, description="Seconds at least")
    max_duration: Seconds = Field(None, description="Seconds at most")
    min_pages: Count = Field(None, description="Different paths at least")
    max_pages: Count = Field(None, description="Different paths at most")
    min_clicks: Count = Field(None, description="Clicks at least")
    max_clicks: Count = Field(None, description="Clicks at most")
    page: Text = Field(None, description="A path that was seen, exactly or with `*`")
    rage_clicks: bool | None = Field(None, description="true: only with some; false: only without")
    errors: bool | None = Field(None, description="true: only with some; false: only without")
    visitor_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = Field(
        None, description="Only of this visitor"
    )

    def period(self, now: Any) -> Period | None:
        """The time asked about; None for any. Raises `Invalid` where it is none."""
        if not (self.start_date or self.end_date):
            return None
        zone = ZoneInfo(self.timezone)
        start, end = (read_moment(said) if said else None for said in (self.start_date, self.end_date))
        return period_of(start, end, zone, now)


class PlaybackQuery(Query):
    """Where a stream of a recording begins."""

    after: int | None = Field(None, ge=0, le=1_000_000, description="Number of the last chunk that is known already")


class GapOut(Shape):
    """Chunks that never came."""

    first_sequence: int
    last_sequence: int
    from_s: float = Field(description="Where in the recording something is missing, in seconds from its start")
    to_s: float


class ReplayOut(Shape):
    """A recording: what one tab showed of a session."""

    id: int = Field(examples=[1])
    website_id: int
    visitor_hash: str = Field(description="The hash the visitor is stored under")
    session_hash: str = Field(description="The hash of its session: what several tabs recorded of one has the same")
    started_at: Instant
    ended_at: Instant
    is_running: bool = Field(description="Whether more may come: there was something within the last two minutes")
    duration: int = Field(description="Whole seconds, from the first event to the last")
    entry_page: str
    pages: list[str] = Field(description="The paths that were seen, each once")
    page_count: int
    clicks: int
    rage_clicks: int = Field(description="How often three clicks or more fell on one spot within a second")
    errors: int = Field(description="Errors of scripts that nothing caught")
    country_code: str
    device_type: str
    browser: str
    os: str
    events: int
    chunks: int
    size: int = Field(description="Bytes it takes, compressed")
    size_inflated: int = Field(description="Bytes of its events as JSON")
    stopped: Literal["size", "length"] | None = Field(description="Why recording stopped early, if it did")


class OneReplayOut(ReplayOut):
    """The same, with what is missing."""

    gaps: list[GapOut] = Field(description="Chunks that never came")
