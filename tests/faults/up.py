"""`analytics up` with proxies before its servers: `python -m tests.faults.up KAFKA_PROXY POSTGRES_PROXY up …`.

Everything of it is as ever, but the addresses that the processes are told are those of the proxies.
"""

import re
import sys

from analytics_app import cli
from analytics_app.embedded import endpoints
from analytics_app.embedded.kafka import Kafka
from analytics_app.embedded.layout import write_private
from analytics_app.embedded.postgres import Postgres


def advertise_kafka(port: int) -> None:
    """Kafka names `port` to whoever asks where it is."""
    prepare = Kafka.prepare

    def prepare_behind(self: Kafka) -> None:
        prepare(self)
        address = f"127.0.0.1:{port}"
        found = self.properties.read_text(encoding="utf-8")
        told = re.sub(r"(?m)^advertised\.listeners=.*$", f"advertised.listeners=PLAINTEXT://{address}", found)
        write_private(self.properties, told)
        endpoints.note(self.layout, kafka_bootstrap=address)

    Kafka.prepare = prepare_behind  # type: ignore[method-assign]


def advertise_postgres(port: int) -> None:
    """Postgres is said to be at `port`."""
    prepare = Postgres.prepare

    def prepare_behind(self: Postgres) -> None:
        prepare(self)
        noted = str(endpoints.read(self.layout)["database_url"])
        endpoints.note(self.layout, database_url=noted.replace(f":{self.port}/", f":{port}/"))

    Postgres.prepare = prepare_behind  # type: ignore[method-assign]


if __name__ == "__main__":
    advertise_kafka(int(sys.argv[1]))
    advertise_postgres(int(sys.argv[2]))
    del sys.argv[1:3]
    cli.main()
