"""Every figure of the service's own, by name: what `/metrics` shows beside Faust's."""

from collections import Counter as Tally
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

EDGE = Counter("analytics_edge_hits", "Hits this process answered, by what came of them", ["outcome"])
"""`accepted`: Kafka has it; `ignored_<reason>`: answered ok, not counted; `refused_<code>`: answered with an error."""
ACKNOWLEDGE_S = Histogram(
    "analytics_acknowledge_seconds",
    "From a flush of the edge to Kafka's acknowledgement",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
RECORD_HITS = Histogram(
    "analytics_record_hits", "Hits the edge put into one record", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500)
)
BATCH_S = Histogram(
    "analytics_batch_seconds",
    "From taking a batch to its commit",
    ["topic"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
BATCH_HITS = Histogram(
    "analytics_batch_hits",
    "Hits of one transaction",
    ["topic"],
    buckets=(1, 10, 50, 100, 250, 500, 1000, 2500, 5000, 10000),
)
WAITING = Gauge("analytics_waiting", "Whether the worker waits for Postgres or Kafka to come back")
RETRIES = Counter("analytics_batch_retries", "Transactions begun anew, by cause", ["cause"])
FAILED = Counter("analytics_records_failed", "Records and hits set aside as failed", ["topic"])
GAPS = Counter("analytics_stream_gaps", "Records found missing between the position and the log", ["topic"])
STREAM = Gauge(
    "analytics_stream_hits", "Hits of all partitions by how they ended, as Postgres counts them", ["outcome"]
)
ALL_EDGES = Gauge(
    "analytics_all_edges_hits", "Hits all web processes answered, as Postgres counts them, a second late", ["outcome"]
)
FAILED_WAITING = Gauge("analytics_failed_records_waiting", "Failed records neither replayed nor discarded")
LOSSES = Gauge("analytics_stream_losses", "Stretches of records that were gone before they were stored")
LAG = Gauge("analytics_stream_lag_records", "Records in the log that are not stored yet", ["topic", "partition"])

_unwritten: Tally[str] = Tally()


def count_edge(outcome: str) -> None:
    """Count a hit that the edge answered."""
    _edge(outcome).inc()
    _unwritten[outcome] += 1


@cache
def _edge(outcome: str) -> Counter:
    return EDGE.labels(outcome)


def take_unwritten() -> Tally[str]:
    """What was counted since this was last asked: to be added to what all processes counted."""
    taken = Tally(_unwritten)
    _unwritten.clear()
    return taken


def give_back(outcome: str, hits: int) -> None:
    """Take back what could not be added, for the next time."""
    _unwritten[outcome] += hits
