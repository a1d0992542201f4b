"""The row of what is true of the whole installation."""

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from analytics_app.db import Row


class InstallationRow(Row):
    """A fact by name: `secret`, the fingerprint of the key that visitors are hashed with."""

    __tablename__ = "installation"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(Text)
