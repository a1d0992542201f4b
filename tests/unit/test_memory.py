"""Memory that is freed and taken anew."""

import ctypes
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")

FAULTS = """
import resource, sys
import numpy
from analytics_app import memory
assert sys.argv[1] == "plain" or memory.keep_freed()
before = None
for turn in range(200):
    if turn == 20:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [numpy.full(200_000, turn) for _ in range(4)]
    del arrays
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    """How often the system had to give a page while arrays of 1.6 MB came and went."""
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_arrays_that_come_and_go_take_no_new_pages():
    assert page_faults("kept") < 1_000
    assert page_faults("plain") > 10_000, "the control: as the C library would have it"
