from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.bots.behaviour import Condemned
from analytics_app.bots.crawlers import Crawlers
from analytics_app.bots.headers import MISSING_AT_MOST, oddities
from analytics_app.bots.judging import TRUSTED, Bench, Request, verdict_of
from analytics_app.bots.logic import Action, Reason, Signals, Thresholds, judge
from analytics_app.bots.rules import MatchType, Rule, RuleSet, RuleType

TODAY = date(2026, 11, 25)
CRAWLERS = Crawlers()
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
GPTBOT = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.0; +https://openai.com/gptbot)"
BROWSERS = {
    "Accept": "*/*",
    "Accept-Language": "en-GB,en;q=0.9",
    "Origin": "https://example.com",
    "Sec-Fetch-Mode": "cors",
    "Sec-CH-UA": '"Chromium";v="143", "Not A(Brand";v="24", "Google Chrome";v="143"',
    "Sec-CH-UA-Platform": '"Windows"',
}
NOW_MS = 1_795_600_000_000


def ask(agent=CHROME, headers=BROWSERS, address="81.2.69.142", *, condemned=None, rules=(), thresholds=None, **fields):
    bench = Bench(
        CRAWLERS,
        TODAY,
        thresholds or Thresholds(),
        lambda _: RuleSet(rules),
        lambda _: {"ab" * 8: condemned} if condemned else {},
    )
    return verdict_of(Request(7, address, agent, headers, "ab" * 8, NOW_MS, **fields), bench)


def test_a_browser_scores_nothing():
    assert ask().score == 0
    assert ask().action is None
    assert ask(FIREFOX, {k: v for k, v in BROWSERS.items() if not k.startswith("Sec-CH")}).score == 0


@pytest.mark.parametrize(
    ("agent", "name", "type_"),
    [
        (GOOGLEBOT, "Googlebot", "crawler"),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "Bingbot", "crawler"),
        ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "Ahrefs", "crawler"),
        (GPTBOT, "GPTBot", "ai_crawler"),
        ("Mozilla/5.0 (compatible; ClaudeBot/1.0; +claudebot@anthropic.com)", "ClaudeBot", "ai_crawler"),
        ("python-requests/2.31", "Python-requests", "scraper"),
        ("Scrapy/2.11 (+https://scrapy.org)", "Scrapy", "scraper"),
        (CHROME.replace("Chrome/", "HeadlessChrome/"), "HeadlessChrome", "headless"),
        ("Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "UptimeRobot", "monitor"),
        ("facebookexternalhit/1.1", "Facebookexternalhit", "preview"),
    ],
)
def test_a_declared_bot_is_one_whatever_else_speaks_for_it(agent, name, type_):
    found = ask(agent)
    assert (found.name, found.type) == (name, type_)
    assert found.score >= 50
    assert found.action in (Action.LEFT_OUT, Action.BLOCKED)
    assert "declared" in found.reasons


def test_a_search_engine_at_its_own_address_is_left_out_and_never_refused():
    found = ask(GOOGLEBOT, {}, "66.249.66.1")
    assert (found.verified, found.action) == (True, Action.LEFT_OUT)
    assert 50 <= found.score < 70
    strict = ask(GOOGLEBOT, {}, "66.249.66.1", thresholds=Thresholds(30, 50, 50))
    assert strict.action is Action.LEFT_OUT


def test_who_pretends_to_be_one_is_told_by_its_address():
    found = ask(GOOGLEBOT, {}, "203.0.113.9")
    assert (found.verified, found.action) == (False, Action.BLOCKED)
    assert "pretends" in found.reasons


def test_where_nobody_publishes_addresses_nothing_is_verified():
    assert ask("Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)").verified is None


def test_a_driven_browser_is_a_headless_bot_whatever_it_says():
    found = ask(webdriver=True)
    assert (found.action, found.type, found.reasons) == (Action.LEFT_OUT, "headless", ("webdriver",))
    hints = BROWSERS | {"Sec-CH-UA": '"HeadlessChrome";v="143", "Chromium";v="143"'}
    assert ask(headers=hints).type == "headless"


