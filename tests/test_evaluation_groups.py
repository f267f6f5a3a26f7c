"""Who is evaluated on what."""

from __future__ import annotations

from pathlib import Path

from evaluation_world import Row, write_dataset

from graphkit.evaluation.groups import read_tasks

ROWS = [
    # User 0: warm by streams. The test stream of book 1 is no news, book 2 is, twice.
    Row(0, "book", 0), Row(0, "book", 1), Row(0, "book", 1, "test"), Row(0, "book", 2, "test"),
    Row(0, "book", 2, "test", days_before=-2),
    # User 1: warm by a preview alone; book 3, previewed in train, may still be started in test.
    Row(1, "book", 3, signal="preview"), Row(1, "book", 3, "test"),
    # User 2: cold, knows songs only. A test preview is no positive.
    Row(2, "song", 0), Row(2, "book", 0, "test"), Row(2, "book", 1, "test", "preview"),
    # User 3: no train row at all. User 4: nothing new in test.
    Row(3, "book", 0, "test"),
    Row(4, "book", 4), Row(4, "book", 4, "test"),
]  # fmt: skip


def test_positives_masks_and_groups(tmp_path: Path) -> None:
    task = read_tasks(write_dataset(tmp_path, ROWS, {"book": 5, "song": 2}, 6))["book"]
    assert task.users.tolist() == [0, 1, 2]
    assert task.warm.tolist() == [True, True, False]
    assert [task.positives.of(user).tolist() for user in range(3)] == [[2], [3], [0]]
    assert [task.masked.of(user).tolist() for user in range(6)] == [[0, 1], [], [], [], [4], []]
    assert task.counts == {"warm": 2, "cold": 1, "no_history": 1, "test_items": 3}
    assert task.members("warm").tolist() == [0, 1]
    assert task.members("cold").tolist() == [2]
    assert task.members("all").tolist() == [0, 1, 2]


def test_a_target_type_without_interactions_has_no_users(tmp_path: Path) -> None:
    tasks = read_tasks(write_dataset(tmp_path, ROWS, {"book": 5, "song": 2, "game": 3}, 6))
    assert list(tasks) == ["book", "song", "game"]
    assert tasks["game"].counts == {"warm": 0, "cold": 0, "no_history": 0, "test_items": 0}
    assert tasks["song"].counts["no_history"] == 0


def test_only_target_types_are_ranked(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, ROWS, {"book": 5, "song": 2}, 6, targets=("book",))
    assert list(read_tasks(dataset)) == ["book"]
