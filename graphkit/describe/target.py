"""One target type: the paper's figure 2 A to D and the weak signals, for the user's own data."""

from __future__ import annotations

from dataclasses import dataclass

from graphkit.artefacts import Batch
from graphkit.datasets.store import Dataset
from graphkit.describe.concentration import TOP_TITLES, TOP_USERS, Concentration, concentration, read_listening
from graphkit.describe.figures import NotMeasurable
from graphkit.describe.pairs import Gap
from graphkit.describe.sample import Window, read_sample
from graphkit.describe.taste import taste_similarity
from graphkit.describe.text_pairs import TextVectors, co_listened_text, joined_through_text, read_text_vectors
from graphkit.describe.weak_signals import WeakSignals, weak_signals


@dataclass(frozen=True)
class TargetDescription:
    """One target type: A ``users`` and ``titles``, B ``taste``, C ``text``, D ``through`` each other type.

    ``scope`` is whose pairs B to D were drawn from, ``text_model`` what the texts were compared by.
    """

    target: str
    scope: str
    users: Concentration | NotMeasurable
    titles: Concentration | NotMeasurable
    taste: Gap | NotMeasurable
    text_model: str | None
    text: Gap | NotMeasurable
    through: dict[str, Gap | NotMeasurable] | NotMeasurable
    weak: WeakSignals | NotMeasurable


def describe_target(
    dataset: Dataset, graph: Batch | None, window: Window, target: str, seed: int, max_users: int
) -> TargetDescription:
    """Measure ``target`` on the strong train rows of ``window``, pairs among ``max_users`` users at most."""
    heard = read_listening(dataset, window, [target])
    sample = read_sample(dataset, window, target, max_users)
    texts = read_text_vectors(dataset, graph, sample)
    through: dict[str, Gap | NotMeasurable] | NotMeasurable
    if isinstance(texts, TextVectors):
        text = co_listened_text(sample, texts, seed)
        through = {other: joined_through_text(sample, texts, other, seed) for other in sample.other_types}
        through = through or NotMeasurable("there is one item type only")
    else:
        text = through = texts
    return TargetDescription(
        target,
        f"{sample.scope}, {window.name}",
        concentration(heard.by_user, f"{target} users", heard.amount, TOP_USERS, seed),
        concentration(heard.by_title[target], f"{target} titles", heard.amount, TOP_TITLES, seed),
        taste_similarity(sample, seed),
        texts.model if isinstance(texts, TextVectors) else None,
        text,
        through,
        weak_signals(dataset, target, seed, max_users),
    )
