"""A bundle replayed: its towers, rankings and indexes against what the training process stored with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from graphkit import bundle_format as files
from graphkit.artefacts import Batch
from graphkit.errors import ArtefactError
from graphkit.indexes.item_index import TUNED_FOR
from graphkit.indexes.tune import Asked, halves
from graphkit.serving.bundle import Bundle, Tower
from graphkit.user_features import Floats, UserInputs
from towers.frozen import OUTPUT, SIGNATURE
from towers.proof import NOT_CHECKED, Proof, proof, same_ranking, same_vectors, tower_vectors
from towers.replay import Replay

#: Golden users whose exact top 100 each index is tuned on and, as many others, measured against.
RECALL_USERS: Final = 2 * 256
#: How far below the stated recall an index may be: neighbours change places where scores are equal up to rounding.
_RECALL_TOLERANCE: Final = 0.001


def verify_bundle(folder: Path | str) -> list[Proof]:
    """Replay the golden users of a bundle folder, wherever it was copied to; one proof a row, hashes first.

    Where a file is damaged or missing nothing else is looked at. Raises ArtefactError for what is no bundle.
    """
    batch = Batch.peek(Path(folder))
    hashes = _hashes(batch)
    if hashes.failed and batch.manifest.stage == "bundle":
        return [hashes]
    bundle = Bundle.open(batch)
    replay = Replay.open(batch.path(files.REPLAY_FILE), bundle.user_features.spec, bundle.meta.targets)
    vectors = tower_vectors(bundle.user_vectors, bundle.user_features, replay)
    found = [hashes, same_vectors("user tower, ONNX", vectors, replay), _saved_model(bundle, replay)]
    for item_type in bundle.meta.targets:
        found.append(same_ranking(item_type, vectors, bundle.item_vectors[item_type], replay))
        found.append(_index(bundle, item_type, vectors[0]))
    return found


def saved_model_tower(folder: Path) -> Tower:
    """The user tower as a SavedModel; raises ImportError where there is no TensorFlow."""
    from towers.backend import tensorflow

    tf = tensorflow()
    signature: Any = tf.saved_model.load(str(folder)).signatures[SIGNATURE]
    names = signature.structured_input_signature[1]

    def run(inputs: UserInputs) -> Floats:
        feeds = {name: tf.constant(array) for name, array in inputs._asdict().items() if name in names}
        vectors: Floats = signature(**feeds)[OUTPUT].numpy()
        return vectors

    return run


def _hashes(batch: Batch) -> Proof:
    offence = ""
    try:
        Batch.open(batch.folder)
    except ArtefactError as error:
        offence = f"{error.problem}: {error.where}"
    count = f"{len(batch.manifest.files)} files"
    return proof("files", count, None, "each has the sha256 of the manifest", offence)


def _saved_model(bundle: Bundle, replay: Replay) -> Proof:
    what = "user tower, SavedModel"
    try:
        tower = saved_model_tower(bundle.batch.path(files.SAVED_MODEL_DIR))
    except ImportError:
        return Proof(what, "-", None, "TensorFlow cannot be imported here", NOT_CHECKED)
    return same_vectors(what, tower_vectors(tower, bundle.user_features, replay), replay)


def _index(bundle: Bundle, item_type: str, vectors: Floats) -> Proof:
    """The recall of those golden users, as the bundle embeds them, that the stated one is of."""
    _, queries = halves(vectors[:RECALL_USERS])
    stated = bundle.meta.indexes[item_type].recall
    what, checked = f"index of {item_type}, recall@{TUNED_FOR}", f"{len(queries)} users"
    try:
        found = Asked.of(bundle.item_vectors[item_type], queries).recall(bundle.index(item_type))
    except ArtefactError as error:
        return proof(what, checked, None, f"stated: {stated}", f"{error.problem}: {error.where}")
    offence = "" if found >= stated - _RECALL_TOLERANCE else f"recall@{TUNED_FOR} {found:.4f}"
    return proof(what, checked, found, f"stated: {stated}", offence)
