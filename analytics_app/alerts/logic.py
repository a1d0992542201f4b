"""Whether a website's traffic, or a goal, is out of the ordinary: pure.

What is usual is the median of the same stretch of the week in the weeks before. To fire, a number must leave it by the
alert's percentage and by more than chance explains: three standard deviations of a Poisson count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from statistics import median
from typing import Literal

AlertType = Literal["traffic_spike", "traffic_drop", "goal_silence"]

WEEKS = 4
"""How many weeks back are compared with."""
LEAST_WEEKS = 2
"""With fewer, nothing is usual yet."""
BY_CHANCE = 3.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an alert finds: whether it fires, what was counted and what is usual there."""

    fires: bool
    value: int
    usual: float


def windows(now: datetime, minutes: int, since: datetime) -> list[tuple[datetime, datetime]]:
    """The stretch that ends at `now`, then the same one of the weeks before; none that begins before `since`."""
    length = timedelta(minutes=minutes)
    ends = [now - timedelta(weeks=weeks) for weeks in range(WEEKS + 1)]
    return [(end - length, end) for end in ends if end == now or end - length >= since]


def judge(kind: AlertType, counts: Sequence[int], threshold_percent: float, min_count: int) -> Verdict:
    """What the counts of `windows` say: the present one, then those of the weeks before."""
    value, past = counts[0], counts[1:]
    usual = float(median(past)) if past else 0.0
    if len(past) < LEAST_WEEKS:
        return Verdict(False, value, usual)
    off = abs(value - usual) > BY_CHANCE * sqrt(max(usual, 1.0))
    if kind == "traffic_spike":
        return Verdict(value >= min_count and off and value > usual * (1 + threshold_percent / 100), value, usual)
    if kind == "traffic_drop":
        return Verdict(usual >= min_count and off and value < usual * (1 - threshold_percent / 100), value, usual)
    return Verdict(value == 0 and usual >= min_count, value, usual)


def sentence_of(kind: AlertType, what: str, verdict: Verdict, minutes: int) -> str:
    """What is the matter, in a sentence."""
    usual = f"{verdict.usual:g}"
    if kind == "goal_silence":
        return f"{what} had no conversion in the last {minutes} minutes, where {usual} are usual."
    if verdict.usual == 0:
        return f"{verdict.value} {what} in the last {minutes} minutes, where there are usually none."
    percent = round(100 * abs(verdict.value - verdict.usual) / verdict.usual)
    way = "more" if verdict.value > verdict.usual else "fewer"
    return f"{verdict.value} {what} in the last {minutes} minutes: {percent} % {way} than the usual {usual}."
