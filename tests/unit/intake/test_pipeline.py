from datetime import date
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_app.bots.crawlers import Crawlers
from analytics_app.bots.judging import Bench
from analytics_app.intake import pipeline, privacy
from analytics_app.intake.pipeline import STEPS, Draft, Dropped, DropReason, Knowledge, Sender, run
from analytics_app.intake.places import Places
from analytics_app.intake.schemas import EventBody, Kind, PixelBody
from analytics_app.records import HITS, encode
from analytics_app.sessions.kinds import EventKind
from tests.factories import NOON_MS, make_website

SECRET, TODAY, YESTERDAY = b"secret", b"salt of today", b"salt of yesterday"
PLACES = Places()
BENCH = Bench(Crawlers(), date(2026, 11, 20))
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
ADDRESS = "81.2.69.142"


def make_draft(body=None, *, website=None, headers=None, user_agent=FIREFOX, address=ADDRESS, running=frozenset()):
    known = Knowledge(SECRET, PLACES, TODAY, YESTERDAY, BENCH, running)
    sender = Sender(address, user_agent, headers or {})
    made = body if isinstance(body, EventBody) else PixelBody.model_validate(body or {})
    return Draft(website or make_website(), made, sender, known)


def make_event_body(**fields):
    return EventBody.model_validate({"key": "k", "name": "signup", **fields})


def hit_of(body=None, **given_):
    return run(make_draft(body, **given_), 12, NOON_MS)


def reason_of(body=None, **given_):
    with pytest.raises(Dropped) as dropped:
        hit_of(body, **given_)
    return dropped.value.reason


# What is dropped, and why.


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Sec-GPC": "1"}, DropReason.GPC),
        ({"DNT": "1"}, DropReason.DNT),
        ({"DNT": "1", "Sec-GPC": "1"}, DropReason.GPC),
        ({"Sec-Purpose": "prefetch"}, DropReason.PREFETCH),
        ({"Sec-Purpose": "prefetch;prerender"}, DropReason.PREFETCH),
        ({"Purpose": "Prefetch"}, DropReason.PREFETCH),
        ({"X-Moz": "prefetch"}, DropReason.PREFETCH),
    ],
)
def test_a_request_whose_headers_say_so_is_dropped(headers, reason):
    assert reason_of(headers=headers) is reason


@pytest.mark.parametrize("headers", [{"Sec-GPC": "0"}, {"DNT": "0"}, {"DNT": "unspecified"}, {"Purpose": "visit"}, {}])
def test_other_headers_drop_nothing(headers):
    assert hit_of(headers=headers).event_id == 12


def test_a_website_may_count_those_who_opt_out_by_header():
    website = make_website(honour_dnt=False)
    assert hit_of(headers={"DNT": "1", "Sec-GPC": "1"}, website=website).event_id == 12


def test_a_website_that_requires_consent_counts_nobody_without():
    assert reason_of(website=make_website(require_consent=True)) is DropReason.NO_CONSENT


@pytest.mark.parametrize(
    ("host", "dropped"),
    [
        ("example.com", False),
        ("WWW.Example.com:443", False),
        ("shop.example.org", False),
        ("example.org", False),
        ("a.b.example.org", False),
        ("müller.example", False),
        ("xn--mller-kva.example", False),
        ("", False),
        ("sub.example.com", True),
        ("notexample.org", True),
        ("example.com.evil.net", True),
        ("evil.net", True),
    ],
)
def test_a_website_that_names_its_hosts_counts_no_page_of_another(host, dropped):
    website = make_website(allowed_hosts=("example.com", "*.example.org", "müller.example"))
    if dropped:
        assert reason_of({"host": host}, website=website) is DropReason.FOREIGN_HOST
    else:
        assert hit_of({"host": host}, website=website)


def test_a_website_that_names_no_hosts_counts_every_page():
    assert hit_of({"host": "anywhere.example"}).host == "anywhere.example"


def test_a_declared_bot_is_dropped_and_not_told():
    draft = make_draft({"visitor_id": "v"}, user_agent=GOOGLEBOT)
    with pytest.raises(Dropped) as dropped:
        run(draft, 12, NOON_MS)
    assert dropped.value.reason is DropReason.BOT
    assert not dropped.value.told
    assert draft.ids.visitor_id == "v"
    assert draft.ids.session_id, "it is answered ids like anybody else"


def test_everybody_but_a_bot_is_told_why():
    assert all(Dropped(reason).told for reason in DropReason if reason is not DropReason.BOT)