@pytest.mark.parametrize(
    ("headers", "agent", "code"),
    [
        (BROWSERS, FIREFOX, "hints_of_another_browser"),
        (BROWSERS | {"Sec-CH-UA": '"Chromium";v="99"'}, CHROME, "hints_of_another_version"),
        (BROWSERS | {"Sec-CH-UA-Platform": '"macOS"'}, CHROME, "hints_of_another_system"),
        (BROWSERS, "Mozilla/5.0 (Windows NT 13.0) Chrome/143.0.0.0", "impossible_user_agent"),
    ],
)
def test_what_no_browser_sends_is_noted(headers, agent, code):
    found = ask(agent, headers)
    assert code in found.reasons
    assert found.action is not None


def test_an_old_browser_alone_is_nothing():
    assert ask(CHROME.replace("143", "60"), BROWSERS | {"Sec-CH-UA": ""}).action is None


@given(st.sets(st.sampled_from(sorted(BROWSERS))), st.sampled_from([CHROME, FIREFOX, ""]))
def test_what_is_missing_alone_never_makes_a_bot(kept, agent):
    headers = {name: BROWSERS[name] for name in kept if not name.startswith("Sec-CH")}
    found = ask(agent, headers)
    assert found.score <= MISSING_AT_MOST
    assert found.action in (None, Action.LOGGED)


def test_headers_of_a_server_that_reports_are_not_its_visitors():
    assert ask("", {}, reported=True).score == 0


# The sender's past.


def past(ago_ms, holds_ms=300_000):
    return Condemned("rate", NOW_MS - ago_ms, NOW_MS - ago_ms + holds_ms)


def test_while_a_verdict_holds_the_sender_is_left_out():
    found = ask(condemned=past(10_000))
    assert (found.action, found.type, found.reasons) == (Action.LEFT_OUT, "scraper", ("rate",))


def test_after_that_the_past_alone_decides_nothing():
    assert ask(condemned=past(301_000)).score == 0
    odd = {"Origin": "https://example.com"}
    assert ask(headers=odd, condemned=past(301_000)).score > ask(headers=odd).score >= 30


def test_the_past_fades():
    odd = {"Origin": "https://example.com"}
    scores = [ask(headers=odd, condemned=past(hours * 3_600_000)).score for hours in (1, 2, 4, 12)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] == ask(headers=odd).score


def test_with_behaviour_switched_off_the_past_is_nothing():
    bench = Bench(CRAWLERS, TODAY, condemned_of=lambda _: {"ab" * 8: past(0)}, behaviour=False)
    assert verdict_of(Request(7, "81.2.69.142", CHROME, BROWSERS, "ab" * 8, NOW_MS), bench).score == 0


# Rules.


def rule(side, value="81.2.69.142"):
    return Rule(3, RuleType(side), MatchType.IP, value)


def test_the_whitelist_lets_in_whatever_a_score_says():
    for agent in (GOOGLEBOT, CHROME):
        assert ask(agent, webdriver=True, condemned=past(0), rules=[rule("whitelist"), rule("blacklist")]) is TRUSTED


def test_the_blacklist_keeps_out_whom_nothing_speaks_against():
    found = ask(rules=[rule("blacklist")])
    assert (found.score, found.action, found.rule_id, found.type) == (100, Action.BLOCKED, 3, "blacklisted")
    assert ask(GOOGLEBOT, rules=[rule("blacklist")]).type == "crawler"


# The score.


@given(
    st.lists(st.builds(Reason, st.text(max_size=3), st.integers(1, 60)), max_size=6).map(tuple),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, True, False]),
    st.integers(0, 10**8),
)
def test_a_score_lies_between_0_and_100_and_says_why(odd, declared, webdriver, verified, ago):
    signals = Signals("X" if declared else "", "", verified, True, webdriver, odd, None, ago)
    found = judge(signals, Thresholds())
    assert 0 <= found.score <= 100
    assert bool(found.reasons) or found.score == 0
    assert not (declared or webdriver) or found.score >= 50
    assert (found.action is None) is (found.score < 30)


def test_oddities_are_told_apart_from_nothing():
    assert oddities(BROWSERS, CHROME, TODAY) == ()
