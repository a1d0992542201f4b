"""What of a batch's hits tells how their senders behave: pure."""

from analytics_app.records import Seen
from analytics_app.sessions.kinds import EventKind
from analytics_app.sessions.logic import Folded

PATH_TOLD = 200


def senders_of(folded: Folded, partitions: int) -> dict[int, list[Seen]]:
    """By partition, who sent what, of hits whose senders are judged by their behaviour."""
    sent: dict[int, list[Seen]] = {}
    for hit, _ in folded.events:
        if hit.sender and hit.sent_by:
            path = hit.path[:PATH_TOLD] if hit.kind == EventKind.PAGEVIEW else None
            seen = Seen(hit.website_id, hit.sender, hit.sent_by, hit.session_key, hit.event_id, hit.at_ms, path)
            sent.setdefault(int(hit.sender[:8], 16) % partitions, []).append(seen)
    return sent