def test_who_opts_out_is_not_even_looked_at_as_a_bot():
    assert reason_of(headers={"DNT": "1"}, user_agent=GOOGLEBOT) is DropReason.DNT


def test_every_reason_is_dropped_by_a_step_and_every_step_keeps_enriches_or_drops():
    assert [step.__name__.split("_")[0] in ("drop", "put") for step in STEPS] == [True] * len(STEPS)
    assert all(step.__doc__ for step in STEPS)
    defined = {name for name in vars(pipeline) if name.startswith(("drop_", "put_"))}
    assert {step.__name__ for step in STEPS} == defined


# Who it is.


def test_ids_that_are_sent_are_kept_as_hashes():
    hit = hit_of({"visitor_id": "v-1", "session_id": "s-1"})
    assert hit.visitor == privacy.visitor_hash(SECRET, 7, "v-1")
    assert hit.session_key == privacy.session_key(SECRET, "s-1")
    assert hit_of({"visitor_id": "v-1"}, website=make_website(8)).visitor != hit.visitor
    assert hit_of({"session_id": "s-1"}, website=make_website(8)).session_key == hit.session_key


def test_ids_that_are_missing_are_made_and_the_same_all_day():
    one, two = hit_of(), hit_of()
    assert (one.visitor, one.session_key) == (two.visitor, two.session_key)
    assert hit_of(address="81.2.69.143").visitor != one.visitor
    assert hit_of(user_agent=FIREFOX.replace("140", "141")).visitor != one.visitor


def test_a_visitor_who_sends_no_session_id_has_the_same_session_id_on_every_hit():
    one, two = hit_of({"visitor_id": "v-1"}), hit_of({"visitor_id": "v-1"}, address="8.8.8.8")
    assert one.session_key == two.session_key
    assert hit_of({"visitor_id": "v-2"}).session_key != one.session_key


def test_a_session_id_that_is_sent_wins_over_the_one_that_would_be_made():
    draft = make_draft({"session_id": "mine"})
    assert run(draft, 1, NOON_MS).session_key == privacy.session_key(SECRET, "mine")
    assert draft.ids.session_id == "mine"


def test_a_session_that_runs_over_midnight_keeps_yesterdays_ids():
    website = make_website()
    before = privacy.cookieless_ids(YESTERDAY, None, website.id, ADDRESS, FIREFOX, secret=SECRET)
    running = frozenset({privacy.session_key(SECRET, before.session_id)})
    assert hit_of(running=running).session_key in running
    assert hit_of().session_key not in running


def test_neither_address_nor_user_agent_nor_ids_are_in_the_hit():
    written = encode(hit_of({"visitor_id": "visitor-uuid", "session_id": "session-uuid"})).decode()
    for secret in (ADDRESS, FIREFOX, "Gecko", "visitor-uuid", "session-uuid"):
        assert secret not in written


# What happened.


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_is_taken_as_an_event_of_that_kind(kind):
    hit = hit_of({"type": kind})
    assert hit.kind == EventKind[kind.upper()]
    assert hit.name == ("" if kind == "pageview" else kind)
    assert hit_of({"type": kind, "name": "own"}).name == "own"


def test_a_custom_event_has_its_name_and_no_page_unless_it_names_one():
    hit = run(make_draft(make_event_body()), 12, NOON_MS)
    assert (hit.kind, hit.name, hit.path) == (EventKind.EVENT, "signup", "")
    assert run(make_draft(make_event_body(path="/p")), 12, NOON_MS).path == "/p"


def test_a_pageview_without_a_path_is_of_the_front_page():
    assert hit_of().path == "/"


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (12, "12.0000"),
        (12.5, "12.5000"),
        (0.1, "0.1000"),
        (-3, "-3.0000"),
        (1e-7, "0.0000"),
        (99_999_999_999_999.98, "99999999999999.9800"),
    ],
)
def test_revenue_is_kept_to_four_decimals(value, amount):
    hit = hit_of({"type": "event", "value": value, "currency": "eur"})
    assert (hit.value, hit.currency) == (amount, "EUR")
    assert HITS.item(encode(hit)).value == amount


def test_what_was_said_of_an_event_is_kept():
    sent = {
        "id": "A8098C1A-F86E-11DA-BD1A-00112444BE1E",
        "properties": {"plan": "pro", "gone": None},
        "interactive": False,
    }
    hit = run(make_draft(make_event_body(**sent)), 12, NOON_MS)
    assert (hit.client_id, hit.properties, hit.interactive) == (
        "a8098c1af86e11dabd1a00112444be1e",
        {"plan": "pro"},
        False,
    )
    assert hit_of({"properties": {}}).properties is None


