"""Latencies counted in steps of 50 µs, so that those of several processes can be put together: pure."""

from collections import Counter
from collections.abc import Mapping

STEP_S = 50e-6
LONGEST_S = 60.0


class Latencies:
    """How often which latency was seen."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: Counter[int] = Counter(counts or {})

    def add(self, seconds: float) -> None:
        """Count one. What is longer than a minute counts as a minute."""
        self.counts[int(min(seconds, LONGEST_S) / STEP_S)] += 1

    def merge(self, other: "Latencies") -> None:
        """Count what `other` counted, too."""
        self.counts.update(other.counts)

    def __len__(self) -> int:
        return self.counts.total()

    def percentile(self, percent: float) -> float:
        """The latency, in seconds, that `percent` of all do not exceed (to a step); 0 where there is none."""
        wanted = len(self) * percent / 100
        seen = 0
        for step in sorted(self.counts):
            seen += self.counts[step]
            if seen >= wanted:
                return (step + 1) * STEP_S
        return 0.0

    def summary_ms(self) -> dict[str, float]:
        """p50, p90, p99, p99.9 and the longest, in milliseconds."""
        percents = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9, "max": 100.0}
        return {name: round(self.percentile(percent) * 1000, 2) for name, percent in percents.items()}
