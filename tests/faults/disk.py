"""A disk that can be full: a file system in memory, mounted under a folder of the service, made smaller and larger."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

MIB = 1024 * 1024
SIZE_MIB = 2048


class Disk:
    """A mounted folder. Needs root on Linux; `mount` raises OSError or CalledProcessError where that is refused."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_mounted = False

    def mount(self) -> None:
        """Mount it, with plenty of room."""
        if not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("mount") is None:
            raise PermissionError("only root on Linux can mount a disk to fill")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._mount("-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=711", "tmpfs")
        self.is_mounted = True

    def fill(self, left: int = 0) -> None:
        """No room is left, but for so many bytes."""
        used = shutil.disk_usage(self.folder).used
        self._mount("-o", f"remount,size={used + left}")

    def free(self) -> None:
        """There is room again."""
        self._mount("-o", f"remount,size={SIZE_MIB}m")

    def unmount(self) -> None:
        """Take it away, used or not."""
        if self.is_mounted:
            self.is_mounted = False
            with suppress(subprocess.CalledProcessError):
                subprocess.run(["umount", "-l", str(self.folder)], check=True, capture_output=True)

    def _mount(self, *words: str) -> None:
        subprocess.run(["mount", *words, str(self.folder)], check=True, capture_output=True)
