"""The answers to the bench's requests, read as far as counting them needs: pure."""

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"


def body_of(received: bytes) -> tuple[int, int] | None:
    """Where the body of the first answer in `received` starts and ends; None while it is not complete.

    Raises ValueError for an answer that does not say how long it is.
    """
    end = received.find(HEAD_END)
    if end < 0:
        return None
    at = received.find(b"Content-Length: ", 0, end)
    if at < 0:
        at = received.lower().find(LENGTH, 0, end)
        if at < 0:
            raise ValueError("the answer does not say how long it is")
    start = end + len(HEAD_END)
    stop = start + int(received[at + len(LENGTH) : received.find(b"\r", at)])
    return (start, stop) if len(received) >= stop else None


def outcome_of(received: bytes, start: int) -> str:
    """`ok` for 200 with `ok` and nothing ignored: Kafka has it. Else `ignored`, or the status."""
    status = received[9:12]
    if status == b"200" and received.startswith(b'{"ok":true', start):
        return "ignored" if b'"ignored"' in received else "ok"
    return "ignored" if status == b"202" else status.decode("ascii", "replace")


def hits_of(request: bytes, body: bytes, outcome: str, batch_hits: int) -> int:
    """How many hits `request`, answered `body`, is about: of a batch that was taken, those that were."""
    if not request.startswith(b"POST /analytics/batch "):
        return 1
    return body.count(b'"event_id":') if outcome == "ok" else batch_hits


def event_id_of(body: bytes) -> int:
    """The event id in the answer to a pageview. Raises ValueError where there is none."""
    at = body.find(b'"event_id":')
    if at < 0:
        raise ValueError("no event id")
    at += 11
    stop = at
    while body[stop : stop + 1].isdigit():
        stop += 1
    return int(body[at:stop])
