"""Lists that one can read: what a user had met, what was recommended, and what the user then played."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from graphkit.report.evaluation_data import Row
from graphkit.report.formatting import count


class Played(NamedTuple):
    """A title the user then played: where it was listed, and how many had met it in train."""

    title: str
    rank: str
    listeners: str
    found: bool


@dataclass(frozen=True)
class Example:
    """One user; ``recommended`` are (title, hit), ``history`` (type, titles newest first)."""

    heading: str
    failure: bool
    history: list[tuple[str, list[str]]]
    recommended: list[tuple[str, bool]]
    played: list[Played]


def example_cards(examples: list[Row]) -> list[Example]:
    """The examples of the file, failures first."""
    return [_card(example) for example in sorted(examples, key=lambda example: example["kind"] != "failure")]


def _card(example: Row) -> Example:
    return Example(
        f"{example['target_type']}, {example['group']} user {example['user_id']}",
        example["kind"] == "failure",
        list(example["history"].items()),
        [(item["title"], item["hit"]) for item in example["recommended"]],
        [_played(item) for item in example["played"]],
    )


def _played(item: Row) -> Played:
    rank, listeners = item["rank"], item["train_listeners"]
    met = "new: nobody had met it" if not listeners else f"{count(listeners)} train listener{'s' * (listeners != 1)}"
    return Played(
        item["title"], "not in the first 100" if rank is None else f"rank {rank}", met, bool(rank and rank <= 10)
    )
