"""Ports on this machine: which are free, and which to take for the embedded servers."""

import errno
import random
import socket
from collections.abc import Collection

# Below what Linux (32768), macOS and the BSDs (49152) hand out to outgoing connections: a port kept over a restart is
# not taken in between by somebody's connection.
KEPT_PORTS = range(20_000, 30_000)


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on `host`:`port` now.

    Raises OSError where `host` is not an address of this machine, or the port is not ours to take.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def answers(host: str, port: int, within_s: float = 0.5) -> bool:
    """Whether something accepts connections on `host`:`port`."""
    try:
        with socket.create_connection((host, port), timeout=within_s):
            return True
    except OSError:
        return False


def kept_or_new(kept: object, *, others: Collection[object] = ()) -> int:
    """`kept` where it is a port that is still free on loopback, else a free one that is not among `others`."""
    if isinstance(kept, int) and kept not in others and is_free("127.0.0.1", kept):
        return kept
    for port in random.sample(KEPT_PORTS, len(KEPT_PORTS)):
        if port not in others and is_free("127.0.0.1", port):
            return port
    raise OSError(errno.EADDRINUSE, "no free port between 20000 and 29999 on 127.0.0.1")
