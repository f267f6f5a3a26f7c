"""Titles and descriptions in plain English that carry an item's topic, and the names of creators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from graphkit.synthetic.sizes import AUDIOBOOK, PODCAST, TRACK
from graphkit.synthetic.topics import Topic

# {p} {q} {r}: phrases of the subtopic; {w} {v}: words of the topic; {s}: the subtopic; {m}: the topic's music;
# {a}: an adjective; {t}: a phrase of the second topic, or of the first where there is none.
TITLES: Final = {
    AUDIOBOOK: ("The {a} {p}", "{p} and {q}", "A {w} of {q}", "The {p} {w}", "Beyond the {p}", "{a} {w}: {p}",
                "What the {p} Knew", "{p}, {q} and {v}", "The Book of {p}", "After the {p}"),
    PODCAST: ("The {p} Podcast", "Talking {p}", "{w} and {v} Weekly", "{p} Hour", "Inside {s}", "The {a} {w} Show",
              "{p} with Friends", "All About {q}", "{a} {s}", "Notes on {p}"),
    TRACK: ("{p}", "{a} {p}", "{w} ({m} mix)", "{p} / {q}", "Dancing with the {q}", "{a} {w}", "{v} at Night",
            "Song for the {p}", "{p}, Pt. 2", "No More {w}"),
}  # fmt: skip
DESCRIPTIONS: Final = {
    AUDIOBOOK: (
        "A {a} story of {p}, {q} and {r}. When {w} meets {v}, nothing stays as it was, and {t} is never far.",
        "Everything changes with {p}. A book about {s}: {q}, {r}, and the {w} behind them.",
        "From {p} to {q}, this {a} audiobook follows {r} through {w} and {v}. With a chapter on {t}.",
        "In this guide to {s}, the author explains {p}, {q} and {r} through {w}, {v} and one {a} example.",
        "It begins with {p}. By the end there is {q}, {r}, and a question of {w} that {t} cannot answer.",
        "Unabridged. {p} brings two strangers together; {q} and {w} pull them apart. For lovers of {s} and {t}.",
    ),
    PODCAST: (
        "Every week the hosts talk about {p}, {q} and {r}, with guests who know {w} and {v} first hand.",
        "A {a} show on {s}. Recent episodes: {p}, the truth about {q}, and {t}.",
        "Conversations about {w} and {v}: {p}, {q}, {r} and whatever else listeners send in about {s}.",
        "{p} explained in half an hour. We look at {q}, at {r}, and at the {w} nobody speaks of.",
        "One {a} story an episode, from {p} to {q}. Reported and told by people who live with {w} and {t}.",
        "Two friends, one microphone and a lot of {w}. This season: {p}, {r}, {q}.",
    ),
    TRACK: (
        "A {a} {m} track about {p} and {q}.",
        "{m}, with words on {p}, {w} and {r}.",
        "An instrumental {m} piece inspired by {p} and {t}.",
        "{a} vocals over a {m} beat: {q}, {r} and {v}.",
        "From the {m} album on {s}: {p}, {w}, {q}.",
    ),
}
ADJECTIVES: Final = (
    "quiet", "last", "hidden", "long", "bright", "broken", "secret", "golden", "cold", "honest", "strange", "slow",
    "gentle", "restless", "distant", "little", "wild", "sudden", "forgotten", "warm", "bitter", "curious", "final",
    "hollow", "perfect", "silver", "stubborn", "true", "unlikely", "weekday", "borrowed", "crooked",
)  # fmt: skip
FIRST_NAMES: Final = (
    "Ada", "Ben", "Chidi", "Dana", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Liam", "Mei", "Nadia",
    "Omar", "Paula", "Quinn", "Rosa", "Samir", "Tove", "Uma", "Viktor", "Wanda", "Xavier", "Yara", "Zeno", "Aiko",
    "Bruno", "Carmen", "Dmitri", "Esther", "Felix",
)  # fmt: skip
LAST_NAMES: Final = (
    "Abara", "Bergman", "Castillo", "Dunn", "Eriksen", "Ferreira", "Goldberg", "Haddad", "Ito", "Jansen", "Kowalski",
    "Laurent", "Moreau", "Nakamura", "Okafor", "Petrov", "Quist", "Rossi", "Silva", "Thorne", "Ueda", "Vogel",
    "Whitlock", "Xu", "Young", "Zimmer", "Ashdown", "Blythe", "Corrigan", "Delgado", "Engel", "Fontaine",
)  # fmt: skip
_CREATORS: Final = {AUDIOBOOK: "{name}", PODCAST: "{name} Media", TRACK: "{name} & Band"}
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Words that stay small inside a title.
_SMALL: Final = frozenset({"and", "of", "with", "the", "for", "at", "on", "about", "mix)"})


def creator_names(item_type: int, count: int) -> list[str]:
    """``count`` different names of authors, studios or bands."""
    names = []
    for index in range(count):
        rest, first = divmod(index, len(FIRST_NAMES))
        turn, last = divmod(rest, len(LAST_NAMES))
        parts = FIRST_NAMES[first], _initials(turn), LAST_NAMES[(last + first * 7) % len(LAST_NAMES)]
        names.append(_CREATORS[item_type].format(name=" ".join(part for part in parts if part)))
    return names


def _initials(turn: int) -> str:
    """Nothing, A., ..., Z., A. A., ..."""
    if turn == 0:
        return ""
    rest, letter = divmod(turn - 1, len(_LETTERS))
    return f"{_initials(rest)} {_LETTERS[letter]}.".strip()


def write_texts(
    rng: np.random.Generator, item_type: int, topics: Sequence[Topic], cell: Sequence[int], second: Sequence[int]
) -> tuple[list[str], list[str]]:
    """Titles and descriptions of items on their ``cell`` (and ``second`` cell, -1: none), both [n]."""
    subtopics = [(topic, name, phrases) for topic in topics for name, phrases in topic.subtopics.items()]
    titles, descriptions = TITLES[item_type], DESCRIPTIONS[item_type]
    picks = rng.random((len(cell), 7)).tolist()
    out_titles, out_descriptions = [], []
    for own, other, pick in zip(cell, second, picks, strict=True):
        topic, name, phrases = subtopics[own]
        words = _words(topic, name, phrases, subtopics[other if other >= 0 else own][2], pick)
        title = titles[int(pick[0] * len(titles))].format_map(words)
        text = descriptions[int(pick[1] * len(descriptions))].format_map(words)
        out_titles.append(" ".join(w if w in _SMALL else w[:1].upper() + w[1:] for w in title.split(" ")))
        out_descriptions.append(_sentences(text))
    return out_titles, out_descriptions


def _words(
    topic: Topic, name: str, phrases: Sequence[str], other: Sequence[str], pick: Sequence[float]
) -> dict[str, str]:
    first, step = int(pick[2] * len(phrases)), 1 + 2 * int(pick[3] * 3)  # odd steps: three different ones of eight
    word = int(pick[4] * len(topic.words))
    return {
        "p": phrases[first],
        "q": phrases[(first + step) % len(phrases)],
        "r": phrases[(first + 2 * step) % len(phrases)],
        "w": topic.words[word],
        "v": topic.words[(word + 1 + int(pick[5] * (len(topic.words) - 1))) % len(topic.words)],
        "s": name,
        "m": topic.music,
        "a": ADJECTIVES[int(pick[6] * len(ADJECTIVES))],
        "t": other[(first + 3 * step) % len(other)],
    }


def _sentences(text: str) -> str:
    """The text with each sentence's first letter in capitals."""
    return ". ".join(part[:1].upper() + part[1:] for part in text.split(". "))
