"""The Faust app, and what each role starts of it."""

import gc
import os
import sys
import threading
from collections.abc import Iterable
from typing import Any, ClassVar

import faust
import structlog
from aiohttp.web import TCPSite
from faust.app.base import BootStrategy
from faust.types import ProducerT
from faust.web.drivers.aiohttp import Web as AiohttpWeb
from mode import ServiceT
from yarl import URL

from analytics_app import preflight
from analytics_app.definitions import DEFINITIONS
from analytics_app.embedded.endpoints import resolve
from analytics_app.jobs import backfilling
from analytics_app.jobs import runner as jobs
from analytics_app.jobs.deliveries import keep_delivering
from analytics_app.settings import Settings, settings
from analytics_app.transport import Transport
from analytics_app.watchdog import WATCHDOG

log = structlog.get_logger(__name__)

STOP_WITHIN_S = 18.0
TABLE_WRITES_WAITING = 5000
COLLECTED_AFTER = (20_000, 20, 50)


class Web(AiohttpWeb):
    """Faust's web server; several web processes of one machine listen on the same port."""

    production_blueprints: ClassVar = ()  # an index that tells anybody that all is well

    def _new_transport_tcp(self) -> TCPSite:
        conf, role = self.app.conf, settings().role
        port = settings().health_port if role == "worker" else conf.web_port
        return TCPSite(self._runner, conf.web_bind, port, backlog=1024, reuse_port=role == "web" or None)


class WebOnly(BootStrategy):
    """What a `web` process starts: the web server and a producer, no consumer and no agent."""

    enable_kafka_consumer = False

    def agents(self) -> Iterable[ServiceT]:
        """No agent: without a consumer they would wait for ever."""
        return ()

    def kafka_client_consumer(self) -> Iterable[ServiceT]:
        """No consumer for replies either."""
        return ()

    def tables(self) -> Iterable[ServiceT]:
        """No table: they belong to who consumes."""
        return ()


class App(faust.App):
    """The app, with our web server, our consumer, and the definitions kept fresh."""

    def _new_web(self) -> Web:
        return Web(self)

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer(self) -> ProducerT:
        producer = super()._new_producer()
        # A batch writes as many keys as it touches sessions; Faust's 100 would hold the stream up after each.
        producer.buffer.max_messages = TABLE_WRITES_WAITING
        return producer

    def _discovery_modules(self) -> list[str]:
        # Not the package itself, as Faust would: a worker needs none of the commands.
        return ["agents", "tables", "web"]

    def _on_autodiscovery_error(self, name: str) -> None:
        # A worker without one of its agents would look alive and store nothing.
        raise RuntimeError(f"{name} cannot be imported") from sys.exc_info()[1]

    async def on_first_start(self) -> None:
        """Make the folder of the tables: Faust makes the last part of its path only."""
        self.conf.datadir.mkdir(parents=True, exist_ok=True)
        await super().on_first_start()

    async def on_start(self) -> None:
        """Wait for Kafka and Postgres; start reading the definitions; watch over what a worker does."""
        try:
            if not await preflight.wait(self.sleep, lambda: self.should_stop):
                return
        except preflight.NotPrepared as error:
            log.critical("this process cannot start", why=str(error))
            os._exit(1)
        await super().on_start()
        # What is loaded by now stays: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECTED_AFTER)
        self.add_future(DEFINITIONS.keep_fresh())
        if settings().role != "web":
            self.add_future(WATCHDOG.beat())
            self.add_future(backfilling.keep_running())
            self.add_future(jobs.keep_running(jobs.JOBS))
            self.add_future(jobs.keep_running(jobs.PROMPT_JOBS))
            self.add_future(keep_delivering())
            WATCHDOG.start()

    async def on_stop(self) -> None:
        """Stop; where that hangs, end all the same: nothing is lost by it."""
        WATCHDOG.stop()
        end = threading.Timer(STOP_WITHIN_S, os._exit, (1,))
        end.daemon = True
        end.start()
        await super().on_stop()


def options(settings: Settings) -> dict[str, Any]:
    """Faust's settings under ours. What is not said here is Faust's default."""
    serves = settings.role != "worker"
    broker = resolve(settings).kafka_bootstrap
    return {
        "broker": [URL(f"kafka://{address.strip()}") for address in broker.split(",")],
        "autodiscover": True,
        "origin": "analytics_app",
        "store": "copies://",  # tables/store.py: RocksDB, thrown away where its files are damaged
        "datadir": str(settings.data_dir / "tables" / settings.worker_name),
        "topic_partitions": settings.partitions,
        "topic_replication_factor": settings.replication_factor,
        "topic_allow_declare": False,  # topics are made before anything starts, with retention and compaction
        "topic_disable_leader": True,
        "table_standby_replicas": 0,
        "web_enabled": True,
        "web_bind": settings.host if serves else settings.health_host,
        "web_host": "127.0.0.1",
        "web_port": settings.port or 6066,
        "web_application_options": {"client_max_size": 2 * 1024 * 1024},
        # Both would publish what tables hold, without a token.
        "web_tables_enabled": False,
        "web_router_enabled": False,
        "stream_buffer_maxsize": 1024,
        "stream_wait_empty": False,
        "producer_linger": 0.02,
        "producer_max_batch_size": 256 * 1024,
        "producer_max_request_size": 4 * 1024 * 1024,
        "producer_request_timeout": 15.0,
        "producer_acks": -1,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": 4 * 1024 * 1024,
        "broker_session_timeout": 15.0,
        "broker_heartbeat_interval": 3.0,
        "broker_rebalance_timeout": 20.0,
        "broker_request_timeout": 30.0,
        "broker_max_poll_interval": 86_400.0,
        "broker_commit_interval": 2.8,
        "logging_config": None,
    }


app = App(settings().app_id, **options(settings()))
if settings().role == "web":
    app.boot_strategy = WebOnly(app)
