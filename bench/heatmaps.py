"""How fast a heatmap of much traffic is answered: a page is seeded with samples, then asked about, one at a time."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from bench.reads import ask_often, faults
from bench.service import Service, ServiceFailed

WITHIN_MS = {"data": 50.0, "elements": 300.0}
ASKED = {"data": 200, "elements": 50}
"""How often: of 50 answers the 99th percentile would be the longest."""
TYPES = ("click", "move", "scroll")


def heatmaps(service: Service, samples: int, days: int) -> dict[str, Any]:
    """Seed a page and ask each question many times; latencies in ms, and what they should be."""
    website = service.new_websites(1)[0]["id"]
    began = time.monotonic()
    answer = service.command("seed-heatmaps", "--website", str(website), "--samples", str(samples), "--days", str(days))
    if answer.returncode:
        raise ServiceFailed(f"analytics seed-heatmaps: {answer.stderr or answer.stdout}")
    seeded_s = time.monotonic() - began
    today = datetime.now(UTC).date()
    since, noon = (today - timedelta(days=days)).isoformat(), f"{today - timedelta(days=7)}T12:00:00Z"
    found: list[dict[str, Any]] = []
    counted = 0
    for type_ in TYPES:
        body = {"name": type_, "url_pattern": "*", "type": type_}
        made = service.call("POST", f"/websites/{website}/heatmaps", body)["data"]
        whole = service.call("GET", f"/websites/{website}/heatmaps/{made['id']}/data?start_date={since}")
        counted += sum(whole["groups"].values())
        for name, given in (
            (f"data {type_}, {days} days", {"start_date": since}),
            (f"data {type_}, {days} days, cells of 50", {"start_date": since, "cell": "50"}),
            (f"data {type_}, the last 7 days to the second", {}),
            # Half a day of rows: up to now no period has more.
            (f"data {type_}, since noon 7 days ago", {"start_date": noon}),
            (f"elements {type_}, {days} days", {"start_date": since}),
        ):
            asked = name.split()[0]
            path = f"/analytics/websites/{website}/heatmaps/{made['id']}/{asked}?{urlencode(given)}"
            found.append(
                {"question": name, "within_ms": WITHIN_MS[asked], **ask_often(service, path, ASKED[asked]).summary_ms()}
            )
    return {
        "mode": "heatmap",
        "conditions": {"samples": samples, "days": days},
        "seeded_s": round(seeded_s, 1),
        "questions": found,
        "faults": [
            *([] if abs(counted - samples) < samples / 100 else [f"of {samples:,} samples heatmaps show {counted:,}"]),
            *faults(service),
        ],
    }
