"""What the sample world is about: topics, their subtopics, and the words that tell them apart.

A *cell* is one subtopic; tastes and items live on cells, texts are written from their phrases. The
vocabulary itself is in ``topics.toml``.
"""

from __future__ import annotations

import tomllib
from functools import cache
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Topic(BaseModel):
    """A genre of spoken word, the music that goes with it, and how its appeal changes with age.

    ``age_slope`` is the change of log appeal per 20 years. ``words`` fit every subtopic; ``subtopics`` maps
    a name to its eight phrases.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    genre: str
    music: str
    age_slope: float
    words: tuple[str, ...]
    subtopics: dict[str, tuple[str, ...]]


@cache
def topics_of(num_topics: int, num_subtopics: int) -> tuple[Topic, ...]:
    """The first topics, each with its first subtopics: what a small world is about."""
    with Path(__file__).with_name("topics.toml").open("rb") as file:
        topics = [Topic.model_validate(table) for table in tomllib.load(file)["topic"]]
    return tuple(
        topic.model_copy(update={"subtopics": dict(islice(topic.subtopics.items(), num_subtopics))})
        for topic in topics[:num_topics]
    )
