"""How hits become sessions: pure, the one fold that everything counted goes through."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from analytics_app.records import AnyHit, Heartbeat, Hit, Leave
from analytics_app.sessions.kinds import EventKind
from analytics_app.sessions.state import QUARTER_MS, Rules, Share, State, View, Visit, bucket_of, prune, share_of
from analytics_app.stats.spans import PART

REPEATS_HELD = 16
PART_MS = PART * QUARTER_MS


@dataclass(slots=True)
class Change:
    """A visit that a batch touched: as it stood, as it stands, and what of its row is new beside the counts."""

    visit: Visit
    before: Share | None  # None: opened by this batch
    was_started_ms: int
    opened_by: Hit | None = None
    origin: Hit | None = None  # the new first hit, whose dimensions the session takes
    entry_path: str | None = None
    exit_path: str | None = None


@dataclass(slots=True)
class Folded:
    """What a batch comes to: changed states, rows to write, and the hits that count as nothing, by reason."""

    states: dict[str, State] = field(default_factory=dict)
    events: list[tuple[Hit, Visit]] = field(default_factory=list)
    changes: dict[int, Change] = field(default_factory=dict)
    engagement: dict[int, View] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    stored: int = 0

    def ignore(self, reason: str) -> None:
        """Count a hit that changes nothing."""
        self.ignored[reason] = self.ignored.get(reason, 0) + 1


def lost_views(states: Mapping[str, State], hits: Iterable[AnyHit], repeats: Mapping[int, int]) -> set[int]:
    """Ids of pageviews that heartbeats speak of and that long sessions no longer hold: they must be read from rows.

    `repeats` are those among `hits`, as `fold` is given them.
    """
    lost = set()
    for hit in hits:
        state = states.get(hit.session_key)
        if isinstance(hit, Heartbeat) and state is not None:
            event_id = repeats.get(hit.event_id) or state.kept(hit.event_id)
            dropped = [visit for visit in state.live(hit.website_id) if visit.views_dropped]
            if dropped and not any(visit.holds(event_id) for visit in state.live(hit.website_id)):
                lost.add(event_id)
    return lost


def restore(states: Mapping[str, State], rows: Iterable[tuple[int, View]]) -> None:
    """Put pageviews read from rows, as (session id, view), back into their visits."""
    visits = {visit.id: visit for state in states.values() for visit in state.visits}
    for session_id, view in rows:
        if session_id in visits:
            visits[session_id].views.append(view)


class Fold:
    """The fold of one batch: feed it hits in order, then take what came out.

    `states` are this fold's own copies; they are changed in place. `rules_of` gives a website's rules, None for one
    that is gone.
    """

    def __init__(self, states: dict[str, State], rules_of: Callable[[int], Rules | None]) -> None:
        self.states = states
        self.rules_of = rules_of
        self.out = Folded()

    def feed(self, hit: AnyHit) -> None:
        """Fold one hit in."""
        if isinstance(hit, Hit):
            self._hit(hit)
        elif isinstance(hit, Heartbeat):
            self._heartbeat(hit)
        else:
            self._leave(hit)

    def repeat(self, hit: Hit, kept: int) -> None:
        """Note that `hit` repeats the event `kept`: engagement reported for its id belongs there."""
        state = self._state(hit)
        state.repeats = [*state.repeats[1 - REPEATS_HELD :], (hit.event_id, kept)]

    def _hit(self, hit: Hit) -> None:
        rules = self.rules_of(hit.website_id)
        if rules is None:
            self.out.ignore("website_gone")
            return
        visit = self._joined(hit, rules)
        if visit is None:
            visit = self._open(hit)
        else:
            self._touch(hit, visit)
        self._count(hit, visit)
        self.out.events.append((hit, visit))
        self.out.stored += 1

    def _joined(self, hit: Hit, rules: Rules) -> Visit | None:
        """The visit that takes the hit, the earliest of several."""
        taking = [visit for visit in self._live(hit, hit.website_id) if visit.takes(hit.at_ms, rules)]
        return min(taking, key=lambda visit: (visit.started_ms, visit.id), default=None)

    def _open(self, hit: Hit) -> Visit:
        visit = Visit(hit.event_id, hit.website_id, 0, hit.at_ms, hit.at_ms, (hit.at_ms, hit.event_id))
        visit.country = hit.country
        self._state(hit).visits.append(visit)
        self.out.changes[visit.id] = Change(visit, None, hit.at_ms, opened_by=hit, origin=hit)
        return visit

    def _count(self, hit: Hit, visit: Visit) -> None:
        """Add one pageview or event to its visit."""
        change = self.out.changes[visit.id]
        moment = (hit.at_ms, hit.event_id)
        visit.started_ms = min(visit.started_ms, hit.at_ms)
        visit.last_ms = max(visit.last_ms, hit.at_ms)
        if moment < visit.first:
            visit.first, visit.country, change.origin = moment, hit.country, hit
        if hit.kind != EventKind.PAGEVIEW:
            visit.events += 1
            visit.interactions += hit.interactive
            return
        visit.pageviews += 1
        if visit.entry is None or moment < visit.entry:
            visit.entry, change.entry_path = moment, hit.path
        if visit.exit is None or moment > visit.exit:
            visit.exit, visit.exit_path, change.exit_path = moment, hit.path, hit.path
        visit.views.append(View(hit.event_id, hit.at_ms))

    def _heartbeat(self, hit: Heartbeat) -> None:
        found = self._holder(hit)
        if found is None:
            self.out.ignore("unknown_event")
            return
        visit, view = found
        rules = self.rules_of(visit.website_id)
        if rules is None:
            self.out.ignore("website_gone")
            return
        self._touch(hit, visit)
        grown = max(view.time_s, hit.time_on_page_s)
        visit.engaged_s += grown - view.time_s
        view.time_s, view.scroll = grown, max(view.scroll, hit.scroll_depth)
        self.out.engagement[view.event_id] = view
        self._extend(visit, hit.at_ms, rules)
        self.out.stored += 1

    def _holder(self, hit: Heartbeat) -> tuple[Visit, View] | None:
        """The visit that holds the heartbeat's pageview, and that view."""
        state = self.states.get(hit.session_key)
        event_id = state.kept(hit.event_id) if state else hit.event_id
        for visit in self._live(hit, hit.website_id):
            view = visit.holds(event_id)
            if view is not None:
                return visit, view
        return None

    def _leave(self, hit: Leave) -> None:
        live = []
        for visit in self._live(hit, hit.website_id):
            rules = self.rules_of(visit.website_id)
            if rules is not None and visit.takes(hit.at_ms, rules):
                live.append((visit.last_ms, visit.id, visit, rules))
        if not live:
            self.out.ignore("unknown_session")
            return
        _, _, visit, rules = max(live, key=lambda found: found[:2])
        self._touch(hit, visit)
        self._extend(visit, hit.at_ms, rules)
        self.out.stored += 1

    def _extend(self, visit: Visit, at_ms: int, rules: Rules) -> None:
        """Move the end of a visit that is still running to `at_ms`; engagement never moves its start."""
        if at_ms > visit.last_ms and visit.takes(at_ms, rules):
            visit.last_ms = at_ms

    def _touch(self, hit: AnyHit, visit: Visit) -> None:
        """Remember how the visit stood before this batch first changed it."""
        self._state(hit)
        if visit.id not in self.out.changes:
            self.out.changes[visit.id] = Change(visit, share_of(visit), visit.started_ms)

    def _live(self, hit: AnyHit, website_id: int) -> list[Visit]:
        """The visits of the hit's session id that may still change."""
        state = self.states.get(hit.session_key)
        return state.live(website_id) if state else []

    def _state(self, hit: AnyHit) -> State:
        """The state of the hit's session id, to be changed."""
        state = self.states.setdefault(hit.session_key, State())
        state.seen_ms = max(state.seen_ms, hit.at_ms)
        self.out.states[hit.session_key] = state
        return state


