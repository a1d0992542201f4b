"""The two halves of a matcher: what Python finds, Postgres finds."""

import pytest
from sqlalchemy import ARRAY, Text, func, literal, select

from analytics_app.stats.filters import MATCHERS, Filter, dimension_named

TEXTS = [
    "", "/", "/pricing", "/Pricing", "/pricing/", "pricing", "a%b", "a_b", "axb", "a\\b", "\\", "%", "_", "\\%",
    "a'b", 'a"b', "é", "e\u0301", "ÉTÉ", "été", "ß", "ss", "Straße", "İ", "i", "\ufb01", "日本語", "🙂🙂", "\u200b",
    " ", "  a ", "line\nbreak", "(none)", "[a]", "^a$", "a:b:c",
]  # fmt: skip
PAIRS = [op for op, matcher in MATCHERS.items() if matcher.sql is not None]


@pytest.mark.parametrize("op", PAIRS)
async def test_python_and_sql_find_the_same_texts(db, op):
    for want in TEXTS:
        matcher = MATCHERS[op]
        texts = select(func.unnest(literal(TEXTS, ARRAY(Text))).label("text")).subquery()
        held = texts.c.text
        found = (await db.execute(select(held).where(matcher.sql(held, want)))).scalars().all()
        asked = Filter(dimension_named("page"), op, want)
        assert sorted(found) == sorted(text for text, hit in zip(TEXTS, asked.finds(TEXTS), strict=True) if hit), want


def test_only_regular_expressions_are_python_s_alone():
    assert [op for op, matcher in MATCHERS.items() if matcher.sql is None] == ["matches"]
