"""What visitors' browsers load stays small, and what it is built from names no place of its own."""

import gzip
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import re2

from scripts.build_assets import linear

ROOT = Path(__file__).parents[2]
LIMIT_BYTES = 3500


@pytest.fixture(scope="module")
def assets():
    """Everything built, from the sources as they are."""
    subprocess.run([sys.executable, ROOT / "scripts" / "build_assets.py"], check=True)
    return ROOT / "web" / "static" / "built"


def test_the_tracker_is_at_most_three_and_a_half_kilobytes_on_the_wire(assets):
    size = len(gzip.compress((assets / "analytics.js").read_bytes(), 9))
    assert size <= LIMIT_BYTES, f"{size} bytes: leave something out, or move it to the service"


def test_the_script_of_experiments_is_at_most_a_kilobyte_and_a_quarter_on_the_wire(assets):
    assert len(gzip.compress((assets / "experiments.js").read_bytes(), 9)) <= 1250


def test_the_sampler_of_heatmaps_is_at_most_a_kilobyte_and_a_half_on_the_wire(assets):
    assert len(gzip.compress((assets / "heatmap.js").read_bytes(), 9)) <= 1500


def test_the_recorder_is_at_most_25_kilobytes_on_the_wire(assets):
    assert len(gzip.compress((assets / "replay.js").read_bytes(), 9)) <= 25_000


def test_no_page_of_ours_loads_anything_from_elsewhere():
    loaded = re.compile(r"""(?:src|href|spec-url)="((?:https?:)?//[^"]+)""")
    for page in (ROOT / "web" / "static").glob("*/index.html"):
        outside = [url for url in loaded.findall(page.read_text("utf-8")) if url != "https://example.com/"]
        assert outside == [], page


def test_the_lock_of_the_packages_names_no_host():
    lock = (ROOT / "package-lock.json").read_text("utf-8")
    assert "://" not in lock
    assert all("integrity" in entry for name, entry in json.loads(lock)["packages"].items() if name)


def test_packages_are_wanted_in_one_version_only():
    wanted = json.loads((ROOT / "package.json").read_text("utf-8"))
    for version in (wanted["dependencies"] | wanted["devDependencies"]).values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)


def test_the_bot_patterns_are_re2s_and_tell_bots_from_browsers(assets):
    patterns = json.loads((ROOT / "analytics_app" / "intake" / "data" / "bots.json").read_text("utf-8"))
    compiled = [re2.compile(f"(?i){pattern}") for pattern in patterns]

    def is_bot(user_agent):
        return any(pattern.search(user_agent) for pattern in compiled)

    browser = (
        "Mozilla/5.0 (Linux; Android 14; {}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
    )
    assert len(patterns) > 150
    assert is_bot("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
    assert is_bot("curl/8.5.0")
    assert is_bot(browser.format("scanner"))
    assert not is_bot(browser.format("Pixel 9"))
    assert not is_bot(browser.format("CUBOT NOTE 21")), "a phone's maker"


@pytest.mark.parametrize(
    "pattern",
    [
        "(?<!lib)http",
        "(?<!cam)scan",
        "java(?!;)",
        "(?:^|[^g])news(?!sapphire)",
        r"(?<! cu)bots?(?:\b|_)",
        "(?<!x)google(?!(?:wv|app|/google| pixel))",
    ],
)
def test_a_pattern_without_its_look_arounds_finds_the_same(pattern):
    words = [*re.findall(r"[a-z; /]+", pattern), "lib", "cam", " cu", "x", "s", "sapp", " pix", "_", " "]
    rewritten = re2.compile(linear(pattern))
    for text in map("".join, itertools.product(words, repeat=3)):
        assert bool(rewritten.search(text)) is bool(re.search(pattern, text)), text


def test_referrers_are_known_by_host_and_path(assets):
    known = json.loads((ROOT / "analytics_app" / "intake" / "data" / "referrers.json").read_text("utf-8"))
    assert known["google.com"] == {"source": "Google", "medium": "search"}
    assert known["linkedin.com"]["medium"] == "social"
    assert not [place for place in known if place.startswith("www.") or place.endswith("/") or place != place.lower()]
