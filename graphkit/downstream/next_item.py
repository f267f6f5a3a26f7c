"""Task: the next item of a target type that is new to its user, found among others (CLUE, 3.2.2 and table 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.downstream.figures import Figure, MeanFigure
from graphkit.downstream.moments import UNTIMED, Moment
from graphkit.downstream.pair_examples import PairExamples, over_seeds
from graphkit.downstream.pairs import Pairs, draw_others, sample_positives, with_negatives
from graphkit.downstream.panel import sample_users
from graphkit.downstream.rivals import Rival, Scorer
from graphkit.downstream.specialists import LightGcnRival, SequenceRival
from graphkit.downstream.task import NotApplicable
from graphkit.downstream.vector_rival import VectorRival
from graphkit.downstream.world import World
from graphkit.stages import ENCODERS
from graphkit.ties import tie_order

#: Sampled items that the next one is ranked among (CLUE, 3.2.2).
_POOL: Final = 100
#: Random items beside each positive in training.
_NEGATIVES: Final = 4
_BLOCK: Final = 256
#: As far ahead as rows go: the label and the test period are the dataset's own.
_WHOLE: Final = timedelta(days=36_500)

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NextItem:
    """The first item of each target type by a strong signal in the test period that the user had not met before."""

    name: str = "next-item"

    @property
    def what(self) -> str:
        return (
            f"the next new item of a target type: HR@1, NDCG@10 and MRR among {_POOL} sampled items that the user "
            "does not meet (sampled: not to be compared with full ranking), and among all items of the type that are "
            "new to the user (full)"
        )

    def prepare(self, world: World) -> NextItems | NotApplicable:
        """Trained on what is new to training users in the label period, measured on test users' next items."""
        if not world.timed:
            return NotApplicable(UNTIMED)
        fit, serve = world.moments
        nexts = _next(world, serve)
        late = Pairs(serve.name, *nexts, np.ones(len(nexts[0]), bool))
        parts = PairExamples.of(world, _training(world, fit), late)
        return parts if isinstance(parts, NotApplicable) else NextItems.of(world, parts)

    def specialists(self, world: World, rivals: list[Rival]) -> list[Rival]:
        """BST, LightGCN, and BST beside each encoder's vectors."""
        spaces = [rival.vectors for rival in rivals if rival.vectors is not None]
        beside = [VectorRival(world, space) for space in spaces if space.name in ENCODERS]
        return [SequenceRival(world), LightGcnRival(world), *(SequenceRival(world, one) for one in beside)]


@dataclass(frozen=True)
class NextItems:
    """The examples, the sampled ``pool`` [n, 100] of each next item, and who ``met`` what (sparse, before the
    cut-off)."""

    world: World
    parts: PairExamples
    pool: Longs
    met: Any

    @classmethod
    def of(cls, world: World, parts: PairExamples) -> NextItems:
        _, serve = world.moments
        barred = pl.concat(
            [
                world.catalogue.pairs(serve.known(world.dataset, world.signals)),
                world.catalogue.pairs(serve.coming(world.dataset, _WHOLE, world.signals)),
            ]
        )
        users, items = (np.repeat(one, _POOL) for one in (parts.test.users, parts.test.items))
        drawn = draw_others(users, items, barred, world.catalogue, np.random.default_rng([world.seed, _POOL]))
        met = world.catalogue.matrix(serve.known(world.dataset, world.signals), world.dataset.meta.num_users)
        return cls(world, parts, drawn.reshape(-1, _POOL), met)

    @property
    def users(self) -> Longs:
        return self.parts.users

    @property
    def counts(self) -> dict[str, int]:
        return {**self.parts.counts, "next items": len(self.parts.test.users)}

    def measure(self, rival: Rival) -> Mapping[str, Figure]:
        return over_seeds(self.world, rival, self.parts.training, self.parts.validation, self._figures)

    def _figures(self, scorer: Scorer) -> dict[str, Figure]:
        place = np.searchsorted(self.users, self.parts.test.users)
        count = np.bincount(place, minlength=len(self.users)).astype(np.float64)
        found: dict[str, Figure] = {}
        for kind, ranks in (("sampled", self._sampled(scorer)), ("full", self._full(scorer))):
            for metric, values in rank_metrics(ranks).items():
                found[f"{metric}, {kind}"] = MeanFigure(
                    np.bincount(place, values, len(self.users)).astype(np.float64), count
                )
        return found

    def _sampled(self, scorer: Scorer) -> Longs:
        test = self.parts.test
        pool = np.concatenate([test.items[:, None], self.pool], axis=1)  # the next item first
        users = np.repeat(test.users, pool.shape[1])
        scores = scorer.pairs(Pairs(test.moment, users, pool.ravel(), np.zeros(pool.size, bool)))
        return rank_of_first(scores.reshape(pool.shape), pool, self.world.seed)

    def _full(self, scorer: Scorer) -> Longs:
        """Ranks among all items of the type that the user had not met."""
        test, catalogue = self.parts.test, self.world.catalogue
        ranks = np.zeros(len(test.users), np.int64)
        for number, name in enumerate(catalogue.starts):
            part = catalogue.of_type(name)
            mine = np.flatnonzero(catalogue.type_of[test.items] == number)
            for rows in np.split(mine, range(_BLOCK, len(mine), _BLOCK)):
                scores = scorer.ranking(test.moment, test.users[rows], part).astype(np.float64)
                own = scores[np.arange(len(rows)), test.items[rows] - part.start].copy()
                scores[self.met[test.users[rows]][:, part].toarray() > 0] = -np.inf
                scores = np.concatenate([own[:, None], scores], axis=1)
                items = np.broadcast_to(np.arange(part.start, part.stop), (len(rows), part.stop - part.start))
                items = np.concatenate([test.items[rows][:, None], items], axis=1)
                ranks[rows] = rank_of_first(scores, items, self.world.seed)
        return ranks


