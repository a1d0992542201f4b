"""What a report looks like, before anybody sends it."""

from datetime import UTC, datetime
from io import BytesIO

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from analytics_app.reports.chart import HEIGHT, WIDTH, draw, label_of, scale_of, short
from analytics_app.reports.content import CHART, message_of, report_mail
from analytics_app.reports.logic import Figure, Summary, Table
from analytics_app.reports.unsubscribing import read, sign

HOSTILE = '<script>alert(1)</script>"&'
SUMMARY = Summary(
    website=HOSTILE,
    host="example.com",
    name="Weekly Summary",
    frequency="weekly",
    span="19 to 25 January 2026",
    figures=[Figure("Pageviews", "1,234", "1,000", "+23 %", "good")],
    tables=[Table("Top pages", "Page", "Visitors", [(HOSTILE, "12")]), Table("Countries", "Country", "Visitors", [])],
    keys=[f"2026-01-{day}" for day in range(19, 26)],
    visitors=[3, 0, 12, 7, 9, 1, 4],
    visitors_before=[1, 2, 3, 4, 5, 6, 7],
)


def test_whatever_a_page_is_called_is_text_in_the_mail():
    mail = report_mail(SUMMARY, "https://stats.example.com/u?token=x")
    assert "<script" not in mail.html
    assert mail.html.count("&lt;script&gt;") >= 2
    assert HOSTILE in mail.text  # in plain text it is harmless as it is


def test_styles_are_inlined_and_nothing_is_fetched_from_anywhere():
    html = report_mail(SUMMARY).standalone_html
    assert "<style" not in html
    assert 'style="' in html
    assert "http" not in html.replace("http-equiv", "")
    assert "data:image/png;base64," in html


def test_the_text_tells_the_same_numbers():
    text = report_mail(SUMMARY).text
    for said in ("1,234", "+23 %", "Top pages", "Nothing in this period"):
        assert said in text


def test_the_message_has_both_forms_the_chart_and_a_way_out():
    link = "https://stats.example.com/u?token=x"
    mail = report_mail(SUMMARY, link)
    message = message_of(
        mail, sender="Stats <stats@example.com>", recipient="user@example.com", number=7, unsubscribe=link,
        now=datetime(2026, 1, 26, 8, tzinfo=UTC),
    )  # fmt: skip
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
    ]  # fmt: skip
    image = next(part for part in message.walk() if part.get_content_type() == "image/png")
    assert image["Content-ID"] == f"<{CHART}>"
    assert f"cid:{CHART}" in mail.html
    assert message["List-Unsubscribe"] == f"<{link}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Message-ID"] == "<delivery-7@example.com>"


@settings(deadline=None)  # drawing takes as long as the machine lets it
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=40))
def test_any_numbers_make_a_chart(numbers):
    keys = [f"2026-01-{1 + place % 28:02d}" for place in range(len(numbers))]
    with Image.open(BytesIO(draw(keys, numbers, numbers[::-1]))) as image:
        assert image.size == (WIDTH, HEIGHT)


@given(st.integers(1, 10**12))
def test_the_axis_ends_at_a_round_number_not_far_above(most):
    top = scale_of(most)
    assert most <= top < max(4 * most, 5)
    assert top % 4 == 0


def test_labels_are_short():
    assert [short(value) for value in (0, 250, 1500, 3_000_000)] == ["0", "250", "1.5k", "3M"]
    assert [label_of(key) for key in ("2026-01-22", "2026-01-22T13:00")] == ["Jan 22", "13:00"]


@given(st.binary(min_size=1, max_size=80), st.integers(1, 2**31 - 1), st.emails())
def test_a_link_names_who_it_was_made_for_and_nobody_can_make_another(secret, report_id, recipient):
    token = sign(secret, report_id, recipient)
    assert read(secret, token) == (report_id, recipient)
    assert read(secret + b"x" if len(secret) < 64 else b"other", token) is None
    assert read(secret, "A" + token[1:] if token[0] != "A" else "B" + token[1:]) is None
    assert read(secret, token[:-2]) is None


@given(st.text(max_size=60))
def test_no_text_that_was_not_signed_is_read(token):
    assert read(b"secret", token) is None
