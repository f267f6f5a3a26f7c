"""A trained CLUE or SimCLR taken to another dataset: the same texts give the same vectors, a new service a token."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import towers_world as world
from click.testing import Result

from graphkit.artefacts import Batch, Workspace, sha256_file
from graphkit.config import Config, load_config
from graphkit.errors import ArtefactError, InputError
from graphkit.user_vectors import load_user_vectors
from towers import train_encoder
from towers.encoders.clue.encoder import load_encoder
from towers.encoders.clue.transfer import with_services

NAMES = ("clue", "simclr")
EVERY = pytest.mark.parametrize("name", NAMES)


def config_of(name: str, *overrides: str) -> Config:
    quick = ("dim=8", "heads=2", "layers=1", "batch_size=16", "epochs=2", "max_behaviours=12", "max_tokens=9")
    return load_config("default", ["run.threads=1", *(f"{name}.{text}" for text in (*quick, *overrides))])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Batch]:
    made: dict[str, Batch] = {}

    def get(name: str) -> Batch:
        if name not in made:
            made[name] = train_encoder(world.make_world(tmp_path_factory.mktemp(name)), config_of(name), name)
        return made[name]

    return get


def serve(batch: Batch, name: str, timed: bool = True) -> Any:
    return load_user_vectors(batch.path("user_vectors.safetensors"), name, world.NUM_USERS, timed).serve


@EVERY
def test_on_its_own_dataset_it_gives_its_own_vectors(trained: Any, name: str, tmp_path: Path) -> None:
    """Whatever sizes and tokens the settings ask for: those of the model hold."""
    own = trained(name)
    other = ("dim=16", "max_behaviours=5", "max_tokens=4", "vocabulary=300", f"pretrained={own.folder}")
    carried = train_encoder(world.make_world(tmp_path), config_of(name, *other), name)
    np.testing.assert_array_equal(serve(carried, name), serve(own, name))
    assert carried.id != own.id
    assert carried.manifest.metrics["pretrained"] == own.id
    assert carried.manifest.metrics["services_known"] == list(world.ITEMS)


@EVERY
def test_another_dataset_is_read_by_its_texts(trained: Any, name: str, tmp_path: Path) -> None:
    """Films have the texts of podcasts, and no model has heard of films: who met which text is all that counts."""
    own = trained(name)
    vectors = {}
    for place, kind in (("podcast", "podcast"), ("film", "film")):
        root = tmp_path / place
        workspace = world.make_world(root)
        dataset = workspace.current("dataset").folder
        for path in (dataset / "items.parquet", *sorted(dataset.glob("interactions/*.parquet"))):
            table = pl.read_parquet(path).with_columns(pl.col("item_type").replace("podcast", kind))
            table.write_parquet(path)
        rename_type(dataset, kind)
        batch = train_encoder(Workspace(root), config_of(name, f"pretrained={own.folder}"), name)
        vectors[kind] = serve(batch, name)
        known = ["audiobook"] if kind == "film" else ["audiobook", "podcast"]
        assert batch.manifest.metrics["services_known"] == known
    assert np.isfinite(vectors["film"]).all()
    if name == "clue":  # the first eight are of audiobooks, a service that both know
        np.testing.assert_allclose(vectors["film"][:, :8], vectors["podcast"][:, :8], atol=1e-6)
    assert not np.allclose(vectors["film"], vectors["podcast"])  # the service's token is another
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(vectors["film"][1:], vectors["podcast"][1:], strict=True)]
    assert np.median(alike) > 0.8


def rename_type(dataset: Path, kind: str) -> None:
    """Let the dataset's own files, and their hashes, know of the type's new name."""
    meta = dataset / "dataset.json"
    meta.write_text(meta.read_text().replace('"podcast"', f'"{kind}"'))
    manifest = dataset / "manifest.json"
    body = json.loads(manifest.read_text())
    body["files"] = {file: sha256_file(dataset / file) for file in body["files"]}
    manifest.write_text(json.dumps(body))


def test_a_new_service_has_the_mean_token_and_a_known_one_its_own(trained: Any) -> None:
    model = load_encoder(trained("clue").folder).model
    vocabulary = model.shape.backbone.vocabulary
    before = model.state_dict()["backbone.tokens.weight"]
    adapted = with_services(model, ("audiobook", "podcast"), ("film", "podcast", "song"))
    after = adapted.state_dict()["backbone.tokens.weight"]
    assert torch.equal(after[:vocabulary], before[:vocabulary])
    mean = before[vocabulary:].mean(0)
    for row, expected in zip(after[vocabulary:], (mean, before[vocabulary + 1], mean), strict=True):
        assert torch.equal(row, expected)
    for key, value in model.state_dict().items():
        if key != "backbone.tokens.weight":
            assert torch.equal(adapted.state_dict()[key], value)


def test_what_is_no_such_batch_is_refused(trained: Any, tmp_path: Path) -> None:
    workspace = world.make_world(tmp_path)
    with pytest.raises(InputError, match=r"clue\.pretrained is not a batch of clue"):
        train_encoder(workspace, config_of("clue", f"pretrained={trained('simclr').folder}"), "clue")
    with pytest.raises(InputError, match="no batch"):
        train_encoder(workspace, config_of("clue", f"pretrained={tmp_path / 'nothing'}"), "clue")
    damaged = shutil.copytree(trained("clue").folder, tmp_path / "damaged")
    (damaged / "tokenizer.json").write_text("{}")
    with pytest.raises(ArtefactError, match="tokenizer"):
        train_encoder(workspace, config_of("clue", f"pretrained={damaged}"), "clue")


def test_the_command_takes_it(trained: Any, tmp_path: Path, graphkit: Callable[..., Result]) -> None:
    world.make_world(tmp_path)
    words = ("train-encoder", "clue", "-w", tmp_path, "--set", f"clue.pretrained={trained('clue').folder}", "--json")
    done = graphkit(*words)
    assert done.exit_code == 0, done.output
    assert "not trained here" in done.stderr
    assert json.loads(done.stdout)["metrics"]["pretrained"] == trained("clue").id
    assert "up to date" in graphkit(*words[:-1]).output
