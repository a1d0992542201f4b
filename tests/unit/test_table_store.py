"""Files of a table that are damaged: thrown away where it is opened, and where it shows only later."""

import pytest
from faust.stores import rocksdb

from tables import store


class Damaged(store.Store):
    """A table on a folder of its own, without an app."""

    def __init__(self, folder):
        self.folder, self._dbs = folder, {0: None}

    table_name = "sessions"

    def partition_path(self, partition):
        return self.folder / str(partition)


@pytest.fixture
def table(tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "CURRENT").write_text("rubbish")
    return Damaged(tmp_path)


def fails(error):
    def fail(*_):
        raise error

    return fail


def test_one_that_cannot_be_opened_is_built_anew(monkeypatch, table):
    def opened(self, partition):
        if (self.partition_path(partition) / "CURRENT").exists():
            raise Exception("Corruption: CURRENT file does not end with newline")
        return "new"

    monkeypatch.setattr(rocksdb.Store, "_open_for_partition", opened)
    assert table._open_for_partition(0) == "new"


def test_one_that_another_process_holds_is_not_touched(monkeypatch, table):
    locked = OSError("IO error: While lock file: /x/LOCK: Resource temporarily unavailable")
    monkeypatch.setattr(rocksdb.Store, "_open_for_partition", fails(locked))
    with pytest.raises(OSError, match="lock"):
        table._open_for_partition(0)
    assert (table.folder / "0" / "CURRENT").exists()


def test_damage_that_is_read_ends_the_process_and_leaves_nothing_to_read_again(monkeypatch, table):
    monkeypatch.setattr(rocksdb.Store, "_get", fails(ValueError("Corruption: block checksum mismatch")))
    monkeypatch.setattr(store.os, "_exit", fails(SystemExit(70)))
    with pytest.raises(SystemExit):
        table._get(b"a")
    assert not (table.folder / "0").exists()
