"""How large the sample world is, and when it takes place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

#: Item types, in the order of their codes.
TYPES: Final = ("audiobook", "podcast", "track")
AUDIOBOOK: Final = 0
PODCAST: Final = 1
TRACK: Final = 2
TARGETS: Final = ("audiobook", "podcast")

DAYS: Final = 240
TEST_DAYS: Final = 14
DAY_MS: Final = 86_400_000
WINDOW_MS: Final = DAYS * DAY_MS
#: The world always ends at the same moment, so that a seed says everything.
WINDOW_END: Final = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW_START: Final = WINDOW_END - timedelta(days=DAYS)
START_MS: Final = int(WINDOW_START.timestamp()) * 1000


@dataclass(frozen=True)
class WorldSize:
    """Counts of one size preset. Users are generated, and interactions written, a block at a time."""

    items: tuple[int, int, int]  # audiobooks, podcasts, tracks
    users: int
    interactions: int
    topics: int = 20
    subtopics: int = 5
    block_users: int = 10_000

    @property
    def num_blocks(self) -> int:
        return -(-self.users // self.block_users)

    @property
    def num_cells(self) -> int:
        return self.topics * self.subtopics

    def users_of(self, block: int) -> range:
        """The users of a block."""
        return range(block * self.block_users, min((block + 1) * self.block_users, self.users))

    def interactions_of(self, block: int) -> int:
        """The interactions of a block; over all blocks they add up to ``interactions``."""
        users = self.users_of(block)
        return self.interactions * users.stop // self.users - self.interactions * users.start // self.users


SIZES: Final = {
    "tiny": WorldSize((60, 120, 180), 400, 24_000, topics=10, subtopics=2),
    "small": WorldSize((1_000, 2_000, 3_000), 5_000, 500_000),
    "medium": WorldSize((5_000, 15_000, 30_000), 100_000, 10_000_000),
    "large": WorldSize((25_000, 75_000, 150_000), 1_000_000, 100_000_000),
}
