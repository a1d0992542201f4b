"""What the answer to a view asks the tracker to record."""

from dataclasses import replace

import pytest

from analytics_app.definitions import DEFINITIONS
from analytics_app.heatmaps.logic import Heatmap
from analytics_app.websites.logic import Website
from web.capture import capture_of

FULL = Website(id=7, workspace_id=1, host="example.com", tracking_type="full")


@pytest.fixture
def defined(monkeypatch: pytest.MonkeyPatch):
    held = replace(DEFINITIONS.snapshot, of_websites={"heatmap": {7: (Heatmap(1, "click", "/shop/*"),)}})
    monkeypatch.setattr(DEFINITIONS, "snapshot", held)


@pytest.mark.usefixtures("defined")
def test_a_full_website_records_where_a_heatmap_is_of_the_page():
    capture = capture_of(FULL, "/shop/hats", "0" * 32)
    assert capture is not None
    assert capture.heatmap == ["click"]
    assert capture_of(FULL, "/about", "0" * 32) is None
    assert capture_of(replace(FULL, id=8), "/shop/hats", "0" * 32) is None


@pytest.mark.usefixtures("defined")
def test_a_lightweight_website_records_nothing():
    assert capture_of(replace(FULL, tracking_type="lightweight"), "/shop/hats", "0" * 32) is None
