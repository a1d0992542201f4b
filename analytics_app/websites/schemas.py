"""Websites, tokens and workspaces as the API takes and shows them."""

import uuid
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from analytics_app.shapes import MAX_ROW_ID, Body, Instant, Line, Moment, PageQuery, Shape, Timezone, Whole
from analytics_app.websites.hosts import ALLOWED_PATTERN, HOST_PATTERN, MAX_HOST, normal_allowed, normal_host

TrackingType = Literal["lightweight", "full"]
ChannelType = Literal["website", "app", "server"]
Scope = Literal["read", "write", "admin"]

Name = Annotated[str, Line(200)]


def _matches(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_HOST, "pattern": pattern})


Host = Annotated[str, AfterValidator(normal_host), _matches(HOST_PATTERN)]
AllowedHost = Annotated[str, AfterValidator(normal_allowed), _matches(ALLOWED_PATTERN)]


class WebsiteSettings(Body):
    """What a website's owner decides; every field has a default."""

    tracking_type: TrackingType = Field(
        "lightweight", description="lightweight: nothing is kept in the browser, no heatmaps or replays"
    )
    channel_type: ChannelType = Field("website", description="A label to filter by")
    tracking_enabled: bool = Field(True, description="false: hits are refused")
    is_enabled: bool = Field(True, description="false: the website is out of use; hits are refused")
    timezone: Timezone = Field("UTC", description="Its days in reports, as an IANA zone", examples=["Europe/London"])
    require_consent: bool = Field(False, description="Nothing is stored of a visitor who has not consented")
    honour_dnt: bool = Field(True, description="Nothing is stored of a visitor who sends DNT or Sec-GPC")
    session_timeout_s: Annotated[int, Whole(60, 86_400)] | None = Field(
        None, description="Seconds of inactivity that end a session; null: the service's setting"
    )
    allowed_hosts: list[AllowedHost] = Field(
        default_factory=list,
        max_length=100,
        description="Hosts whose hits are taken (`*.example.com` for one and all below it); empty: every host",
    )
    events_retention_days: Annotated[int, Whole(0, 36_500)] | None = Field(
        None, description="Days events are kept; 0: for good; null: the service's setting"
    )
    heatmaps_retention_days: Annotated[int, Whole(0, 36_500)] | None = Field(
        None, description="Days samples of heatmaps are kept; 0: for good; null: the service's setting"
    )
    replay_sampling: float = Field(0.0, ge=0, le=1, description="Part of the sessions that are recorded")
    replay_max_s: Annotated[int, Whole(60, 86_400)] | None = Field(
        None, description="Longest recording of a session in seconds; null: the service's setting"
    )
    replays_retention_days: Annotated[int, Whole(0, 36_500)] | None = Field(
        None, description="Days replays are kept; 0: for good; null: the service's setting"
    )


class WebsiteBody(WebsiteSettings):
    """A website to create, or to put in the place of another."""

    name: Name = Field(examples=["My Website"])
    host: Host = Field(examples=["example.com"])


class WebsitePatch(WebsiteSettings):
    """The fields of a website that are to change."""

    name: Name = Field("", examples=["My Website"])
    host: Host = Field("", examples=["example.com"])

    def changes(self) -> dict[str, object]:
        """What was given, and nothing else."""
        return self.model_dump(include=self.model_fields_set)


class WebsiteOut(Shape):
    """A website."""

    id: int = Field(examples=[1])
    name: str = Field(examples=["My Website"])
    host: str = Field(examples=["example.com"])
    pixel_key: uuid.UUID | None = Field(description="The key its pages track with")
    tracking_type: TrackingType
    channel_type: ChannelType
    tracking_enabled: bool
    is_enabled: bool
    timezone: str
    require_consent: bool
    honour_dnt: bool
    session_timeout_s: int | None
    allowed_hosts: list[str]
    events_retention_days: int | None
    heatmaps_retention_days: int | None
    replay_sampling: float
    replay_max_s: int | None
    replays_retention_days: int | None
    created_at: Instant
    updated_at: Instant


class WebsitesQuery(PageQuery):
    """Which websites to list."""

    channel_type: ChannelType | None = Field(None, description="Only those with this label")


class PixelKeyBody(Body):
    """How to change a pixel key."""

    grace_hours: Annotated[int, Whole(0, 720)] = Field(24, description="Hours the present key goes on working")


class PreviousKeyOut(Shape):
    """A key that was replaced."""

    pixel_key: uuid.UUID
    expires_at: Instant = Field(description="From then on it is unknown")


class PixelKeyOut(Shape):
    """A website's new key, and what becomes of the one before."""

    website_id: int
    pixel_key: uuid.UUID
    created_at: Instant
    previous: PreviousKeyOut | None


class TokenSettings(Body):
    """What a token may do."""

    name: Name = Field(examples=["Nightly export"])
    scopes: list[Scope] = Field(
        default=["read"],
        min_length=1,
        max_length=3,
        description="admin includes write, write includes read",
    )
    website_ids: list[Annotated[int, Whole(1, MAX_ROW_ID)]] | None = Field(
        None, min_length=1, max_length=1000, description="The websites it covers; null: all of the workspace"
    )
    expires_at: Moment | None = Field(None, description="From then on it is refused; null: never")


class TokenBody(TokenSettings):
    """A token to create, or to put in the place of another."""


class TokenPatch(TokenSettings):
    """The fields of a token that are to change."""

    name: Name = Field("", examples=["Nightly export"])

    def changes(self) -> dict[str, object]:
        """What was given, and nothing else."""
        return self.model_dump(include=self.model_fields_set)


class TokenOut(Shape):
    """A token, without the token itself."""

    id: int
    name: str
    scopes: list[Scope]
    website_ids: list[int] | None
    created_at: Instant
    expires_at: Instant | None
    last_used_at: Instant | None = Field(description="To the minute")


class NewTokenOut(TokenOut):
    """A token that was just made."""

    token: str = Field(description="The token itself: shown this once, and never stored")
