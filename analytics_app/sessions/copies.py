"""Which copies of session states a process holds in memory, and when each is to be written to its table: pure."""

from collections import OrderedDict, defaultdict

from analytics_app.sessions.state import Held

WRITTEN_AFTER_S = 5.0
WRITTEN_AT_ONCE = 500
HELD_IN_MEMORY = 100_000


class Copies:
    """What is held in memory: the latest copy of each key, and which of them the table does not have yet."""

    def __init__(self) -> None:
        self.latest: OrderedDict[str, Held] = OrderedDict()
        self.unwritten: dict[int, OrderedDict[str, float]] = defaultdict(OrderedDict)

    def put(self, partition: int, key: str, copy: Held, now_s: float) -> None:
        """Hold a copy that the table does not have yet."""
        self.latest[key] = copy
        self.latest.move_to_end(key)
        self.unwritten[partition].setdefault(key, now_s)
        while len(self.latest) > HELD_IN_MEMORY:
            self.latest.popitem(last=False)

    def due(self, partition: int, now_s: float) -> list[tuple[str, Held]]:
        """The copies of a partition to be written now: held long enough, the oldest first, not too many at once."""
        waiting = self.unwritten[partition]
        found: list[tuple[str, Held]] = []
        while waiting and len(found) < WRITTEN_AT_ONCE:
            key, since_s = next(iter(waiting.items()))
            if now_s - since_s < WRITTEN_AFTER_S:
                break
            del waiting[key]
            if key in self.latest:  # what fell out of memory meanwhile is read from its row
                found.append((key, self.latest[key]))
        return found

    def drop(self, partition: int, key: str) -> None:
        """Hold `key` no longer."""
        self.latest.pop(key, None)
        self.unwritten[partition].pop(key, None)
