"""Consents, erasures and their receipts as the API takes and shows them."""

from typing import Annotated, Literal

from pydantic import Field

from analytics_app.gdpr.logic import Action, Status
from analytics_app.shapes import Body, Instant, Line, Query, Shape

VisitorId = Annotated[str, Line(200)]
Key = Annotated[str, Line(100)]


class VisitorBody(Body):
    """A visitor of a website, as the tracker names them."""

    visitor_id: VisitorId = Field(examples=["visitor-uuid"])
    pixel_key: Key = Field(examples=["uuid-pixel-key"])


class ConsentBody(VisitorBody):
    """Consent, given or withdrawn."""

    policy_version: Annotated[str, Field(max_length=100)] = Field("", description="Of the policy it was given for")


class VisitorQuery(Query):
    """A visitor of a website, in the query."""

    visitor_id: str = Field(min_length=1, max_length=200)
    pixel_key: str = Field(min_length=1, max_length=100)


class WithdrawalQuery(Query):
    """The same, where the body does not say it."""

    visitor_id: VisitorId | None = None
    pixel_key: Key | None = None
    policy_version: str | None = Field(None, max_length=100)


class OkOut(Shape):
    """Done, for good."""

    ok: bool = Field(True, json_schema_extra={"const": True})


class StatusOut(Shape):
    """What a visitor said last."""

    consented: bool
    status: Status
    at: Instant | None = Field(description="When; null where nothing was ever said")
    policy_version: str | None = None


class HashOut(Shape):
    """The hash a visitor is stored under."""

    visitor_hash: str = Field(examples=["9b74c9897bac770ffc029102a200c5de"])


class DeletedOut(Shape):
    """What was deleted."""

    deleted_counts: dict[str, int] = Field(
        examples=[{"events": 152, "sessions": 12, "pageviews": 145, "conversions": 3, "visitor": 1}]
    )
    receipt_id: int


class AnonymisedOut(Shape):
    """What leads to nobody any more."""

    ok: bool = Field(True, json_schema_extra={"const": True})
    anonymised_counts: dict[str, int]
    receipt_id: int


class ReceiptOut(Shape):
    """What an erasure removed where, and when the last copy is gone."""

    id: int
    website_id: int
    action: Literal["delete", "anonymise"]
    counts: dict[str, int]
    requested_at: Instant
    state: Literal["finishing", "done"] = Field(
        description="finishing: texts that nobody else used are being removed; all else is gone already"
    )
    finished_at: Instant | None
    topics_forgotten_at: Instant = Field(
        description="By then Kafka has deleted the records it came in; until then nothing of them is stored again"
    )


class AuditOut(Shape):
    """A call about a visitor's data."""

    id: int
    at: Instant
    action: Action
    website_id: int
    token_id: int
    token_name: str
    receipt_id: int | None
