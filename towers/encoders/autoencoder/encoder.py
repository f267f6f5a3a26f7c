"""The autoencoder as a user encoder: ``fit`` and ``load`` of the contract.

Files: ``modalities.safetensors`` (``<modality>/<type>`` [num_items, width]), ``weights.safetensors``,
``encoder.onnx`` (``features`` [n, dim] to ``user_vector`` [n, out_dim], normalisation and imputation inside),
``features.json`` (what the columns are) and ``training.json``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime
from safetensors.numpy import save_file

from graphkit.artefacts import StageWork
from graphkit.config import Config
from graphkit.config.autoencoder import AutoencoderSection
from graphkit.errors import GraphkitError, InputError
from graphkit.graph.store import FEATURES_FILE as TEXT_FILE
from graphkit.graph.store import FIT
from graphkit.progress import say, track
from graphkit.text import NO_MODEL
from graphkit.vectors import EMBEDDINGS_FILE, Vectors, load_vectors
from towers.encoders.autoencoder.cooccurrence import count_together
from towers.encoders.autoencoder.features import ItemTable, feature_rows, something_known
from towers.encoders.autoencoder.modalities import (
    COLLABORATIVE,
    HGNN,
    MODALITIES_FILE,
    TEXT,
    Modalities,
    collaborative_vectors,
    principal_vectors,
)
from towers.encoders.autoencoder.spec import FEATURES, SPEC_FILE, InputSpec, input_spec
from towers.encoders.source import BLOCK_USERS, Source
from towers.encoders.users import Users

ONNX_FILE: Final = "encoder.onnx"
WEIGHTS_FILE: Final = "weights.safetensors"
TRAINING_FILE: Final = "training.json"
#: How far the exported vectors may be from the trained ones.
_TOLERANCE: Final = 1e-3

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AutoencoderEncoder:
    """The exported encoder; it needs onnxruntime and no TensorFlow."""

    spec: InputSpec
    items: ItemTable
    session: Any

    @property
    def dim(self) -> int:
        return int(self.session.get_outputs()[0].shape[1])

    def encode(self, users: Users) -> Floats:
        """Vectors float32 [n, dim]."""
        return self.encode_rows(feature_rows(users, self.spec, self.items))

    def encode_rows(self, rows: Floats) -> Floats:
        """Vectors of ready feature rows float32 [n, spec.dim]; zeros where nothing is known."""
        (vectors,) = self.session.run(None, {FEATURES: rows})
        vectors[~something_known(rows, self.spec)] = 0
        out: Floats = vectors
        return out


def load(folder: Path) -> AutoencoderEncoder:
    """The encoder of a finished batch, or of one being written."""
    spec = InputSpec.model_validate_json((folder / SPEC_FILE).read_bytes())
    modalities = Modalities.load(folder / MODALITIES_FILE, tuple(spec.modalities))
    session = onnxruntime.InferenceSession(str(folder / ONNX_FILE), providers=["CPUExecutionProvider"])
    return AutoencoderEncoder(spec, ItemTable.of(modalities, spec.types), session)


def fit(source: Source, config: Config, work: StageWork) -> None:
    """Learn the modality encoders, then the autoencoder, and write them; raises InputError where no two users are
    known by the training moment."""
    from towers.backend import prepare
    from towers.encoders.autoencoder.metric import take_metric
    from towers.encoders.autoencoder.model import Autoencoder
    from towers.encoders.autoencoder.normaliser import fit_normaliser
    from towers.encoders.autoencoder.train import Held, train
    from towers.frozen import save_onnx

    settings, seed = config.autoencoder, config.run.seed
    modalities = _modalities(source, settings, seed, work)
    modalities.save(work.path(MODALITIES_FILE))
    spec = input_spec(source, modalities.widths, settings)
    work.path(SPEC_FILE).write_text(spec.model_dump_json(indent=1), encoding="utf-8")
    rows = _known_rows(source, spec, ItemTable.of(modalities, spec.types), settings, seed)
    held_out = max(1, round(settings.validation_share * len(rows)))
    prepare(seed, config.run.threads)
    model = Autoencoder(spec.dim, settings)
    model.normalise_by(fit_normaliser(rows[held_out:], spec))
    progress = train(model, Held(rows[held_out:], rows[:held_out]), settings, seed, work.checkpoint_dir)
    if settings.metric:
        take_metric(model, rows[held_out:])
    save_file({name: np.ascontiguousarray(t) for name, t in sorted(model.tensors().items())}, work.path(WEIGHTS_FILE))
    save_onnx(model.encoder, work.path(ONNX_FILE))
    _verify(load(work.folder), model, rows[:held_out][:BLOCK_USERS])
    best = progress.epochs[progress.best_epoch - 1]
    body = {"epochs": progress.epochs, "best_epoch": progress.best_epoch}
    work.path(TRAINING_FILE).write_text(json.dumps(body, indent=1), encoding="utf-8")
    work.row_counts |= {"users trained on": len(rows) - held_out, "users held out": held_out}
    work.metrics |= {"input_dim": spec.dim, "best_epoch": progress.best_epoch, "epochs": len(progress.epochs)}
    work.metrics |= {name: round(best[name], 5) for name in ("loss", "val_loss", "val_explained")}


def _modalities(source: Source, settings: AutoencoderSection, seed: int, work: StageWork) -> Modalities:
    read = {TEXT: _text, COLLABORATIVE: _collaborative, HGNN: _hgnn}
    made = {name: read[name](source, settings, seed, work) for name in settings.modalities}
    found: dict[str, Vectors] = {name: by_type for name, by_type in made.items() if by_type is not None}
    if not found:
        raise InputError(
            "the autoencoder has no vector of any item",
            where=f"autoencoder.modalities = {list(settings.modalities)}",
            expected="one of them at least",
            found="no text model, or no two items that share a basket before the label period",
            fix="name more of autoencoder.modalities",
        )
    for name, by_type in found.items():
        with_vector = sum(int(matrix.any(axis=1).sum()) for matrix in by_type.values())
        work.row_counts[f"items with a {name} vector"] = with_vector
    return Modalities(found)


def _text(source: Source, settings: AutoencoderSection, _seed: int, _work: StageWork) -> Vectors | None:
    graph = source.upstream["graph"]
    if graph.manifest.settings.get("text", {}).get("model") == NO_MODEL:
        say("the graph was built without a text model: the autoencoder has no text modality")
        return None
    return principal_vectors(load_vectors(graph.path(TEXT_FILE)), settings.modality_dim)


def _collaborative(source: Source, settings: AutoencoderSection, seed: int, work: StageWork) -> Vectors | None:
    together = count_together(source, settings, seed)
    work.row_counts |= together.counts
    if not together.pairs.nnz:
        say("no two items share a basket: the autoencoder has no collaborative modality")
        return None
    return collaborative_vectors(together, source.dataset.meta.num_items, settings.modality_dim, seed)


def _hgnn(source: Source, settings: AutoencoderSection, _seed: int, _work: StageWork) -> Vectors:
    """As of the training moment, at every moment: the vectors' space is that which was learned from."""
    stored = load_vectors(source.upstream["hgnn"].path(EMBEDDINGS_FILE))
    return principal_vectors({t: stored[f"{FIT}/{t}"] for t in source.dataset.meta.types}, settings.modality_dim)


