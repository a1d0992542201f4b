import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics_app.intake.bots import BotList, declared_bot, listed


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot"),
        (
            (
                "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) "
                "Chrome/120.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
            ),
            "Googlebot",
        ),
        ("AdsBot-Google (+http://www.google.com/adsbot.html)", "AdsBot-Google"),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "Bingbot"),
        ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "Ahrefs"),
        ("Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)", "SemrushBot"),
        ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", "YandexBot"),
        ("Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)", "Baiduspider"),
        ("Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)", "Slurp"),
        ("DuckDuckBot/1.0; (+http://duckduckgo.com/duckduckbot.html)", "DuckDuckBot"),
        (
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.0; +https://openai.com/gptbot)",
            "GPTBot",
        ),
        ("Mozilla/5.0 (compatible; ClaudeBot/1.0; +claudebot@anthropic.com)", "ClaudeBot"),
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "Facebookexternalhit"),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Slackbot-LinkExpanding"),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0",
            "HeadlessChrome",
        ),
        ("curl/8.4.0", "Curl"),
        ("Wget/1.21", "Wget"),
        ("python-requests/2.31", "Python-requests"),
        ("Scrapy/2.11 (+https://scrapy.org)", "Scrapy"),
        ("Go-http-client/1.1", "Go-http-client"),
        ("WhatsApp/2.23.20.0", "WhatsApp"),
    ],
)
def test_a_bot_that_says_so_is_known_by_its_name(agent, name):
    assert declared_bot(agent) == name


@pytest.mark.parametrize(
    "agent",
    [
        "",
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/120.0.0.0 Safari/537.36"
        ),
        "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0",
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/17.2 Safari/605.1.15"
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/17.2 Mobile/15E148 Safari/604.1"
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) GSA/294.0 "
            "Mobile/15E148 Safari/604.1"
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Mobile/21B74 Instagram 312.0.0.18.113 (iPhone13,2; iOS 17_1; en_US; en; scale=3.00; 1170x2532; 548333486)"
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; CUBOT NOTE 20) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/120.0.0.0 Mobile Safari/537.36"
        ),
        (
            "Mozilla/5.0 (Linux; Android 13; Pixel 7; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
            "Chrome/120.0.6099.43 Mobile Safari/537.36"
        ),
    ],
)
def test_people_are_no_bots(agent):
    assert declared_bot(agent) is None


def test_every_pattern_of_the_list_is_in_use():
    assert listed().refused == []


def test_a_pattern_that_cannot_be_searched_in_linear_time_is_left_out_and_the_rest_still_works():
    patterns = BotList(["(?<!cu)bot", "(", "spider"])
    assert patterns.refused == ["(?<!cu)bot", "("]
    assert patterns.matches("BaiduSpider")
    assert not patterns.matches("robot")


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_no_user_agent_makes_it_fail(agent):
    name = declared_bot(agent)
    assert name is None or 0 < len(name) <= 60


@pytest.mark.parametrize(
    "agent", ["a" * 64_000, "bot " * 16_000, "/1.0;" * 12_000, "Mozilla/5.0 " + "\u4f60" * 20_000, "a.b-" * 9000]
)
def test_a_long_user_agent_is_cut_before_it_costs(agent):
    declared_bot("warm")
    start = time.process_time()
    declared_bot(agent)
    assert time.process_time() - start < 0.1  # about 1 ms; the margin is for a slow machine
