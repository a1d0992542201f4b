"""Every record that crosses a topic, and the states that tables hold.

Records are JSON. A field at its default is not written. Reading validates: what does not fit raises
`msgspec.ValidationError`, and the record goes to the failed ones.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

Id = Annotated[int, Meta(ge=0, lt=2**53)]
Number = Annotated[int, Meta(ge=0, lt=2**31)]
Millis = Annotated[int, Meta(ge=0, le=4_102_444_800_000)]  # to the year 2100
Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
Text = Annotated[str, Meta(max_length=2000)]
Whole = Annotated[int, Meta(gt=-(2**53), lt=2**53)]
Writer = Annotated[str, Meta(pattern=r"^[!-~]{0,100}\Z")]


class Hit(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="hit", tag_field="t"):
    """A pageview or event as the edge accepted it: enriched, its sender reduced to hashes."""

    event_id: Id
    at_ms: Millis
    website_id: Number
    session_key: Hash
    visitor: Hash
    kind: Annotated[int, Meta(ge=1, le=7)] = 1
    client_id: Hash | None = None
    interactive: bool = True
    path: Text = ""
    title: Text = ""
    name: Text = ""
    value: Annotated[str, Meta(pattern=r"^-?[0-9]{1,14}(\.[0-9]{1,4})?\Z")] | None = None
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")] | None = None
    properties: dict[str, str | Whole | float | bool | None] | None = None
    host: Text = ""
    referrer: Text = ""
    source: Text = ""
    channel: Text = ""
    utm_source: Text = ""
    utm_medium: Text = ""
    utm_campaign: Text = ""
    utm_term: Text = ""
    utm_content: Text = ""
    country: Text = ""
    device_type: Text = ""
    browser: Text = ""
    browser_version: Text = ""
    os: Text = ""
    os_version: Text = ""
    language: Text = ""
    screen: Text = ""


class Heartbeat(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="heartbeat", tag_field="t"):
    """The engagement so far with one pageview: totals, of which the highest counts."""

    event_id: Id
    at_ms: Millis
    session_key: Hash
    website_id: Number = 0
    time_on_page_s: Annotated[int, Meta(ge=0, le=86_400)] = 0
    scroll_depth: Annotated[int, Meta(ge=0, le=100)] = 0


class Leave(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="leave", tag_field="t"):
    """The end of a session's clock, as far as the browser knows."""

    at_ms: Millis
    session_key: Hash
    website_id: Number = 0


AnyHit = Hit | Heartbeat | Leave


class HitRecord(Struct, frozen=True):
    """One record of the topic `hits`: what one writer gathered for one partition in a few milliseconds.

    A record that the producer sent again has the same `sequence`; those of one writer rise in each partition.
    """

    writer: Writer
    sequence: Id
    hits: list[AnyHit]


class RawHitRecord(Struct, frozen=True):
    """The same with its hits unread, to tell good from bad ones."""

    writer: Writer
    sequence: Id
    hits: list[msgspec.Raw]


class Active(Struct, frozen=True, array_like=True):
    """A visitor's latest activity: its number, when, on which page, from where."""

    visitor: Id
    at_ms: Millis
    path: str
    country: str


class ActivityRecord(Struct, frozen=True):
    """One record of the topic `activity`: who a batch saw on one website."""

    website_id: Number
    active: list[Active]


_encoder = msgspec.json.Encoder()
_hit_records = msgspec.json.Decoder(HitRecord)
_raw_hit_records = msgspec.json.Decoder(RawHitRecord)
_hits: msgspec.json.Decoder[AnyHit] = msgspec.json.Decoder(AnyHit)
_activities = msgspec.json.Decoder(ActivityRecord)


def encode(record: Struct) -> bytes:
    """`record` as it crosses a topic."""
    return _encoder.encode(record)


def read_hits(value: bytes) -> HitRecord:
    """The record that `value` holds. Raises `msgspec.ValidationError` (or `DecodeError`) if any part is wrong."""
    return _hit_records.decode(value)


def read_raw_hits(value: bytes) -> RawHitRecord:
    """The record that `value` holds, its hits unread. Raises `msgspec.DecodeError` where it is no such record."""
    return _raw_hit_records.decode(value)


def read_hit(value: bytes | msgspec.Raw) -> AnyHit:
    """One hit. Raises `msgspec.ValidationError` (or `DecodeError`) where it is wrong."""
    return _hits.decode(value)


def read_activity(value: bytes) -> ActivityRecord:
    """Who a batch saw. Raises `msgspec.DecodeError` where `value` is no such record."""
    return _activities.decode(value)


def gather(writer: str, sequence: int, hits: list[bytes]) -> bytes:
    """A `HitRecord` put together from hits that are encoded already."""
    head = _encoder.encode({"writer": writer, "sequence": sequence})
    return b'%b,"hits":[%b]}' % (head[:-1], b",".join(hits))
