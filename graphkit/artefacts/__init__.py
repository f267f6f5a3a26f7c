"""Batches: every stage writes one folder of plain files with a manifest, atomically.

A stage's folder is ``<workspace>/<stage>/<batch_id>/``. The batch id is a fingerprint of what the batch is
made from (resolved settings, upstream batches, source files), so the same inputs give the same id and an
up-to-date stage is recognised by its name alone. ``content_hash`` is the fingerprint of what came out.

A batch is written under ``.partial-<batch_id>``, fsynced, renamed, and only then made ``current``; a kill
at any point leaves either the partial folder (removed or resumed by the next run) or a whole batch.
"""

from graphkit.artefacts.batch import Batch, Manifest
from graphkit.artefacts.disk import sha256_file
from graphkit.artefacts.spec import StageSpec
from graphkit.artefacts.work import StageWork
from graphkit.artefacts.workspace import Workspace

__all__ = ["Batch", "Manifest", "StageSpec", "StageWork", "Workspace", "sha256_file"]
