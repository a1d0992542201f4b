"""Made-up samples for heatmaps: people who look at a page with some elements, and click on the better of them."""

import math
import random
from collections.abc import Iterator
from datetime import datetime

from analytics_app.heatmaps.logic import Kind
from analytics_app.records import Sample, Samples

WIDTHS = ((390, 844, 390, 6400), (412, 915, 412, 6200), (820, 1180, 820, 5200), (1440, 900, 1425, 4200))
WIDE = (1920, 1080, 1905, 4200)
ELEMENTS = 80
FAVOURITE = 0.9  # how much more an element is clicked than the next one
SPREAD_PX = 16
ANYWHERE = 0.04
CLICKS, MOVES = 8, 11  # of a visit, beside its reach


def samples_of(
    rng: random.Random, website_id: int, path: str, start: datetime, end: datetime, count: int
) -> Iterator[Samples]:
    """About `count` samples of a page in visits between two times: clicks, moves, and how far each visit scrolled."""
    first_ms, last_ms = round(start.timestamp() * 1000), round(end.timestamp() * 1000)
    layouts = {size: _elements(random.Random(size[0]), *size[2:]) for size in (*WIDTHS, WIDE)}  # noqa: S311
    for number in range(count // (CLICKS + MOVES + 1)):
        size = WIDE if rng.random() < 0.7 else rng.choice(WIDTHS)
        at_ms = rng.randrange(first_ms, last_ms)
        who = rng.getrandbits(128)
        yield Samples(
            website_id=website_id,
            at_ms=at_ms,
            session_key=f"{who:032x}",
            visitor=f"{who % (count // 40 + 1):032x}",
            path=path,
            device_type="desktop" if size[0] > 1024 else "tablet" if size[0] > 767 else "mobile",
            samples=list(_visit(rng, layouts[size], size, at_ms + number % 2)),
        )


def _elements(rng: random.Random, width: int, height: int) -> list[tuple[int, int, str]]:
    """Where a page's elements are, the most liked first: more of them at its top."""
    places = []
    for number in range(ELEMENTS):
        y = 40 if number % 8 == 0 else int(height * rng.random() ** 1.8)
        places.append((rng.randrange(width // 12, width - width // 12), y, f"main > a.item-{number}"))
    return places


def _visit(
    rng: random.Random, elements: list[tuple[int, int, str]], size: tuple[int, int, int, int], at_ms: int
) -> Iterator[Sample]:
    window, page_width, page_height = size[:2], size[2], size[3]
    for kind, often in ((Kind.CLICK, CLICKS), (Kind.MOVE, MOVES)):
        spread = SPREAD_PX if kind is Kind.CLICK else 5 * SPREAD_PX
        for _ in range(often):
            if rng.random() < ANYWHERE:
                x, y, selector = rng.randrange(page_width), rng.randrange(page_height), "body"
            else:
                rank = min(ELEMENTS - 1, int(rng.expovariate(1 - FAVOURITE) / 1.4))
                x, y, selector = elements[rank]
                x, y = round(rng.gauss(x, spread * 1.6)), round(rng.gauss(y, spread))
            x, y = max(0, min(x, page_width - 1)), max(0, min(y, page_height - 1))
            yield Sample(kind, x, y, at_ms, *window, page_width, page_height, selector)
    deep = max(window[1], min(page_height, round(page_height * math.exp(-rng.expovariate(1.1)))))
    yield Sample(Kind.SCROLL, 0, deep, at_ms, *window, page_width, page_height)
