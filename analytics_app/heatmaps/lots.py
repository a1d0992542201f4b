"""From what a browser sent to the records that carry it: one page each, of a bounded size. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from analytics_app.heatmaps.logic import DAY_MS, Kind
from analytics_app.heatmaps.schemas import SampleBody, SamplesBody
from analytics_app.intake.paths import clean_path
from analytics_app.records import Sample, Samples

MOST = 1000
"""Samples of a record."""


class Who(NamedTuple):
    """Who sent samples, as hashes, and with what."""

    website_id: int
    visitor: str
    session_key: str
    device_type: str
    sent_by: str = ""


def lots_of(body: SamplesBody, who: Who, now_ms: int) -> Iterator[tuple[str, Samples]]:
    """The records of a call, each with the key of its page, which decides its partition."""
    pages = defaultdict(list)
    cleaned: dict[str, str] = {}
    for sent in body.samples:
        path = cleaned.get(sent.path)
        if path is None:
            path = cleaned[sent.path] = clean_path(sent.path)
        pages[path].append(_sample(sent, now_ms))
    for path, samples in pages.items():
        for number, first in enumerate(range(0, len(samples), MOST)):
            yield (
                page_key(who.website_id, path),
                Samples(
                    website_id=who.website_id,
                    at_ms=now_ms,
                    session_key=who.session_key,
                    visitor=who.visitor,
                    path=path,
                    device_type=who.device_type,
                    client_id=_part_id(body, path, number),
                    sent_by=who.sent_by,
                    samples=samples[first : first + MOST],
                ),
            )


def page_key(website_id: int, path: str) -> str:
    """What a page's records are kept together by: 32 hexadecimal digits."""
    return blake2b(f"{website_id} {path}".encode(), digest_size=16, person=b"page").hexdigest()


def _part_id(body: SamplesBody, path: str, number: int) -> str | None:
    """The id by which a part of a call counts once: the same in every attempt."""
    if body.id is None:
        return None
    return blake2b(body.id.bytes + f"{number} {path}".encode(), digest_size=16, person=b"samples").hexdigest()


def _sample(sent: SampleBody, now_ms: int) -> Sample:
    at_ms = sent.at if isinstance(sent.at, int) else round(sent.at.timestamp() * 1000) if sent.at else now_ms
    return Sample(
        kind=int(Kind[sent.type.upper()]),
        x=0 if sent.type == "scroll" else sent.x,
        y=sent.y,
        at_ms=at_ms if now_ms - DAY_MS < at_ms <= now_ms else now_ms,  # a wrong clock is no reason to lose it
        viewport_width=sent.viewport_width,
        viewport_height=sent.viewport_height,
        page_width=sent.page_width,
        page_height=sent.page_height,
        selector=sent.selector,
    )
