"""The service's figures for Prometheus: `/metrics`. Answered to this machine, and to admin tokens."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from statistics import mean

import faust
import structlog
from aiohttp.web import Request, Response
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0
from prometheus_client.registry import Collector

import analytics_app.figures  # noqa: F401 - registers the service's own
from analytics_app.app import app
from web.presence import PRESENCE
from web.resource import Resource, operation

log = structlog.get_logger(__name__)

blueprint = faust.web.Blueprint("metrics")

READ_WITHIN_S = 2.0

_readers: list[Callable[[], Awaitable[None]]] = []


def on_scrape(read: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """Have `read` bring figures up to date before they are shown; what it raises shows in the log only."""
    _readers.append(read)
    return read


@blueprint.route("/metrics", name="metrics")
class Metrics(Resource):
    """Every figure of this process."""

    local = True
    needs_postgres = False
    tag = "Service"

    @operation(answer={"type": "string"}, content_types=("text/plain",), scope="admin")
    async def get(self, request: Request) -> Response:
        """The service's figures for Prometheus. Answered to the machine itself without a token."""
        if _readers and not PRESENCE.is_away():
            reads = [asyncio.ensure_future(read()) for read in _readers]
            done, late = await asyncio.wait(reads, timeout=READ_WITHIN_S)
            for read in done:
                if error := read.exception():
                    log.warning("figures could not be read", error=repr(error))
            for read in late:
                read.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_PLAIN_1_0_0})


class FaustFigures(Collector):
    """What Faust's monitor counts."""

    def describe(self) -> Iterator[Metric]:
        """No names ahead of time: to tell them, Faust would make its monitor, and an event loop, at import."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The monitor's figures, as they are now."""
        monitor = app.monitor
        yield CounterMetricFamily(
            "faust_messages_received", "Records received from Kafka", monitor.messages_received_total
        )
        yield CounterMetricFamily("faust_events", "Events that agents were given", monitor.events_total)
        yield GaugeMetricFamily("faust_events_active", "Events being processed", monitor.events_active)
        yield CounterMetricFamily("faust_messages_sent", "Records sent by Faust's producer", monitor.messages_sent)
        yield CounterMetricFamily("faust_send_errors", "Records that could not be sent", monitor.send_errors)
        yield CounterMetricFamily("faust_rebalances", "Rebalances seen", monitor.rebalances or 0)
        yield CounterMetricFamily(
            "faust_assignments_completed", "Assignments of partitions completed", monitor.assignments_completed
        )
        yield CounterMetricFamily(
            "faust_assignments_failed", "Assignments of partitions failed", monitor.assignments_failed
        )
        yield GaugeMetricFamily(
            "faust_assignment_seconds", "Mean of the last assignments", mean(monitor.assignment_latency or [0.0])
        )
        yield from self._tables()
        yield from self._offsets()

    def _tables(self) -> Iterator[Metric]:
        keys = GaugeMetricFamily("faust_table_operations", "Keys read, set and deleted", labels=["table", "operation"])
        for name, table in app.monitor.tables.items():
            keys.add_metric([name, "read"], table.keys_retrieved)
            keys.add_metric([name, "set"], table.keys_updated)
            keys.add_metric([name, "delete"], table.keys_deleted)
        yield keys

    def _offsets(self) -> Iterator[Metric]:
        read = GaugeMetricFamily("faust_read_offset", "Offset last read", labels=["topic", "partition"])
        end = GaugeMetricFamily("faust_end_offset", "Offset the log ends at", labels=["topic", "partition"])
        for family, offsets in ((read, app.monitor.tp_read_offsets), (end, app.monitor.tp_end_offsets)):
            for partition, offset in offsets.items():
                family.add_metric([partition.topic, str(partition.partition)], offset)
            yield family


REGISTRY.register(FaustFigures())
