"""The senders that one worker watches: what each sent in the last minute, and who is to be judged."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from analytics_app.bots.behaviour import FEWEST, FEWEST_AGAIN, HOLDS_MS, WINDOW_MS, Source, joint_suspicion, suspicion
from analytics_app.bots.logic import REPUTATION_HALVES_MS
from analytics_app.records import SendersRecord

ASKED_EVERY_MS = 5_000
"""How often the sessions of a source that looks like a machine's are asked for, at most."""
SWEPT_EVERY_MS = 10_000
MOST_SOURCES = 100_000

Key = tuple[int, str]
"""Website, and source or sender."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """Sources of one sender that look like a machine's, with the session keys they sent under."""

    website_id: int
    sender: str
    sources: tuple[str, ...]
    keys: frozenset[str]
    reason: str


class Watch:
    """What is known of the senders of each partition."""

    def __init__(self) -> None:
        self.sources: dict[int, dict[Key, Source]] = defaultdict(dict)
        self.senders: dict[int, dict[Key, set[str]]] = defaultdict(dict)
        self.touched: dict[int, set[Key]] = defaultdict(set)
        self.swept_ms: dict[int, int] = defaultdict(int)

    def keep(self, partitions: set[int]) -> None:
        """Forget the partitions that other workers have now."""
        for held in (self.sources, self.senders, self.touched, self.swept_ms):
            for gone in held.keys() - partitions:
                del held[gone]  # type: ignore[attr-defined]

    def see(
        self, partition: int, records: Iterable[SendersRecord], last_condemned: Callable[[str], int | None]
    ) -> None:
        """Take in what was sent; `last_condemned` says when a source was, in ms."""
        sources, senders, touched = self.sources[partition], self.senders[partition], self.touched[partition]
        for record in records:
            for seen in record.seen:
                key = (seen.website_id, seen.source)
                source = sources.get(key)
                if source is None:
                    if len(sources) >= MOST_SOURCES:
                        continue  # a flood of senders, each of which is seen once: none of them crawls
                    source = sources[key] = Source(seen.sender)
                    source.condemned_ms = last_condemned(seen.source)
                source.see(seen)
                senders.setdefault((seen.website_id, seen.sender), set()).add(seen.source)
                touched.add(key)

    def suspects(self, partition: int, now_ms: int) -> Iterator[Suspect]:
        """Who is to be judged now; what is over a minute old is forgotten."""
        horizon_ms = now_ms - WINDOW_MS
        sources, senders = self.sources[partition], self.senders[partition]
        touched, self.touched[partition] = self.touched[partition], set()
        together: set[Key] = set()
        for website_id, name in sorted(touched):
            source = sources[website_id, name]
            source.leave_before(horizon_ms)
            if source.reason and now_ms - (source.condemned_ms or 0) < HOLDS_MS:
                # Stored before the verdict, and told after it: the last that any batch could let pass.
                yield Suspect(website_id, source.sender, (name,), frozenset(source.keys()), source.reason)
                continue
            if now_ms - source.asked_ms < ASKED_EVERY_MS:
                continue
            reason = suspicion(source.hits.values(), _fewest(source, now_ms))
            if reason:
                source.asked_ms = now_ms
                yield Suspect(website_id, source.sender, (name,), frozenset(source.keys()), reason)
            elif len(senders[website_id, source.sender]) > 1:
                together.add((website_id, source.sender))
        for website_id, sender in sorted(together):
            yield from self._jointly(partition, website_id, sender, now_ms)
        if now_ms - self.swept_ms[partition] > SWEPT_EVERY_MS:
            self.swept_ms[partition] = now_ms
            self._sweep(partition, horizon_ms)

    def _jointly(self, partition: int, website_id: int, sender: str, now_ms: int) -> Iterator[Suspect]:
        """The sources of one address, where what they sent together is a crawl in order."""
        names = tuple(sorted(self.senders[partition][website_id, sender]))
        sources = [self.sources[partition][website_id, name] for name in names]
        if any(now_ms - source.asked_ms < ASKED_EVERY_MS for source in sources):
            return
        reason = joint_suspicion(sent for source in sources for sent in source.hits.values())
        if reason:
            for source in sources:
                source.asked_ms = now_ms
            yield Suspect(website_id, sender, names, frozenset().union(*(one.keys() for one in sources)), reason)

    def again(self, suspect: Suspect) -> None:
        """Have a suspect judged again with its next hit."""
        for source in self._of(suspect):
            source.asked_ms = 0

    def condemned(self, suspect: Suspect, now_ms: int) -> tuple[str, ...]:
        """Note that a suspect was condemned; returns its sources."""
        for source in self._of(suspect):
            source.condemned_ms, source.reason = now_ms, suspect.reason
        return suspect.sources

    def _of(self, suspect: Suspect) -> Iterator[Source]:
        for held in self.sources.values():
            for name in suspect.sources:
                if (suspect.website_id, name) in held:
                    yield held[suspect.website_id, name]

    def _sweep(self, partition: int, horizon_ms: int) -> None:
        sources, senders = self.sources[partition], self.senders[partition]
        for key, source in list(sources.items()):
            if not source.leave_before(horizon_ms):
                del sources[key]
                names = senders.get((key[0], source.sender), set())
                names.discard(key[1])
                if not names:
                    senders.pop((key[0], source.sender), None)


def _fewest(source: Source, now_ms: int) -> int:
    """How many pages a verdict needs: half as many of who was condemned within the hour."""
    recently = source.condemned_ms is not None and now_ms - source.condemned_ms < REPUTATION_HALVES_MS
    return FEWEST_AGAIN if recently else FEWEST
