"""What every table of the service has in common: small, and thrown away where its files are damaged."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from faust.stores import STORES, rocksdb
from faust.types import TP

from analytics_app.settings import settings
from analytics_app.watchdog import EXIT_CODE

MIB = 1024 * 1024
DAMAGED = ("Corruption", "No such file")
"""What RocksDB says of files that are not those it left; a lock that another process still holds is none of it."""

log = structlog.get_logger(__name__)


class Store(rocksdb.Store):
    """RocksDB whose files may be damaged: what lies in them is a copy, and is read anew from its changelog."""

    def _open_for_partition(self, partition: int) -> Any:
        try:
            return super()._open_for_partition(partition)
        except Exception as error:
            if not is_damage(error):
                raise
            log.warning("a table is built anew", table=self.table_name, partition=partition, error=str(error))
            shutil.rmtree(self.partition_path(partition), ignore_errors=True)
            return super()._open_for_partition(partition)

    @contextmanager
    def _intact(self) -> Iterator[None]:
        """The block reads or writes; where damage shows only then, the process ends, and the next one builds anew."""
        try:
            yield
        except Exception as error:
            if is_damage(error):
                for partition in self._dbs:
                    shutil.rmtree(self.partition_path(partition), ignore_errors=True)
                log.critical("a table is damaged: this worker ends", table=self.table_name, error=str(error))
                os._exit(EXIT_CODE)
            raise

    def _get(self, key: bytes) -> bytes | None:
        with self._intact():
            return super()._get(key)

    def _contains(self, key: bytes) -> bool:
        with self._intact():
            return super()._contains(key)

    def _set(self, key: bytes, value: bytes | None) -> None:
        with self._intact():
            super()._set(key, value)

    def _del(self, key: bytes) -> None:
        with self._intact():
            super()._del(key)

    def persisted_offset(self, tp: TP) -> int | None:
        """How far its changelog is in it."""
        with self._intact():
            return super().persisted_offset(tp)

    def apply_changelog_batch(self, *given: Any, **named: Any) -> None:
        """Take in a batch of its changelog."""
        with self._intact():
            super().apply_changelog_batch(*given, **named)


def is_damage(error: Exception) -> bool:
    """Whether `error` says that a table's files are damaged."""
    return any(sign in str(error) for sign in DAMAGED)


STORES.aliases["copies"] = f"{__name__}:Store"


def options(help_: str) -> dict[str, Any]:
    """Arguments of `app.Table` for bytes under bytes: raw on the changelog, and small caches on disk.

    RocksDB's defaults here come to 2 GiB a partition; what our tables hold hot fits a few MiB.
    """
    return {
        "help": help_,
        "partitions": settings().partitions,
        "key_type": bytes,
        "value_type": bytes,
        "options": {
            "write_buffer_size": 8 * MIB,
            "max_write_buffer_number": 2,
            "target_file_size_base": 16 * MIB,
            "block_cache_size": 8 * MIB,
            "bloom_filter_size": 10,
            "max_open_files": 64,
        },
    }
