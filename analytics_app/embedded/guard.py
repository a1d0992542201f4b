"""Becomes a server that does not outlive the one who started it, whatever ends that one, SIGKILL included.

Run as a script, isolated and without site-packages (10 ms): guard.py SIGNAL PARENT UID GID PIPE COMMAND…
On Linux the kernel sends SIGNAL when the parent is gone; elsewhere (PIPE >= 0) a forked watcher waits for the end of a
pipe whose other end only the parent holds. Then this process becomes COMMAND: the process id stays the same.
"""

import ctypes
import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set the guard and exec."""
    death_signal, parent, uid, gid, pipe = (int(word) for word in sys.argv[1:6])
    command = sys.argv[6:]
    # Found before the change of user: the other user may not be able to read where Python lies.
    libc = ctypes.CDLL(None) if pipe < 0 else None
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if libc is not None:  # after the change of user, which would clear it
        if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
            sys.exit("prctl failed")
    else:
        _watch(pipe, death_signal)
    if os.getppid() != parent:  # it went before we were guarded
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is the point


def _watch(pipe: int, death_signal: int) -> None:
    guarded = os.getpid()
    if os.fork():
        os.close(pipe)
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):  # or the reader of our output would wait for us
        os.dup2(null, stream)
    while os.getppid() == guarded:
        readable, _, _ = select.select([pipe], [], [], 0.5)
        if readable:
            os.kill(guarded, death_signal)
            # A server that leaves a polite signal unheard has ten seconds.
            for _ in range(100):
                select.select([], [], [], 0.1)
                if os.getppid() != guarded:
                    break
            else:
                os.kill(guarded, signal.SIGKILL)
            break
    os._exit(0)


if __name__ == "__main__":
    main()
