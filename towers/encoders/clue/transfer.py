"""A trained CLUE or SimCLR on a dataset that it has never seen: its items are read by their texts alone.

Nothing is learned anew. What the model knows an item by is its text, in the tokens that it was trained with, and its
service's token: a service of a name that it knows has its own, any other one the mean of them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from graphkit.artefacts import Batch, StageWork
from graphkit.artefacts.batch import MANIFEST
from graphkit.config.sequence_encoders import TextSequenceSection
from graphkit.errors import InputError
from graphkit.progress import say
from towers.encoders.clue.data import read_items
from towers.encoders.clue.encoder import load_encoder, save_encoder
from towers.encoders.clue.model import Contrastive
from towers.encoders.source import Source


def carry_over(source: Source, name: str, settings: TextSequenceSection, by_service: bool, work: StageWork) -> None:
    """Write the model of the batch ``settings.pretrained`` with the items, services and users of ``source``.

    The model's own sizes hold, whatever the settings say. Raises InputError where there is no batch of the encoder,
    and ArtefactError for one that is damaged.
    """
    batch = _open(Path(str(settings.pretrained)), name)
    given = load_encoder(batch.folder)
    shape = given.model.shape.backbone
    sizes = {"max_tokens": shape.max_tokens, "max_behaviours": shape.max_behaviours}
    catalogue, layout = read_items(
        source, settings.model_copy(update=sizes), by_service, several=False, tokenizer=given.catalogue.tokenizer
    )
    old, new = tuple(given.layout.service_rows), tuple(layout.service_rows)
    save_encoder(work.folder, with_services(given.model.cpu(), old, new), catalogue, layout)
    known = [service for service in new if service in old]
    say(
        f"{name}: the model of {batch.folder}, not trained here; services it knows: "
        f"{', '.join(known) or 'none'}, {catalogue.without_text} of {len(catalogue.tokens)} items have no text"
    )
    work.metrics |= {
        "pretrained": batch.id,
        "pretrained_space": batch.manifest.space_id,
        "services": layout.service_rows,
        "services_known": known,
        "items_without_text": catalogue.without_text,
    }
    work.row_counts |= {"items": len(catalogue.tokens)}


def _open(folder: Path, name: str) -> Batch:
    batch = Batch.open(folder) if (folder / MANIFEST).is_file() else None
    if batch is None or batch.manifest.stage != name:
        raise InputError(
            f"{name}.pretrained is not a batch of {name}",
            where=str(folder),
            expected=f"the folder of a batch that `graphkit train-encoder {name}` wrote, WORKSPACE/{name}/ID",
            found="no batch" if batch is None else f"a batch of {batch.manifest.stage}",
            fix=f"see what there is with `graphkit batches -w WORKSPACE`, or train one with `train-encoder {name}`",
        )
    return batch


def with_services(model: Contrastive, old: Sequence[str], new: Sequence[str]) -> Contrastive:
    """The model with the services ``new`` in the place of ``old``: the token of an unknown one is the mean of all."""
    backbone = model.shape.backbone
    state = dict(model.state_dict())
    words, services = state["backbone.tokens.weight"].split([backbone.vocabulary, backbone.services])
    tokens = [services[old.index(name)] if name in old else services.mean(0) for name in new]
    state["backbone.tokens.weight"] = torch.cat([words, torch.stack(tokens)])
    wider = backbone.model_copy(update={"services": len(new)})
    adapted = Contrastive(model.shape.model_copy(update={"backbone": wider}))
    adapted.load_state_dict(state)
    return adapted
