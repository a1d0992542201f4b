"""Every figure of the service's own, by name: what `/metrics` shows beside Faust's."""

from prometheus_client import Counter, Gauge, Histogram

ACCEPTED = Counter("analytics_hits_accepted", "Hits that Kafka acknowledged", ["kind"])
IGNORED = Counter("analytics_hits_ignored", "Hits answered ok and not stored, by reason", ["reason"])
REFUSED = Counter("analytics_hits_refused", "Hits answered with an error, by its code", ["code"])
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
    "From taking a partition's batch to its commit",
    ["topic"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
BATCH_HITS = Histogram(
    "analytics_batch_hits", "Hits of one transaction", ["topic"], buckets=(1, 10, 50, 100, 250, 500, 1000, 2500, 5000)
)
WAITING = Gauge("analytics_waiting", "Whether the worker waits for Postgres or Kafka to come back")
RETRIES = Counter("analytics_batch_retries", "Transactions begun anew, by cause", ["cause"])
FAILED = Counter("analytics_records_failed", "Records and hits set aside as failed", ["topic"])
GAPS = Counter("analytics_stream_gaps", "Records found missing between the position and the log", ["topic"])
STREAM = Gauge(
    "analytics_stream_hits", "Hits of all partitions by how they ended, as Postgres counts them", ["outcome"]
)
LAG = Gauge("analytics_stream_lag_records", "Records in the log that are not stored yet", ["topic", "partition"])
