"""A record taken apart where JSON as a whole is refused: by its brackets, so that each hit can be read by itself."""

import re

# Strings are skipped whole, so a bracket in one is none. Nothing here goes deeper with the nesting.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},]', re.DOTALL)
_OPENING = re.compile(rb"\s*:\s*\[")


def split_hits(value: bytes) -> tuple[bytes, list[bytes]]:
    """A record without its hits, and each hit as it is written, whatever is wrong with it.

    Raises ValueError where `value` is no object with a list `hits`, or its brackets do not match.
    """
    begun, hits, depth = 0, [], 0  # `begun`: where the list begins, then where the next hit does
    head = b""
    for token in _TOKEN.finditer(value):
        kind = token[0]
        if begun and depth == 2 and kind in b",]":
            hits.append(value[begun : token.start()].strip())
            begun = token.end()
            if kind == b"]":
                return head + value[token.start() :], [hit for hit in hits if hit]
        elif kind in b"[{":
            depth += 1
        elif kind in b"]}":
            depth -= 1
            if begun and depth < 2:
                break
        elif kind == b'"hits"' and depth == 1 and (opening := _OPENING.match(value, token.end())):
            begun = opening.end()
            head = value[:begun]
    raise ValueError("no list of hits")
