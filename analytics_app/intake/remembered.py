"""A memory for answers that cost more to find than to keep."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ua_parser.caching import S3Fifo

Answer = TypeVar("Answer")


class Remembered(Generic[Answer]):
    """A function of a text that keeps its last answers, at most `size` of them.

    S3-FIFO: a flood of texts that are seen once, as a scanner sends, does not push out those that are seen daily.
    """

    def __init__(self, find: Callable[[str], Answer], size: int) -> None:
        self._find = find
        self._kept: Any = S3Fifo(size)  # typed for the results of its own parser

    def __call__(self, text: str) -> Answer:
        """The answer for `text`, which must not be None."""
        answer: Answer | None = self._kept[text]
        if answer is None:
            self._kept[text] = answer = self._find(text)
        return answer
