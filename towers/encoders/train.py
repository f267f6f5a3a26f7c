"""``graphkit train-encoder``: train one encoder, then write every user's vectors as of each moment.

Files: the model's own, ``encoder.json`` and ``items.parquet`` (the ids it knows), ``user_vectors.safetensors``
(``graphkit.user_vectors``) and ``user_vectors.parquet`` (``user_id``, ``vector``: as of the cut-off).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from graphkit import schemas
from graphkit.artefacts import Batch, StageSpec, StageWork, Workspace, sha256_file
from graphkit.artefacts.disk import fingerprint
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.progress import track
from graphkit.stages import TOGETHER
from graphkit.user_vectors import UserVectors, save_user_vectors
from graphkit.vectors import USER_VECTORS_FILE
from towers.encoders import encoder_module
from towers.encoders.contract import Encoder, Floats
from towers.encoders.encode import About, save_about, vectors_table
from towers.encoders.source import BLOCK_USERS, Moment, Source

VECTORS_TABLE = "user_vectors.parquet"


def train_encoder(workspace: Workspace, config: Config, name: str) -> Batch:
    """Train the user encoder ``name`` on what came before the label period and encode every user (stage ``name``).

    Raises ArtefactError where a batch it reads is missing or does not belong with the others, and InputError for a
    dataset it can learn nothing from. Called by every process that ``torch.distributed.run`` starts, the encoders of
    ``stages.TOGETHER`` train one model together and give each the same batch.
    """
    upstream = workspace.upstream(name)
    source = Source(Dataset.open(upstream["dataset"]), upstream)
    if name in TOGETHER and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from towers.encoders.sequences.together import train_together

        return train_together(
            encoder_module(name), source, config, name, lambda: _train(workspace, config, name, source)
        )
    return _train(workspace, config, name, source)


def _train(workspace: Workspace, config: Config, name: str, source: Source) -> Batch:
    spec = StageSpec.of(name, config, source.upstream.values())
    if (done := workspace.finished(spec)) is not None:
        return done
    with workspace.begin(spec) as work:
        module = encoder_module(name)
        module.fit(source, config, work)
        work.space_id = f"{name}-{_space(work.folder)}"
        save_about(work, About.of(name, source.dataset.meta), source.catalogue)
        _write_vectors(work, source, name, module.load(work.folder), config.sign_up.hours)
        meta = source.dataset.meta
        work.data_window = {
            "label_start": meta.label_start.isoformat() if meta.label_start else None,
            "cutoff": meta.cutoff.isoformat() if meta.cutoff else None,
        }
        return work.commit()


def _space(folder: Path) -> str:
    """What decides the vectors' space: every tensor of the model."""
    return fingerprint({path.name: sha256_file(path) for path in sorted(folder.glob("*.safetensors"))})[:12]


def _write_vectors(work: StageWork, source: Source, name: str, encoder: Encoder, sign_up_hours: float) -> None:
    *fit, serve = (_encoded(source, moment, encoder, name) for moment in source.moments)
    sign_up = _encoded_sign_ups(source, encoder, sign_up_hours)
    save_user_vectors(work.path(USER_VECTORS_FILE), UserVectors(name, tuple(fit), serve, sign_up))
    vectors_table(source.dataset.users()[schemas.USER_ID], serve).write_parquet(work.path(VECTORS_TABLE))
    work.row_counts |= {"users": len(serve), "users nothing is known of": int((~serve.any(axis=1)).sum())}


def _encoded(source: Source, moment: Moment, encoder: Encoder, name: str) -> Floats:
    """Every user's vector as of the moment: float32 [num_users, dim]."""
    count = source.dataset.meta.num_users
    blocks: Iterable[Floats] = (encoder.encode(users) for users in source.blocks(moment))
    out = np.zeros((count, encoder.dim), np.float32)
    for place, block in enumerate(track(blocks, f"{name} {moment.name}", -(-count // BLOCK_USERS))):
        out[place * BLOCK_USERS : place * BLOCK_USERS + len(block)] = block
    return out


def _encoded_sign_ups(source: Source, encoder: Encoder, hours: float) -> Floats | None:
    """New users' vectors as of ``hours`` after registering: float32 [num_users, dim]; None without new users."""
    out = np.zeros((source.dataset.meta.num_users, encoder.dim), np.float32)
    blocks = [(numbers, encoder.encode(users)) for numbers, users in source.new_users(hours)]
    for numbers, vectors in blocks:
        out[numbers] = vectors
    return out if blocks else None