def _known_rows(source: Source, spec: InputSpec, items: ItemTable, settings: AutoencoderSection, seed: int) -> Floats:
    """The feature rows of a seeded sample of the users of whom something is known, shuffled: [n, spec.dim]."""
    count = source.dataset.meta.num_users
    drawn = np.zeros(count, dtype=bool)
    drawn[np.random.default_rng([seed, 2]).permutation(count)[: settings.max_users]] = True
    parts, first = [np.zeros((0, spec.dim), np.float32)], 0
    for users in track(source.blocks(source.training), "reading users", -(-count // BLOCK_USERS)):
        rows = feature_rows(users, spec, items)[drawn[first : first + users.count]]
        parts.append(rows[something_known(rows, spec)])
        first += users.count
    known = np.concatenate(parts)
    if len(known) < 2:
        raise InputError(
            "the autoencoder cannot be trained",
            where="before the label period",
            expected="at least two users of whom something is known",
            found=f"{len(known)}",
            fix="give more interactions, or a shorter label period (split.label_days)",
        )
    return known[np.random.default_rng([seed, 3]).permutation(len(known))]


def _verify(exported: AutoencoderEncoder, model: Any, rows: Floats) -> None:
    from towers.backend import to_numpy

    difference = float(np.abs(exported.encode_rows(rows) - to_numpy(model.encoder({FEATURES: rows}))).max())
    if not difference <= _TOLERANCE:
        raise GraphkitError(
            "the exported encoder does not give the vectors that training gave",
            where=ONNX_FILE,
            expected=f"a difference of at most {_TOLERANCE}",
            found=f"{difference}",
            fix="report it with the versions that `graphkit doctor` prints",
        )