def rank_of_first(scores: npt.NDArray[np.floating], items: Longs, seed: int) -> Longs:
    """The rank, from 1, of the first column's item in each row of ``scores`` [n, m]; the same item again does not
    count, and equals are in a seeded order of the ``items`` [n, m]."""
    ties = tie_order(items, seed)
    first = scores[:, :1]
    before = (scores > first) | ((scores == first) & (ties > ties[:, :1]))
    ranks: Longs = 1 + (before & (items != items[:, :1])).sum(axis=1)
    return ranks


def rank_metrics(ranks: Longs) -> dict[str, Floats]:
    """HR@1, NDCG@10 and MRR of lists with one relevant item at ``ranks`` [n]: float64 [n] each."""
    return {
        "HR@1": (ranks == 1).astype(np.float64),
        "NDCG@10": np.where(ranks <= 10, 1 / np.log2(ranks + 1.0), 0),
        "MRR": 1.0 / ranks,
    }


def _training(world: World, moment: Moment) -> Pairs:
    """What of the label period is new to its user, and random items beside each."""
    coming = moment.coming(world.dataset, _WHOLE, world.strong)
    known = world.catalogue.pairs(moment.known(world.dataset, world.signals))
    new = world.catalogue.pairs(_of_targets(world, coming)).join(
        known, on=[schemas.USER, schemas.ITEM], how="anti", maintain_order="left"
    )
    positives = sample_positives(new, world.settings.max_positives, world.settings.max_users, world.seed)
    barred = pl.concat([known, world.catalogue.pairs(moment.coming(world.dataset, _WHOLE, world.signals))])
    return with_negatives(
        moment.name, positives, barred, world.catalogue, np.random.default_rng(world.seed), times=_NEGATIVES
    )


def _next(world: World, moment: Moment) -> tuple[Longs, Longs]:
    """Each user's next new item of each target type: users and items, by user and type."""
    coming = _of_targets(world, moment.coming(world.dataset, _WHOLE, world.strong))
    known = world.catalogue.pairs(moment.known(world.dataset, world.signals)).lazy()
    rows = coming.select(
        pl.col(schemas.USER).cast(pl.Int64), world.catalogue.column(), schemas.ITEM_TYPE, schemas.TIMESTAMP
    ).join(known, on=[schemas.USER, schemas.ITEM], how="anti")
    tie = pl.struct(schemas.USER, schemas.ITEM).hash(world.seed)
    ordered = rows.with_columns(tie=tie).sort(schemas.USER, schemas.ITEM_TYPE, schemas.TIMESTAMP, "tie")
    first = ordered.group_by(schemas.USER, schemas.ITEM_TYPE, maintain_order=True).first().collect()
    users = sample_users(first[schemas.USER].unique().sort().to_numpy(), world.settings.max_users, world.seed)
    first = first.filter(pl.col(schemas.USER).is_in(users.tolist()))
    return first[schemas.USER].to_numpy(), first[schemas.ITEM].to_numpy()


def _of_targets(world: World, rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.filter(pl.col(schemas.ITEM_TYPE).is_in(list(world.dataset.meta.targets)))
