"""What becomes of memory that an answer is done with."""

import ctypes

# Of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 64 * 1024 * 1024
LARGEST_BYTES = 32 * 1024 * 1024
"""The most that mallopt(3) names for `M_MMAP_THRESHOLD`."""


def keep_freed() -> bool:
    """Have this process keep up to 64 MiB that were freed, for what comes next; whether the C library can.

    Unless it is told so, glibc gives an array of 128 KiB or more back to the system when it is freed, and the system
    clears each page of the next one anew. To add up 320,000 numbers takes 3 ms with kept memory and 12 without
    (docs/decisions/0013-freed-memory-is-kept.md). Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, LARGEST_BYTES)) and bool(mallopt(_TRIM_THRESHOLD, KEPT_BYTES))
