"""What can go wrong when the service is started or operated, each with a sentence for the one who started it."""


class OperatingError(Exception):
    """Raised when a command cannot do its work; the message says why and what to do, and is all that is shown."""


class StartFailed(OperatingError):
    """Raised when a part does not come up."""


class AlreadyRunning(OperatingError):
    """Raised when another `analytics up` holds the data folder."""


class NotStarted(OperatingError):
    """Raised when an embedded server is asked for that was never started in the data folder."""
