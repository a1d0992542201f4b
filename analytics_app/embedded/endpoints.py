"""Where Kafka and Postgres are: as the settings say, or as the embedded servers of the data folder are reached."""

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analytics_app.embedded import ports
from analytics_app.embedded.errors import NotStarted
from analytics_app.embedded.layout import Layout, write_private

if TYPE_CHECKING:
    from analytics_app.settings import Settings


@dataclass(frozen=True)
class Endpoints:
    """The two addresses, from settings and files alone: nothing is connected to, and each is looked up when asked for.

    Both raise NotStarted where the settings name no server and none was ever started in the data folder.
    """

    settings: "Settings"

    @property
    def kafka_bootstrap(self) -> str:
        """`host:port,host:port` of Kafka."""
        return self.settings.kafka_bootstrap_servers or self._noted(
            "kafka_bootstrap", "Kafka", "ANALYTICS_KAFKA_BOOTSTRAP_SERVERS"
        )

    @property
    def database_url(self) -> str:
        """`postgresql://user:password@host:port/database` of Postgres."""
        return self.settings.database_url.get_secret_value() or self._noted(
            "database_url", "Postgres", "ANALYTICS_DATABASE_URL"
        )

    def _noted(self, key: str, what: str, variable: str) -> str:
        if found := read(Layout(self.settings.data_dir)).get(key):
            return str(found)
        raise NotStarted(
            f"{what} is not known: `analytics up` has not been started in {self.settings.data_dir}. "
            f"Start it, name its folder with ANALYTICS_DATA_DIR, or set {variable}"
        )


def resolve(settings: "Settings") -> Endpoints:
    """Where Kafka and Postgres are for these settings."""
    return Endpoints(settings)


def read(layout: Layout) -> dict[str, object]:
    """What the embedded servers noted about themselves; empty before the first start."""
    try:
        noted = json.loads(layout.endpoints_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    except PermissionError as error:
        raise NotStarted(
            f"{layout.endpoints_file} belongs to another user; run this as the user who runs `analytics up`"
        ) from error
    return noted if isinstance(noted, dict) else {}


_noting = threading.Lock()


def note(layout: Layout, **values: object) -> None:
    """Keep `values` beside what is noted already. Only the holder of the folder's lock writes."""
    with _noting:  # Kafka and Postgres are prepared side by side
        _write(layout, read(layout) | values)


def port_for(layout: Layout, key: str) -> int:
    """A port on loopback for what is noted under `key`: as before where it is free, never another's of this folder.

    Chosen and noted in one, as those who choose side by side bind theirs only later. Raises OSError where none is free.
    """
    with _noting:
        noted = read(layout)
        others = frozenset(taken for name, taken in noted.items() if name.endswith("port") and name != key)
        port = ports.kept_or_new(noted.get(key), others=others)
        _write(layout, noted | {key: port})
        return port


def _write(layout: Layout, noted: dict[str, object]) -> None:
    write_private(layout.endpoints_file, json.dumps(noted, indent=1) + "\n")