def fold(
    states: dict[str, State],
    hits: Sequence[AnyHit],
    rules_of: Callable[[int], Rules | None],
    repeats: Mapping[int, int] | None = None,
) -> Folded:
    """Fold `hits`, in order, into `states` (which are changed) and return what to write.

    `repeats` maps the ids of hits that a client sent again to the ids of those that count.
    """
    turn = Fold(states, rules_of)
    for hit in hits:
        if repeats and isinstance(hit, Hit) and hit.event_id in repeats:
            turn.repeat(hit, repeats[hit.event_id])
        else:
            turn.feed(hit)
    for change in turn.out.changes.values():
        rules = rules_of(change.visit.website_id)
        assert rules is not None, "no session of a website that is gone is changed"
        change.visit.counted_bounce = change.visit.is_bounce(rules)
    for state in turn.out.states.values():
        prune(state)
    return turn.out


def rollup_of(folded: Folded) -> dict[tuple[int, int], Counter[str]]:
    """What `folded` adds to the rollups, by (website, quarter hour in ms); sessions by difference."""
    added: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    for hit, _ in folded.events:
        row = added[hit.website_id, bucket_of(hit.at_ms)]
        row["pageviews" if hit.kind == EventKind.PAGEVIEW else "events"] += 1
    for change in folded.changes.values():
        for share, sign in ((change.before, -1), (share_of(change.visit), 1)):
            if share is not None:
                _add_share(added[share.website_id, share.bucket_ms], share, sign)
    return {key: row for key, row in added.items() if any(row.values())}


def _add_share(row: Counter[str], share: Share, sign: int) -> None:
    row["sessions"] += sign * share.sessions
    row["bounces"] += sign * share.bounces
    row["duration_s"] += sign * share.duration_s
    row["session_pageviews"] += sign * share.pageviews


def parts_changed(folded: Folded) -> dict[int, set[int]]:
    """By website, the parts of days in which a changed session was under way, before the change or after it.

    Numbered since 1970, in UTC; `stats.spans.PART` is their length.
    """
    parts: dict[int, set[int]] = {}
    for change in folded.changes.values():
        visit = change.visit
        first, last = min(visit.started_ms, change.was_started_ms) // PART_MS, visit.last_ms // PART_MS
        held = parts.setdefault(visit.website_id, set())
        held.add(first)
        if last > first:
            held.update(range(first + 1, last + 1))
    return parts
