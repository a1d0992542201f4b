from analytics_app.sessions.copies import HELD_IN_MEMORY, WRITTEN_AFTER_S, WRITTEN_AT_ONCE, Copies
from analytics_app.sessions.state import Held


def copy(version: int = 1) -> Held:
    return Held(version, b"[]")


def test_a_copy_is_written_once_it_has_been_held_for_a_while():
    copies = Copies()
    copies.put(0, "a", copy(), now_s=10)
    assert copies.due(0, now_s=10 + WRITTEN_AFTER_S - 0.1) == []
    assert copies.due(0, now_s=10 + WRITTEN_AFTER_S) == [("a", copy())]
    assert copies.due(0, now_s=1000) == []


def test_a_session_that_is_hit_again_and_again_is_written_once_with_its_latest_copy():
    copies = Copies()
    for second in range(5):
        copies.put(0, "a", copy(second), now_s=second)
    assert copies.due(0, now_s=WRITTEN_AFTER_S) == [("a", copy(4))]


def test_what_waits_is_written_a_part_at_a_time_the_oldest_first():
    copies = Copies()
    for number in range(WRITTEN_AT_ONCE + 1):
        copies.put(0, str(number), copy(), now_s=0)
    assert [key for key, _ in copies.due(0, now_s=100)] == [str(number) for number in range(WRITTEN_AT_ONCE)]
    assert [key for key, _ in copies.due(0, now_s=100)] == [str(WRITTEN_AT_ONCE)]


def test_each_partition_writes_its_own():
    copies = Copies()
    copies.put(0, "a", copy(), now_s=0)
    copies.put(1, "b", copy(), now_s=0)
    assert [key for key, _ in copies.due(1, now_s=100)] == ["b"]


def test_what_fell_out_of_memory_is_not_written():
    copies = Copies()
    copies.put(0, "first", copy(), now_s=0)
    for number in range(HELD_IN_MEMORY):
        copies.put(1, str(number), copy(), now_s=0)
    assert len(copies.latest) == HELD_IN_MEMORY
    assert copies.due(0, now_s=100) == []


def test_what_is_dropped_is_neither_held_nor_written():
    copies = Copies()
    copies.put(0, "a", copy(), now_s=0)
    copies.drop(0, "a")
    assert "a" not in copies.latest
    assert copies.due(0, now_s=100) == []
