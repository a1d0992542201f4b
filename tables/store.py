"""What every table of the service has in common."""

from typing import Any

from analytics_app.settings import settings

MIB = 1024 * 1024


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
