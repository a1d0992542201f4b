"""The key of the visitor hashes: given by the settings, or made once and kept."""

import os
import secrets
from contextlib import suppress

from analytics_app.settings import Settings


def secret(settings: Settings) -> bytes:
    """`ANALYTICS_SECRET` as bytes, or else 64 random letters that rest in the data folder, for their owner to read.

    What the file holds is what `ANALYTICS_SECRET` would say, so that it can be given to processes elsewhere. However
    many processes ask first at the same time, all get the same. Raises OSError where the folder cannot be used.
    """
    if given := settings.secret.get_secret_value():
        return given.encode()
    path = settings.data_dir / "secret"
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    # Written whole beside its place, then given its name: a link never replaces a file, so the first one stays.
    beside = path.with_name(f".secret.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(beside, path)
    finally:
        beside.unlink()
    return path.read_bytes().strip()
