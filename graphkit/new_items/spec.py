"""What a batch of new items is made from, known before anything heavy is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from graphkit.artefacts import Batch, StageSpec, Workspace, sha256_file
from graphkit.config import Config
from graphkit.datasets.files import one_file

STAGE: Final = "new-items"


class Upstream(NamedTuple):
    """The current batches that new items are embedded with; they belong together."""

    dataset: Batch
    graph: Batch
    hgnn: Batch

    @classmethod
    def of(cls, workspace: Workspace) -> Upstream:
        """Raises ArtefactError where one is missing, damaged, or made from another batch than the current one."""
        return cls(**workspace.upstream(STAGE))

    @property
    def config(self) -> Config:
        """The settings that count: the HGNN's own and the graph's ``text``, whatever is set today."""
        hgnn, graph = self.hgnn.manifest.settings, self.graph.manifest.settings
        return Config.model_validate({"run": hgnn["run"], "hgnn": hgnn["hgnn"], "text": graph["text"]})


def new_items_spec(upstream: Upstream, items: Path, edges: Path | None = None, strict: bool = False) -> StageSpec:
    """The spec of the batch that embeds the files ``items`` and ``edges``; raises DataError for one that is not
    there or of no known format."""
    given = {"items": items} | ({"edges": edges} if edges is not None else {})
    hashes = {name: sha256_file(one_file(path).path) for name, path in given.items()}
    return StageSpec.of(STAGE, upstream.config, upstream, {**hashes, "strict": str(strict)})
