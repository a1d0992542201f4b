"""What passes through a proxy, read as far as it takes to cut at the right moment: before or after what was said."""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

POSITION_MOVES = b"UPDATE stream_positions SET next_offset"
PRODUCE, FETCH, LIST_OFFSETS = 0, 1, 2
SSL_REQUEST, GSS_REQUEST = 80877103, 80877104


class Verdict(Enum):
    """What becomes of a piece that was read."""

    PASS = "pass"
    CUT = "cut"
    """It does not arrive, and the connection ends."""
    HALF = "half"
    """Half of it arrives, then the connection ends."""
    HANG = "hang"
    """It does not arrive, nor does anything after it, and nobody is told: the connection is half open."""


class Watch:
    """One connection, watched. Pieces are handed in as they are read."""

    def sent(self, piece: bytes) -> Verdict:
        """The client sent this."""
        return Verdict.PASS

    def answered(self, piece: bytes) -> Verdict:
        """The server answered this."""
        return Verdict.PASS


@dataclass
class Cuts:
    """A rule that cuts some of what it is for; `cut` notes what it did. One chance of `share` each, at most `most`."""

    random: random.Random
    share: float
    most: int
    cut: list[str] = field(default_factory=list)
    seen: int = 0

    def watch(self) -> Watch:
        """What watches a new connection."""
        raise NotImplementedError

    def strikes(self) -> bool:
        """Whether to cut this one."""
        self.seen += 1
        return len(self.cut) < self.most and self.random.random() < self.share


@dataclass
class CommitCuts(Cuts):
    """COMMITs of transactions that moved a position, of which the client hears nothing; some are cut before they are
    heard themselves.
    """

    share_before: float = 0.5

    def watch(self) -> Watch:
        """A connection to Postgres."""
        return _Commits(self)


class _Commits(Watch):
    """Postgres' protocol: a type, a length, a body; only the first message has no type."""

    def __init__(self, cuts: CommitCuts) -> None:
        self.cuts = cuts
        self.begun = False
        self.held = bytearray()
        self.moving: set[bytes] = set()
        self.moved = self.awaited = False

    def sent(self, piece: bytes) -> Verdict:
        self.held += piece
        verdict = Verdict.PASS
        while (message := self._next()) is not None:
            kind, body = message
            if kind == b"P":  # parse: name, query
                name, query = body.split(b"\0", 2)[:2]
                self.moving.discard(name)
                if query.startswith(POSITION_MOVES):
                    self.moving.add(name)
                elif query.startswith(b"COMMIT"):  # as it is sent with others at a stroke
                    verdict = self._of_commit()
            elif kind == b"B":  # bind: portal, name
                self.moved |= body.split(b"\0", 2)[1] in self.moving
            elif kind == b"Q" and body.startswith(b"COMMIT"):
                verdict = self._of_commit()
            elif kind == b"Q":
                self.moved = False
        return verdict

    def _of_commit(self) -> Verdict:
        if self.moved and self.cuts.strikes():
            if self.cuts.random.random() < self.cuts.share_before:
                self.cuts.cut.append("before it was heard")
                return Verdict.CUT
            self.awaited = True
        self.moved = False
        return Verdict.PASS

    def answered(self, piece: bytes) -> Verdict:
        if self.awaited and b"COMMIT\0" in piece:
            self.awaited = False
            self.cuts.cut.append("after it took place")
            return Verdict.CUT
        return Verdict.PASS

    def _next(self) -> tuple[bytes, bytes] | None:
        head = 5 if self.begun else 4
        if len(self.held) < head:
            return None
        length = int.from_bytes(self.held[head - 4 : head])
        if len(self.held) < head - 4 + length:
            return None
        kind, body = bytes(self.held[: head - 4]), bytes(self.held[head : head - 4 + length])
        del self.held[: head - 4 + length]
        if not self.begun:
            self.begun = int.from_bytes(body[:4]) not in (SSL_REQUEST, GSS_REQUEST)
        return kind, body


@dataclass
class AcknowledgementCuts(Cuts):
    """Kafka's answers to records of `topic` that never arrive: the producer writes them again."""

    topic: bytes = b""

    def watch(self) -> Watch:
        """A connection to Kafka."""
        return _Acknowledgements(self)


class _Acknowledgements(Watch):
    """Kafka's protocol: a length, then of a request its kind, version and number, of an answer its number."""

    def __init__(self, cuts: AcknowledgementCuts) -> None:
        self.cuts = cuts
        self.requests, self.answers = bytearray(), bytearray()
        self.produced: set[int] = set()

    def sent(self, piece: bytes) -> Verdict:
        for frame in _frames(self.requests, piece):
            kind, _, number = struct.unpack_from(">hhi", frame)
            if kind == PRODUCE and self.cuts.topic in frame[:400]:
                self.produced.add(number)
        return Verdict.PASS

    def answered(self, piece: bytes) -> Verdict:
        for frame in _frames(self.answers, piece):
            number = int.from_bytes(frame[:4], signed=True)
            if number in self.produced:
                self.produced.discard(number)
                if self.cuts.strikes():
                    self.cuts.cut.append(f"answer {number}")
                    return Verdict.CUT
        return Verdict.PASS


def _frames(held: bytearray, piece: bytes) -> list[bytes]:
    held += piece
    frames = []
    while len(held) >= 4 and len(held) >= 4 + (length := int.from_bytes(held[:4])):
        frames.append(bytes(held[4 : 4 + length]))
        del held[: 4 + length]
    return frames


@dataclass
class Alarm(Cuts):
    """Cuts nothing: calls `ring`, once, when a request of that kind that names `topic` is on its way to Kafka."""

    kind: int = 0
    topic: bytes = b""
    ring: Callable[[], None] = lambda: None
    rung: bool = False

    def watch(self) -> Watch:
        """A connection to Kafka."""
        return _Listening(self)


class _Listening(Watch):
    def __init__(self, alarm: Alarm) -> None:
        self.alarm = alarm
        self.requests = bytearray()

    def sent(self, piece: bytes) -> Verdict:
        for frame in _frames(self.requests, piece):
            kind = int.from_bytes(frame[:2])
            if kind == self.alarm.kind and self.alarm.topic in frame and not self.alarm.rung:
                self.alarm.rung = True
                self.alarm.ring()
        return Verdict.PASS


@dataclass
class RequestCuts(Cuts):
    """HTTP requests by POST that break off in the middle, or arrive whole and are answered to nobody."""

    def watch(self) -> Watch:
        """A connection to a web process."""
        return _Requests(self)


BREAKS_OFF, ANSWER_CUT, HALF_OPEN = "breaks off", "answer cut", "half open"


class _Requests(Watch):
    """A browser's connection, one request after the other."""

    def __init__(self, cuts: RequestCuts) -> None:
        self.cuts = cuts
        self.fate = ""

    def sent(self, piece: bytes) -> Verdict:
        if piece.startswith(b"POST ") and self.cuts.strikes():
            self.fate = self.cuts.random.choice([BREAKS_OFF, ANSWER_CUT, HALF_OPEN])
            self.cuts.cut.append(self.fate)
        return Verdict.HALF if self.fate == BREAKS_OFF else Verdict.PASS

    def answered(self, piece: bytes) -> Verdict:
        return {ANSWER_CUT: Verdict.CUT, HALF_OPEN: Verdict.HANG}.get(self.fate, Verdict.PASS)
