"""What is taken out of recordings, and what stays as it was."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_app.replays import packing
from analytics_app.replays.css import clean_css
from analytics_app.replays.events import clean_events
from analytics_app.replays.masking import mask_address, mask_text
from analytics_app.replays.nodes import MOST_DEPTH, clean_tree
from tests.hostile import HOSTILE, TRAP
from tests.recordings import change, custom, document, element, meta, ms, snapshot, text_node

SECRET_TEXTS = [
    "joe@example.com",
    "Write to joe.o'neil+x@mail.example.co.uk!",
    "4111 1111 1111 1111",
    "card 5500-0000-0000-0004.",
    "378282246310005",
    "sk" + "_live_abcdefghij0123456789",
    "Bearer abcdefghijklmnop",
    "ghp_" + "a1B2" * 9,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "AKIAIOSFODNN7EXAMPLE",
    "aB3x" * 10,
    "https://example.com/in?token=abc123&x=1",
]
PLAIN_TEXTS = [
    "Hello",
    "12 items for 1,299.00",
    "Order no. 4111111111111112",
    "2026-11-25 12:00:00",
    "+44 20 7946 0958",
    "@home",
    "C:\\Users\\url",
    "Donaudampfschifffahrtsgesellschaftskapitaen",
    "the image (left) and its behaviour: none",
]


@pytest.mark.parametrize("text", SECRET_TEXTS)
def test_secrets_are_covered_and_keep_their_length(text):
    masked = mask_text(text)
    assert masked != text
    assert "*" in masked or "[removed]" in masked
    assert "token=" in text or len(masked) == len(text)
    assert mask_text(masked) == masked


@pytest.mark.parametrize("text", PLAIN_TEXTS)
def test_other_texts_stay(text):
    assert mask_text(text) == text
    (mutation,) = clean_events([change(0, texts=[{"id": 1, "value": text}])])
    assert mutation["data"]["texts"] == [{"id": 1, "value": text}]


def test_an_address_loses_its_secrets_only():
    assert (
        mask_address("https://a.example/p?page=2&reset_token=x#top")
        == "https://a.example/p?page=2&reset_token=[removed]#top"
    )


@pytest.mark.parametrize(
    ("css", "cleaned"),
    [
        ("a{color:red}", "a{color:red}"),
        ("a{background:url(http://x/y.png)}", "a{background:url(data:,)}"),
        ("a{background:u\\72 l('//x')}", "a{background:url(data:,)}"),
        ("@import 'http://x/a;b.css' screen;a{}", "/*import*/a{}"),
        ("@IM\\50ORT url(//x);a{}", "/*import*/a{}"),
        ("@font-face{src:url(//x) format('woff2')}", "@font-face{src:url(data:,) format('woff2')}"),
        ("a{background:url('data:image/png;base64,AA+/=')}", 'a{background:url("data:image/png;base64,AA+/=")}'),
        ("a{clip-path:url(#shape)}", "a{clip-path:url(#shape)}"),
        ("a::before{content:'\\f101'}", "a::before{content:'\\f101'}"),
        ("a{background:image-set('//x' 1x)}", "a{background:-x-gone('//x' 1x)}"),
        ("a{background:url('//x", "a{background:-x-gone("),
        ("a{background:url(data:text/html,x)}", "a{background:url(data:,)}"),
    ],
)
def test_styles_load_nothing(css, cleaned):
    assert clean_css(css) == cleaned
    assert clean_css(cleaned) == cleaned


def test_a_drawing_within_quotes_stays_a_drawing():
    cleaned = clean_css("""a{background:url("data:image/svg+xml;utf8,<svg xmlns='http://www.w3.org/2000/svg'/>")}""")
    assert cleaned.startswith('a{background:url("data:image/svg+xml;utf8,%3Csvg%20xmlns=%27http:')
    assert clean_css(cleaned) == cleaned


# --- Trees


def test_a_harmless_page_stays_as_it_was():
    page = document(
        element("h1", text_node("Hello"), id="top", class_="big"),
        element("input", type="text", value="***"),
        element("svg", element("path", d="M0 0L1 1", fill="#fff"), viewBox="0 0 1 1"),
        element("style", text_node(".a > b { color: red }")),
        head=(element("title", text_node("A page")),),
    )
    assert clean_tree(page) == page


def test_what_is_left_out_keeps_its_place_and_number():
    page = element("div", element("script", text_node("alert(1)", 7), id_=6, src="//x"), text_node("after", 8), id_=5)
    cleaned = clean_tree(page)
    assert cleaned is not None
    assert [(node["id"], node.get("tagName")) for node in cleaned["childNodes"]] == [(6, "noscript"), (8, None)]
    assert cleaned["childNodes"][0] == {
        "type": 2,
        "tagName": "noscript",
        "attributes": {},
        "childNodes": [],
        "id": 6,
    }


def test_inputs_lose_what_is_typed_as_a_password_or_hidden():
    for kind, left in (("password", "*****"), ("HIDDEN", "*****"), ("text", "horse")):
        cleaned = clean_tree(element("input", type=kind, value="horse"))
        assert cleaned is not None
        assert cleaned["attributes"]["value"] == left


def test_a_tree_may_be_as_deep_as_pages_are_and_no_deeper():
    tree = element("b", text_node("the end"))
    for _ in range(2000):
        tree = element("i", tree)
    cleaned, depth = clean_tree(tree), 0
    while cleaned and cleaned["childNodes"]:
        cleaned, depth = cleaned["childNodes"][0], depth + 1
    assert depth == MOST_DEPTH
    assert packing.write([snapshot(0, clean_tree(tree))])


# --- Events


def test_events_of_other_kinds_are_left_out():
    events: list[Any] = [
        {"type": 6, "data": {"plugin": "x", "payload": {}}, "timestamp": ms(0)},
        change(0, 9, id=1),
        change(0, 11),
        {"type": 3, "data": None, "timestamp": 1},
        {"type": 3, "data": {"source": 1}},
        None,
        7,
        {"type": "3"},
        {"type": True, "data": {}, "timestamp": 1},
        meta(),
    ]
    assert clean_events(events) == [meta()]


def test_what_our_recorder_adds_is_masked_and_kept():
    (event,) = clean_events([custom(0, "error", message="no such user: joe@example.com", deep=[[[[[[[1]]]]]]])])
    assert event["data"]["payload"]["message"] == "no such user: ***************"
    assert json.dumps(event["data"]["payload"]["deep"]).count("[") <= 6


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_of_the_hostile_corpus_is_left(name):
    cleaned = clean_events(HOSTILE[name])
    said = json.dumps(cleaned).lower()
    assert TRAP not in said
    assert "javascript:" not in said
    assert clean_events(cleaned) == cleaned


texts = st.text(max_size=40) | st.sampled_from([*SECRET_TEXTS, "url(//x)", "@import 'x'", "javascript:x", "\\75rl(x)"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "type",
                    "source",
                    "node",
                    "adds",
                    "texts",
                    "value",
                    "tagName",
                    "childNodes",
                    "attributes",
                    "textContent",
                    "parentId",
                    "styleId",
                    "rules",
                    "rule",
                    "set",
                    "property",
                    "style",
                    "href",
                    "tag",
                    "payload",
                ]
            )
            | texts,
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)
events = st.fixed_dictionaries(
    {"type": st.integers(0, 6), "timestamp": st.integers(0, 2**40), "data": json_values}
) | st.builds(
    lambda source, data: change(0, source, **data),
    st.integers(0, 16),
    st.dictionaries(
        st.sampled_from(
            ["adds", "texts", "attributes", "removes", "positions", "styles", "set", "ranges", "text", "id"]
        ),
        json_values,
        max_size=4,
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(events | json_values, max_size=4))
def test_cleaning_never_fails_and_twice_is_once(said):
    cleaned = clean_events(said)
    assert clean_events(cleaned) == cleaned
    assert packing.unpacked(packing.compressed(packing.write(cleaned))) == cleaned


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "url(",
                "URL(",
                "u\\72l(",
                ")",
                '"',
                "'",
                "http://x",
                "@import",
                "@im",
                "port",
                " ",
                ";",
                "\\",
                "75",
                "\n",
                "data:,",
                "data:image/png,",
                "#a",
                "image-set(",
                "src(",
                "/*",
                "*/",
                "{",
                "}",
                "a",
            ]
        ),
        max_size=14,
    ).map("".join)
)
def test_no_style_loads_anything_however_it_is_written(css):
    cleaned = clean_css(css)
    assert clean_css(cleaned) == cleaned
    assert "http://x" not in loads_of(cleaned)


def loads_of(css: str) -> str:
    """What stands behind the words with which a style sheet loads something: a reader apart from the cleaner."""
    plain = css.lower()
    for letter in "url":
        plain = plain.replace(f"\\{ord(letter):x}", letter)
    found = ""
    for word in ("url(", "@import", "image-set(", "src("):
        at = plain.find(word)
        while at >= 0:
            if word in ("url(", "@import") or at == 0 or not (plain[at - 1].isalnum() or plain[at - 1] in "-_"):
                found += plain[at + len(word) :].split(")")[0].split("\n")[0]
            at = plain.find(word, at + 1)
    return found.split("-x-gone")[0]
