"""Exposures on their way to Kafka: told once for each visitor and variant, gathered with others into one record."""

from analytics_app import clock
from analytics_app.errors import Unavailable
from analytics_app.records import Exposure, encode
from analytics_app.topics import exposures
from web.edge import Edge

EDGE = Edge(exposures.get_topic_name())

REMEMBERED = 100_000
FORGOTTEN_AFTER_S = 300.0
TRIED_EVERY_S = 1.0

Key = tuple[int, int, str]


class Recently:
    """What this process told in the last minutes: telling it again would change nothing.

    Two generations: the older is dropped when the younger is full or old, so that whoever is forgotten in Postgres (an
    erasure) is noted again soon after.
    """

    def __init__(self) -> None:
        self._young: set[Key] = set()
        self._old: set[Key] = set()
        self._turned_at = clock.monotonic()

    def __contains__(self, key: Key) -> bool:
        """Whether `key` was told."""
        return key in self._young or key in self._old

    def add(self, key: Key) -> None:
        """Remember that `key` was told."""
        now = clock.monotonic()
        if len(self._young) >= REMEMBERED or now - self._turned_at > FORGOTTEN_AFTER_S:
            self._old, self._young, self._turned_at = self._young, set(), now
        self._young.add(key)


class Exposures:
    """Tells who was shown what."""

    def __init__(self) -> None:
        self.recently = Recently()
        self._tried_at = -TRIED_EVERY_S

    def is_told(self, experiment_id: int, variant_id: int, visitor: str) -> bool:
        """Whether Kafka has it already, as far as this process remembers, that the visitor was shown the variant."""
        return (experiment_id, variant_id, visitor) in self.recently

    async def tell(self, exposure: Exposure) -> None:
        """Tell it; returns once Kafka has it.

        Raises `Unavailable` where Kafka does not confirm it in time: at once while Kafka is known to be away, but for
        one try a second.
        """
        if not EDGE.is_connected():
            now = clock.monotonic()
            if now - self._tried_at < TRIED_EVERY_S:
                raise Unavailable("Kafka is away")
            self._tried_at = now
        await EDGE.put(exposure.visitor, encode(exposure))
        self.recently.add((exposure.experiment_id, exposure.variant_id, exposure.visitor))


EXPOSURES = Exposures()
"""This process' exposures."""
