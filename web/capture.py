"""What the tracker is told to record of a view, decided from definitions alone: no database is asked."""

from analytics_app.definitions import DEFINITIONS
from analytics_app.heatmaps import logic as heatmaps
from analytics_app.intake.schemas import Capture
from analytics_app.replays.logic import records
from analytics_app.settings import settings
from analytics_app.websites.logic import Website


def capture_of(website: Website, path: str, session_key: str) -> Capture | None:
    """What is to be recorded of a view of `path`; None where that is nothing. Lightweight websites never record.

    `session_key` is for what must be decided alike for all views of a session.
    """
    if website.tracking_type != "full":
        return None
    capture = Capture(
        heatmap=heatmaps.wanted_of(DEFINITIONS.of("heatmap", website.id), path) or None,
        replay={"max_s": website.replay_max_s or settings().replay_max_s} if records(website, session_key) else None,
    )
    return capture if capture.heatmap or capture.replay else None
