"""Links that take a recipient off a report: signed, so that nobody can make one for somebody else."""

import base64
import binascii
import hmac
from hashlib import blake2b

_SIGNATURE_BYTES = 16


def sign(secret: bytes, report_id: int, recipient: str) -> str:
    """The token of the link that takes `recipient` off the report."""
    said = f"{report_id}:{recipient}".encode()
    return base64.urlsafe_b64encode(_signature(secret, said) + said).rstrip(b"=").decode()


def read(secret: bytes, token: str) -> tuple[int, str] | None:
    """The report and the recipient that a token names; None where it was not signed here."""
    try:
        whole = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    signature, said = whole[:_SIGNATURE_BYTES], whole[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(secret, said)):
        return None
    report_id, _, recipient = said.decode("utf-8", "replace").partition(":")
    return int(report_id), recipient


def _signature(secret: bytes, said: bytes) -> bytes:
    return blake2b(said, digest_size=_SIGNATURE_BYTES, key=secret[:64], person=b"unsubscribe").digest()
