"""The errors the service answers with: each carries its HTTP status and its code, and is rendered in one place."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FaultyField:
    """One fault of a request: where it lies (`properties.size`) and what is wrong with it."""

    field: str
    message: str


class AnalyticsError(Exception):
    """Raised when a request cannot be served; the caller is told why."""

    status = 500
    code = "SERVER_ERROR"
    default = "Internal server error"

    def __init__(self, message: str = "", *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message or self.default)
        self.message = message or self.default
        self.headers = headers or {}


class Invalid(AnalyticsError):
    """Raised when a request is wrong; lists every fault at once."""

    status, code, default = 400, "VALIDATION_ERROR", "The request is not valid"

    def __init__(self, message: str = "", *, details: list[FaultyField] | None = None) -> None:
        super().__init__(message)
        self.details = details or []


class Unauthenticated(AnalyticsError):
    """Raised when a token is missing, unknown, expired or revoked."""

    status, code, default = 401, "UNAUTHENTICATED", "A valid token is needed: Authorization: Bearer <token>"


class Forbidden(AnalyticsError):
    """Raised when the token is good, but does not cover the call."""

    status, code, default = 403, "FORBIDDEN", "The token does not cover this call"


class NotFound(AnalyticsError):
    """Raised when the addressed resource does not exist, or is not the caller's."""

    status, code, default = 404, "NOT_FOUND", "Not found"


class MethodNotAllowed(AnalyticsError):
    """Raised when the path exists, but not for this method."""

    status, code, default = 405, "METHOD_NOT_ALLOWED", "This path does not take that method"


class Conflict(AnalyticsError):
    """Raised when the resource's state does not allow the call."""

    status, code, default = 409, "CONFLICT", "The resource's state does not allow this"


class PayloadTooLarge(AnalyticsError):
    """Raised when a body is larger than the endpoint takes, before or after inflation."""

    status, code, default = 413, "PAYLOAD_TOO_LARGE", "The body is too large"


class RateLimited(AnalyticsError):
    """Raised when a public endpoint is asked more often than the limit allows."""

    status, code, default = 429, "RATE_LIMITED", "Too many requests"


class Unavailable(AnalyticsError):
    """Raised when Kafka or Postgres is away: nothing was promised, try again."""

    status, code, default = 503, "UNAVAILABLE", "The service cannot do this right now; try again"

    def __init__(self, message: str = "", *, retry_after_s: int = 2) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after_s)})
