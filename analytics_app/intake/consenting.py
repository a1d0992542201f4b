"""What the pipeline asks about consent, whoever knows it."""

from typing import Protocol


class Consents(Protocol):
    """What visitors said about consent."""

    def is_withdrawn(self, website_id: int, visitor: str) -> bool:
        """Whether the visitor has withdrawn it."""

    def is_granted(self, website_id: int, visitor: str) -> bool:
        """Whether the visitor has given it."""


class NobodySaid:
    """Consents of which there are none."""

    def is_withdrawn(self, website_id: int, visitor: str) -> bool:
        """Nobody has."""
        return False

    def is_granted(self, website_id: int, visitor: str) -> bool:
        """Nobody has."""
        return False


NOBODY_SAID = NobodySaid()