# Where.


def test_the_page_is_cleared_of_secrets_and_campaign():
    hit = hit_of(
        {
            "path": "https://example.com/reset?token=hunter2&utm_source=x&q=1#top",
            "title": "Mail from ada@example.com",
            "host": "WWW.Example.com:8080",
        }
    )
    assert (hit.path, hit.host) == ("/reset?token=[removed]&q=1", "example.com")
    assert "ada@example.com" not in hit.title


def test_where_the_visit_came_from():
    hit = hit_of({"referrer": "https://www.google.com/search?q=private", "path": "/?utm_campaign=summer"})
    assert (hit.referrer, hit.source, hit.utm_campaign) == ("google.com/search", "Google", "summer")
    sent = hit_of({"utm_source": "newsletter", "utm_medium": "email", "utm_term": "t", "utm_content": "c"})
    assert (sent.utm_source, sent.utm_medium, sent.utm_term, sent.utm_content) == ("newsletter", "email", "t", "c")
    assert sent.channel == "Email"


def test_a_visit_from_nowhere_and_from_the_website_itself_is_direct():
    for body in ({}, {"referrer": "https://example.com/a"}, {"referrer": "https://b.example/", "host": "b.example"}):
        hit = hit_of(body)
        assert (hit.source, hit.channel, hit.referrer) == ("Direct", "Direct", "")


def test_what_the_visitor_came_with():
    hit = hit_of({"screen_width": 1920, "screen_height": 1080.7})
    assert (hit.browser, hit.browser_version, hit.os, hit.device_type) == ("Firefox", "140", "Linux", "desktop")
    assert hit.screen == "1920x1080"
    assert hit_of({"screen_width": 1920}).screen == ""


def test_the_country_is_the_addresses():
    assert hit_of(address="81.2.69.142").country == "GB"
    assert hit_of(address="::ffff:81.2.69.142").country == "GB"
    assert hit_of(address="10.0.0.1").country == ""
    assert hit_of(address="not an address").country == ""


@pytest.mark.parametrize(
    ("body", "header", "language"),
    [
        ({"language": "en-GB"}, "de", "en-GB"),
        ({}, "de-AT,de;q=0.9,en;q=0.8", "de-AT"),
        ({}, "fr;q=0.7", "fr"),
        ({}, "*", ""),
        ({}, "<script>", ""),
        ({}, "", ""),
        ({}, "x" * 100, "x" * 35),
    ],
)
def test_the_language_is_the_one_sent_or_the_browsers_first(body, header, language):
    assert hit_of(body, headers={"Accept-Language": header}).language == language


# Whatever is sent.

HARD = (
    "\0",
    "<script>",
    "//",
    "?",
    "#",
    "https://[",
    "a" * 3000,
    "é" * 3000,
    "\u202e",
    "=cmd()",
    "%ff%00",
    "://",
    "\x85",
)
texts = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(HARD)
headers = texts | st.text(max_size=20) | st.just("\udcff")  # bytes that are no text, as the server hands them on
ids = texts.filter(lambda text: 0 < len(text) <= 200)
names = ("name", "path", "title", "host", "referrer", "language", "utm_source", "utm_medium", "utm_term")
whole = st.integers(-(2**53) + 1, 2**53 - 1)
bodies = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(names, texts),
        **dict.fromkeys(("visitor_id", "session_id"), ids),
        **dict.fromkeys(("screen_width", "screen_height"), st.integers(0, 100_000)),
        "type": st.sampled_from(get_args(Kind)),
        "value": st.floats(-1e13, 1e13) | st.integers(-(10**13), 10**13),
        "properties": st.dictionaries(
            st.text("abc", min_size=1, max_size=5), texts | whole | st.booleans() | st.none(), max_size=4
        ),
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bodies, headers, headers, headers)
def test_whatever_is_sent_becomes_a_hit_that_the_worker_reads_and_postgres_takes(body, user_agent, address, language):
    try:
        hit = hit_of(body, user_agent=user_agent, address=address, headers={"Accept-Language": language})
    except Dropped as dropped:
        assert dropped.reason is DropReason.BOT  # noqa: PT017
        return
    value = encode(hit)
    assert HITS.item(value) == hit
    assert b"\\u0000" not in value
    assert hit.kind != EventKind.PAGEVIEW or hit.path.startswith("/")
