"""Bots as the API takes and shows them."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from analytics_app.bots.rules import MatchType, normal_value
from analytics_app.bots.sightings import SHORTEST_TEXT
from analytics_app.intake.text import clean_text
from analytics_app.shapes import Body, Instant, Line, PageQuery, Shape
from analytics_app.stats.schemas import SpanQuery

RuleName = Literal["whitelist", "blacklist"]
MatchName = Literal["ip", "ip_range", "user_agent"]
ActionName = Literal["logged", "left_out", "blocked"]
Value = Annotated[str, Line(200)]


class RuleBody(Body):
    """A rule to create, or to put in the place of another."""

    rule_type: RuleName = Field(description="`whitelist` always lets in, and beats `blacklist`, which always keeps out")
    match_type: MatchName = Field(description="One address, a CIDR range, or a part of the user agent in any case")
    match_value: Value = Field(examples=["192.168.1.100"])
    description: str = Field("", max_length=500, examples=["Office IP"])

    @field_validator("match_value")
    @classmethod
    def _normal(cls, value: str, info: ValidationInfo) -> str:
        kind = info.data.get("match_type")
        return normal_value(MatchType(kind), value) if kind else value

    @field_validator("description")
    @classmethod
    def _clean(cls, value: str) -> str:
        return clean_text(value, 500)


class RulePatch(Body):
    """The fields of a rule that are to change."""

    rule_type: RuleName = "whitelist"
    match_type: MatchName = "ip"
    match_value: Value = Field("", examples=["192.168.1.100"])
    description: str = Field("", max_length=500)

    def changes(self) -> dict[str, object]:
        """What was given, and nothing else."""
        return self.model_dump(include=self.model_fields_set)


class TrialBody(Body):
    """A rule to try."""

    match_type: MatchName
    match_value: Value = Field(examples=["192.168.1.0/24"])

    @field_validator("match_value")
    @classmethod
    def _normal(cls, value: str, info: ValidationInfo) -> str:
        kind = info.data.get("match_type")
        if kind == "user_agent" and len(value) < SHORTEST_TEXT:
            raise ValueError(f"must have at least {SHORTEST_TEXT} characters to be tried")
        return normal_value(MatchType(kind), value) if kind else value


class TrialOut(Shape):
    """What a rule would have matched."""

    since: Instant
    until: Instant
    total_requests: int = Field(description="Pageviews and events that arrived, bots' included")
    total_senders: int = Field(description="Addresses with a user agent, each counted once a day")
    matched_requests: int
    matched_senders: int
    exact: bool = Field(description="false for user agents: one that has all parts of the text counts")


class RuleOut(Shape):
    """A rule."""

    id: int
    rule_type: RuleName
    match_type: MatchName
    match_value: str = Field(description="An address or range in its shortest form")
    description: str
    created_at: Instant
    updated_at: Instant


class RulesQuery(PageQuery):
    """Which rules to list."""

    rule_type: RuleName | None = None
    match_type: MatchName | None = None


class BotStatsQuery(SpanQuery):
    """What `bots/stats` takes."""


class FromToOut(Shape):
    """The first and the last day of a period."""

    from_: str = Field(alias="from", serialization_alias="from", examples=["2026-01-01"])
    to: str = Field(examples=["2026-01-29"])


class BotTotalsOut(Shape):
    """Requests of a period: pageviews and events."""

    total_requests: int = Field(description="All that were judged")
    blocked_requests: int = Field(description="Those in no number: a bot's, or kept out by a rule")
    allowed_requests: int = Field(description="Those counted")
    block_rate: float = Field(description="Percent")


class BotStatsOut(Shape):
    """What was kept out of the numbers of a period."""

    period: FromToOut
    totals: BotTotalsOut
    bot_types: dict[str, int] = Field(description="All blocked requests by their type")
    top_bots: dict[str, int] = Field(description="Blocked requests by the name that the user agent claims, most first")


class DetectionsQuery(SpanQuery, PageQuery):
    """Which detections to list, the latest first."""

    action: ActionName | None = None
    type: str = Field("", max_length=60, description="Only those of this type")
    name: str = Field("", max_length=60, description="Only those of this name")
    reason: str = Field("", max_length=60, description="Only those for this reason, among others")
    min_score: int = Field(0, ge=0, le=100)
    visitor: str = Field("", pattern="^([0-9a-f]{32})?$", description="Only those of the visitor of this hash")


class DetectionOut(Shape):
    """One detection: a hit, or a session that a later verdict took out of the numbers."""

    id: int
    at: Instant
    action: ActionName
    score: int
    reasons: list[str] = Field(description="What spoke for a bot, the weightiest first")
    type: str = Field(examples=["crawler"])
    name: str = Field(description="What the user agent claims to be", examples=["Googlebot"])
    verified: bool | None = Field(description="Whether its operator publishes the address; null: nobody publishes any")
    rule_id: int | None
    sender: str = Field(description="A keyed hash of the address, of one day and website")
    visitor_hash: str | None
    path: str
    country: str
    pageviews: int
    events: int
    late: bool = Field(description="Whether it had been counted at first")
