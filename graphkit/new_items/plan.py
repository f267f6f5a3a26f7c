"""What embedding new items would read and write, without doing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graphkit import schemas
from graphkit.artefacts import Workspace
from graphkit.graph.build import TEXT_CACHE
from graphkit.new_items.read import read_new_items
from graphkit.new_items.spec import STAGE, Upstream, new_items_spec
from graphkit.new_items.stage import known_items
from graphkit.text import item_texts
from graphkit.text_encoder import uncached_texts


def plan_new_items(
    workspace: Workspace, items: Path, edges: Path | None = None, strict: bool = False
) -> dict[str, Any]:
    """A dry run: the batch and its state, what reading the files gives, and what the last batch cost.

    Raises as ``embed_new_items`` does.
    """
    upstream = Upstream.of(workspace)
    spec = new_items_spec(upstream, items, edges, strict)
    new = read_new_items(items, edges, known_items(upstream), strict)
    there = (workspace.stage_dir(STAGE) / spec.batch_id).is_dir()
    last = workspace.peek(STAGE).manifest if workspace.has(STAGE) else None
    texts = uncached_texts(item_texts(new.items), upstream.config.text, workspace.root / TEXT_CACHE)
    return {
        "stage": STAGE,
        "reads": ", ".join(batch.manifest.stage for batch in upstream),
        "writes": f"{STAGE}/{spec.batch_id}",
        "state": "up to date" if there else "to do",
        "items": {t: int(n) for t, n in sorted(new.items[schemas.ITEM_TYPE].value_counts().rows())},
        "edges": new.edges.height,
        "rejected": new.rejects.counts(),
        "texts to encode": texts,
        "last seconds": last.wall_seconds if last else None,
        "last peak MiB": round(last.peak_memory_bytes / 2**20) if last else None,
    }
