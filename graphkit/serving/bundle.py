"""The serving bundle, opened: one folder that recommends alone, without PyTorch, TensorFlow or Keras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from graphkit import bundle_format as files
from graphkit.artefacts import Batch
from graphkit.blend.popular import popular_part
from graphkit.bundle_format import BundleMeta
from graphkit.errors import ArtefactError, GraphkitError
from graphkit.histories import Histories
from graphkit.serving.filters import NO_FILTERS, Allowed, Filters
from graphkit.serving.mapped import map_histories, map_tensors
from graphkit.user_features import FeatureSpec, UserFeatures, UserInputs
from graphkit.user_vectors import known_vectors

if TYPE_CHECKING:
    from graphkit.indexes.item_index import ItemIndex
    from graphkit.serving.catalogue import Catalogue
    from graphkit.serving.edges import EdgeWeights
    from graphkit.serving.paths import Adjacency
    from graphkit.serving.recommend import Recommendations
    from graphkit.serving.recommend_all import Written
    from graphkit.serving.similar import SimilarItems

Floats = npt.NDArray[np.float32]
#: A user tower that was read back from its file: inputs of n users to vectors [n, dim].
Tower = Callable[[UserInputs], Floats]

#: Filters that were asked for last, each a bool an item.
_FILTERS_KEPT: Final = 32


@dataclass(frozen=True)
class Bundle:
    """A bundle batch; ``recommend`` and ``similar`` are its use.

    Every file was checked against its hash on opening; each is mapped or read when it is first needed.
    """

    batch: Batch
    meta: BundleMeta

    @classmethod
    def open(cls, folder: Path | str | Batch) -> Bundle:
        """Open a bundle folder, wherever it was copied to; raises ArtefactError if it is damaged or no bundle."""
        batch = folder if isinstance(folder, Batch) else Batch.open(Path(folder))
        if batch.manifest.stage != "bundle":
            raise ArtefactError(
                "not a serving bundle",
                where=str(batch.folder),
                expected="a batch of stage bundle",
                found=f"a batch of stage {batch.manifest.stage}",
                fix="give the folder that `graphkit export` made",
            )
        return cls(batch, _read_meta(batch.path(files.BUNDLE_FILE)))

    @property
    def folder(self) -> Path:
        return self.batch.folder

    def recommend(
        self,
        user_id: str,
        item_type: str,
        k: int = 10,
        exclude_seen: bool = True,
        why: bool = False,
        filters: Filters = NO_FILTERS,
    ) -> Recommendations:
        """See ``graphkit.serving.recommend.recommend``."""
        from graphkit.serving.recommend import recommend

        return recommend(self, user_id, item_type, k, exclude_seen, why, filters)

    def recommend_all(
        self,
        out: Path,
        item_types: Sequence[str] = (),
        k: int = 10,
        threads: int = 1,
        filters: Filters = NO_FILTERS,
    ) -> dict[str, Written]:
        """See ``graphkit.serving.recommend_all.recommend_all``."""
        from graphkit.serving.recommend_all import recommend_all

        return recommend_all(self, out, item_types, k, threads, filters)

    def similar(
        self, item_id: str, item_type: str | None = None, within: str | None = None, k: int = 10
    ) -> SimilarItems:
        """See ``graphkit.serving.similar.similar``."""
        from graphkit.serving.similar import similar

        return similar(self, item_id, item_type, within, k)

    def index(self, item_type: str) -> ItemIndex:
        """The index of one target type."""
        if item_type not in self._indexes:
            from graphkit.indexes.store import open_index

            about = self.meta.indexes[item_type]
            self._indexes[item_type] = open_index(self.folder, about, self.item_vectors[item_type])
        return self._indexes[item_type]

    def allowed(self, item_type: str, filters: Filters) -> Allowed:
        """The items of a type that may be listed; the last few answers are kept."""
        return self._allowed(item_type, filters)

    def user_vectors(self, inputs: UserInputs) -> Floats:
        """The user tower's outputs [n, dim], L2-normalised."""
        return self._tower(inputs)

    @cached_property
    def catalogue(self) -> Catalogue:
        from graphkit.serving.catalogue import Catalogue

        return Catalogue(self.batch.path(files.ITEMS_FILE), self.batch.path(files.USERS_FILE))

    @cached_property
    def user_features(self) -> UserFeatures:
        """The code path from histories to the user tower's inputs, the one that training took."""
        spec = FeatureSpec.model_validate_json(self.batch.path(files.FEATURES_FILE).read_bytes())
        categorical = map_tensors(self.batch.path(files.CATEGORICAL_FILE))[files.CATEGORICAL]
        histories = map_histories(self.batch.path(files.HISTORIES_FILE))
        own = files.POOLED_VECTORS_FILE in self.batch.manifest.files
        pooled = map_tensors(self.batch.path(files.POOLED_VECTORS_FILE)) if own else self.embeddings
        read = map_tensors(self.batch.path(files.INPUT_VECTORS_FILE)) if spec.vectors else {}
        vectors = tuple(known_vectors(name, read[name]) for name in spec.vectors)
        return UserFeatures(spec, histories, pooled, categorical, vectors)

    @cached_property
    def embeddings(self) -> dict[str, Floats]:
        """HGNN embeddings of every type [num_items, embedding_dim]."""
        return map_tensors(self.batch.path(files.EMBEDDINGS_FILE))

    @cached_property
    def item_vectors(self) -> dict[str, Floats]:
        """Item tower outputs of every target type [num_items, dim]."""
        return map_tensors(self.batch.path(files.ITEM_VECTORS_FILE))

    @cached_property
    def popularity(self) -> dict[str, npt.NDArray[np.int32]]:
        """Users who met each item lately, per target type [num_items]."""
        return map_tensors(self.batch.path(files.POPULARITY_FILE))

    def popular(self, item_type: str) -> tuple[npt.NDArray[np.int64], Floats]:
        """The items that stand out of what is popular, ascending, and the blend's part for each."""
        return self._popular[item_type]

    @cached_property
    def _popular(self) -> dict[str, tuple[npt.NDArray[np.int64], Floats]]:
        parts = {name: popular_part(users) for name, users in self.popularity.items()}
        return {name: (np.flatnonzero(part), part[part > 0]) for name, part in parts.items()}

    @cached_property
    def by_popularity(self) -> dict[str, npt.NDArray[np.int64]]:
        """The items of every target type, the most popular first.

        Equally popular ones come in a seeded random order: ids often tell the source's own popularity ranks.
        """
        ties = {name: np.random.default_rng(0).permutation(len(users)) for name, users in self.popularity.items()}
        return {name: np.lexsort((-ties[name], -users)) for name, users in self.popularity.items()}

    @cached_property
    def seen(self) -> Histories:
        """Every user's strong train items, per type."""
        return map_histories(self.batch.path(files.SEEN_FILE))

    @cached_property
    def edges(self) -> EdgeWeights:
        """The weights of the co-listening edges from the users' strong items."""
        from graphkit.serving.edges import EdgeWeights

        num_items = {name: self.meta.num_items[name] for name in self.meta.types}
        return EdgeWeights.open(self.batch.path(files.EDGES_FILE), self.seen, num_items)

    @cached_property
    def adjacency(self) -> Adjacency:
        """The heaviest neighbours of each item in the co-listening graph."""
        from graphkit.serving.paths import Adjacency

        return Adjacency.open(self.batch.path(files.ADJACENCY_FILE), self.meta.types)

    @cached_property
    def _indexes(self) -> dict[str, ItemIndex]:
        return {}

    @cached_property
    def _allowed(self) -> Callable[[str, Filters], Allowed]:
        @lru_cache(_FILTERS_KEPT)
        def made(item_type: str, filters: Filters) -> Allowed:
            return Allowed.of(self.catalogue, item_type, self.meta.num_items[item_type], filters)

        return made

    @cached_property
    def _tower(self) -> Tower:
        return onnx_tower(self.batch.path(files.ONNX_FILE))


def onnx_tower(path: Path) -> Tower:
    """The user tower for onnxruntime, on one thread: one user's vector is too little work to share out."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise GraphkitError("onnxruntime refuses the user tower", where=str(path), found=str(error)) from error
    names = {end.name for end in session.get_inputs()}

    def run(inputs: UserInputs) -> Floats:
        vectors: Floats = session.run(None, {n: array for n, array in inputs._asdict().items() if n in names})[0]
        return vectors

    return run


def _read_meta(path: Path) -> BundleMeta:
    try:
        meta = BundleMeta.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtefactError(
            "the bundle's description cannot be read",
            where=str(path),
            found=str(error).splitlines()[0],
            fix="run `graphkit export` again",
        ) from None
    if meta.format_version != files.FORMAT_VERSION:
        raise ArtefactError(
            "the bundle was written by another version of graphkit",
            where=str(path),
            expected=f"format version {files.FORMAT_VERSION}",
            found=f"format version {meta.format_version}",
            fix="run `graphkit export` again",
        )
    return meta
