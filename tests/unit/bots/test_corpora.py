"""Bots and browsers as others collected them. A list is measured on what it was not built from."""

import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from analytics_app.bots.crawlers import Crawlers
from analytics_app.bots.judging import Bench, Request, verdict_of
from analytics_app.bots.logic import Action
from analytics_app.intake import bots

ROOT = Path(__file__).parents[3]
MODULES, SCRIPT = ROOT / "node_modules", ROOT / "scripts" / "bots.py"
BENCH = Bench(Crawlers(), date(2026, 11, 25))
PLAIN = {"Accept": "*/*", "Accept-Language": "en", "Origin": "https://example.com", "Sec-Fetch-Mode": "cors"}


def corpus(name):
    file = MODULES / name
    if not file.exists():
        pytest.fail(f"{file} is missing: run scripts/build_assets.py")
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def browsers():
    """10,000 real browsers as the package `user-agents` has them (952 different user agents, by how often each is)."""
    return [one["userAgent"] for one in corpus("user-agents/dist/user-agents.json")]


def test_no_browser_of_ten_thousand_is_taken_for_a_bot(browsers):
    assert len(browsers) == 10_000
    found = {agent for agent in set(browsers) if bots.declared(agent)}
    assert found == set()
    judged = {agent: verdict_of(Request(7, "81.2.69.142", agent, PLAIN), BENCH) for agent in set(browsers)}
    assert [agent for agent, verdict in judged.items() if verdict.action in (Action.LEFT_OUT, Action.BLOCKED)] == []
    assert [agent for agent, verdict in judged.items() if verdict.score >= 30] == [], "not even logged"


def test_bots_that_another_list_collected_are_known_by_their_user_agent():
    """The patterns of isbot alone on the 2,100 user agents of crawler-user-agents, which they were not made from."""
    agents = [agent for one in corpus("crawler-user-agents/crawler-user-agents.json") for agent in one["instances"]]
    assert len(agents) > 2000
    known = sum(bots.listed().matches(agent) for agent in agents)
    assert known / len(agents) > 0.99
    both = sum(bots.declared(agent) is not None for agent in agents)
    assert both / len(agents) > 0.997


def test_bots_are_known_as_their_operators_document_them():
    """By the command that measures on any list, too: `scripts/bots.py` on a path of one's own."""
    documented = Path(__file__).with_name("documented_bots.txt")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--bots", documented, "--browsers", MODULES / "user-agents/dist/user-agents.json",
         "--recall", "97.5", "--wrong", "0"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 of 952 taken for bots" in done.stdout


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "# said\ncurl/8.11.0\n\nFirefox like nobody's\n"),
        ("a.json", '[{"userAgent": "curl/8.11.0"}, {"instances": ["Firefox like nobody\'s", "curl/8.11.0"]}]'),
        ("a.yml", "- user_agent: curl/8.11.0\n  bot: {name: curl}\n- user_agent: Firefox like nobody's\n"),
    ],
)
def test_the_command_reads_lists_as_others_publish_them(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    done = subprocess.run(
        [sys.executable, SCRIPT, "--bots", tmp_path / name, "--recall", "51"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "1 of 2 bots known, recall 50.00 %" in done.stdout
    assert "missed: Firefox like nobody's" in done.stdout


def test_what_is_known_has_a_name_and_a_type():
    types = set()
    for one in corpus("crawler-user-agents/crawler-user-agents.json"):
        for agent in one["instances"]:
            found = bots.declared(agent)
            if found:
                assert re.fullmatch(r"\S.{0,59}", found.name)
                types.add(found.type)
    assert types == {"crawler", "scraper", "headless", "ai_crawler", "preview", "monitor", "feed", "scanner"}
