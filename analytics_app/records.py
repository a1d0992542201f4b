"""Every record that crosses a topic, and the states that tables hold.

Records are JSON. A field at its default is not written. Reading validates: what does not fit raises
`msgspec.ValidationError`, and the record goes to the failed ones.
"""

from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct

Id = Annotated[int, Meta(ge=0, lt=2**53)]
Number = Annotated[int, Meta(ge=0, lt=2**31)]
Millis = Annotated[int, Meta(ge=0, le=4_102_444_800_000)]  # to the year 2100
Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
Pixels = Annotated[int, Meta(ge=0, le=1_000_000)]
Text = Annotated[str, Meta(max_length=2000)]
Whole = Annotated[int, Meta(gt=-(2**53), lt=2**53)]
Sender = Annotated[str, Meta(pattern=r"^([0-9a-f]{16})?\Z")]
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
    sender: Sender = ""  # keyed hash of the address, of the day and website; empty where behaviour is not judged
    sent_by: Sender = ""  # the same of address and user agent
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


class Detection(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A hit that the edge judged odd or a bot's: what was found, never the address or user agent it was found in."""

    event_id: Id
    at_ms: Millis
    website_id: Number
    action: Annotated[int, Meta(ge=1, le=3)]
    score: Annotated[int, Meta(ge=0, le=100)]
    client_id: Hash | None = None
    kind: Annotated[int, Meta(ge=1, le=7)] = 1
    reasons: list[Text] = []
    type: Text = ""
    name: Text = ""
    verified: bool | None = None
    rule_id: Number | None = None
    sender: Sender = ""
    visitor: Hash | None = None
    path: Text = ""
    country: Text = ""


AnyHit = Hit | Heartbeat | Leave


class Exposure(Struct, frozen=True, kw_only=True):
    """A visitor was shown a variant of a running experiment."""

    experiment_id: Number
    variant_id: Number
    website_id: Number
    visitor: Hash
    at_ms: Millis


class Recorded(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="recorded", tag_field="t"):
    """A chunk of a recording as the edge accepted it: cleaned events as JSON (`packed`, compressed by Zstandard)."""

    at_ms: Millis
    website_id: Number
    session_key: Hash
    visitor: Hash
    tab: Hash | None = None  # which of the session's recordings it belongs to
    sent_by: Sender = ""
    sequence: Annotated[int, Meta(ge=0, le=1_000_000)]
    sanitiser: Annotated[int, Meta(ge=0, lt=2**15)] = 0  # the version that cleaned it; 0: none did
    packed: bytes
    country: Text = ""
    device_type: Text = ""
    browser: Text = ""
    os: Text = ""


Item = TypeVar("Item")


class Gathered(Struct, Generic[Item], frozen=True):
    """One record of a stored topic: what one writer gathered for one partition in a few milliseconds.

    A record that the producer sent again has the same `sequence`; those of one writer rise in each partition.
    """

    writer: Writer
    sequence: Id
    hits: list[Item]


class RawHitRecord(Struct, frozen=True):
    """The same with its hits unread, to tell good from bad ones."""

    writer: Writer
    sequence: Id
    hits: list[msgspec.Raw]


class Sample(Struct, frozen=True, array_like=True):
    """A click, a move or a reach, in pixels of the page; `kind` is a `heatmaps.logic.Kind`."""

    kind: Annotated[int, Meta(ge=1, le=3)]
    x: Pixels
    y: Pixels
    at_ms: Millis
    viewport_width: Pixels
    viewport_height: Pixels
    page_width: Pixels
    page_height: Pixels
    selector: Text = ""

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Width and height of the window, width and height of the page."""
        return self.viewport_width, self.viewport_height, self.page_width, self.page_height


class Samples(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="samples", tag_field="t"):
    """What one visitor did on one page, of one call: a part of it that is stored whole or not at all."""

    website_id: Number
    at_ms: Millis
    session_key: Hash
    visitor: Hash
    path: Text
    device_type: Text = ""
    client_id: Hash | None = None
    sent_by: Sender = ""
    samples: list[Sample]


class Active(Struct, frozen=True, array_like=True):
    """A visitor's latest activity: its number, when, on which page, from where."""

    visitor: Id
    at_ms: Millis
    path: str
    country: str


class ActivityRecord(Struct, frozen=True):
    """Who a batch saw on one website. A record of the topic `activity` is a list of them, of one partition."""

    website_id: Number
    active: list[Active]


class VisitorEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pageview or event that a funnel of its website may want. `told_ms`: when it was sent on.

    `text` is the page of a pageview, the name of anything else.
    """

    event_id: Id
    at_ms: Millis
    told_ms: Millis
    website_id: Number
    visitor: Id
    session_id: Id
    kind: Annotated[int, Meta(ge=1, le=7)] = 1
    text: Text = ""


class Seen(Struct, frozen=True, array_like=True):
    """What behaviour is judged by: who sent which hit of which session, when, and for which page (None: an event)."""

    website_id: Number
    sender: Sender
    source: Sender
    session_key: Hash
    event_id: Id
    at_ms: Millis
    path: str | None


class SendersRecord(Struct, frozen=True):
    """One record of the topic `senders`: what a batch stored of the senders of one partition."""

    seen: list[Seen]


_encoder = msgspec.json.Encoder()
_raw_records = msgspec.json.Decoder(RawHitRecord)
_activities = msgspec.json.Decoder(list[ActivityRecord] | ActivityRecord)
_senders = msgspec.json.Decoder(SendersRecord)


def encode(record: Struct) -> bytes:
    """`record` as it crosses a topic."""
    return _encoder.encode(record)


class Reader(Generic[Item]):
    """Reads the records of one stored topic: whole, or hit by hit."""

    def __init__(self, item: Any) -> None:
        self._record: msgspec.json.Decoder[Gathered[Item]] = msgspec.json.Decoder(Gathered[item])
        self._item: msgspec.json.Decoder[Item] = msgspec.json.Decoder(item)

    def record(self, value: bytes) -> Gathered[Item]:
        """The record that `value` holds. Raises `msgspec.ValidationError` (or `DecodeError`) if any part is wrong."""
        return self._record.decode(value)

    def item(self, value: bytes | msgspec.Raw) -> Item:
        """One hit. Raises `msgspec.ValidationError` (or `DecodeError`) where it is wrong."""
        return self._item.decode(value)


# Each reads the topic of its name.
HITS: Reader[AnyHit] = Reader(AnyHit)
EXPOSURES: Reader[Exposure] = Reader(Exposure)
VISITOR_EVENTS: Reader[VisitorEvent] = Reader(VisitorEvent)
DETECTIONS: Reader[Detection] = Reader(Detection)
RECORDED: Reader[Recorded] = Reader(Recorded)
SAMPLES: Reader[Samples] = Reader(Samples)


def read_raw_hits(value: bytes) -> RawHitRecord:
    """The record that `value` holds, its hits unread. Raises `msgspec.DecodeError` where it is no such record."""
    return _raw_records.decode(value)


def read_activities(value: bytes) -> list[ActivityRecord]:
    """Who a batch saw, by website. Raises `msgspec.DecodeError` where `value` is no such record."""
    found = _activities.decode(value)
    return found if isinstance(found, list) else [found]  # one alone: told by an earlier release


def read_senders(value: bytes) -> SendersRecord:
    """Who sent what. Raises `msgspec.DecodeError` where `value` is no such record."""
    return _senders.decode(value)


def gather(writer: str, sequence: int, hits: list[bytes]) -> bytes:
    """A `Gathered` put together from hits that are encoded already."""
    head = _encoder.encode({"writer": writer, "sequence": sequence})
    return b'%b,"hits":[%b]}' % (head[:-1], b",".join(hits))
