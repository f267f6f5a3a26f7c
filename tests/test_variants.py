"""Variants of what is current: which there are, what they share, when they are stale, and the ablation table."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from click.testing import Result
from conftest import TINY_RUN, graphkit_process

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import load_config
from graphkit.errors import InputError
from graphkit.evaluation.models import OURS
from graphkit.variants.overlays import BASE, BASE_LABEL, choose, read_variants
from graphkit.variants.runs import Base, VariantRun, run_inputs, trained_runs
from graphkit.variants.train import train_variants

WITH_ENCODERS = ("with-autoencoder", "with-clue", "with-simclr", "with-shopperbert", "with-all-encoders")
QUICK_ENCODER = ("autoencoder.epochs=2", "autoencoder.out_dim=12", "autoencoder.hidden=[16]")


def test_every_label_is_one_row() -> None:
    variants = read_variants()
    labels = [variant.label for variant in variants.values()]
    assert len(set(labels)) == len(labels)
    assert all(variant.label and variant.what for variant in variants.values())
    assert list(variants)[:3] == [BASE, "2t", "hgnn-w-users"]
    assert [label[:2] for label in labels if label[1:2] == ")"] == ["A)", "B)", "C)", "D)", "E)", "F)"]
    assert BASE_LABEL == OURS


def test_groups_and_misspelt_names() -> None:
    assert [variant.name for variant in choose(["baselines"])] == [BASE, "2t", "hgnn-w-users"]
    assert next(variant.name for variant in choose(["ablations", "2t"])) == BASE
    assert [variant.name for variant in choose(["encoders"])] == [BASE, *WITH_ENCODERS]
    assert list(read_variants())[-5:] == list(WITH_ENCODERS)
    ablations = [variant.name for variant in choose(["ablations"])]
    assert "no-history" in ablations
    assert not {"hgnn-w-users", *WITH_ENCODERS} & set(ablations)
    assert len(choose([])) == len(read_variants())
    with pytest.raises(InputError, match="no-text"):
        choose(["no-txt"])


def test_a_workspace_without_a_chain_has_no_variants(tmp_path: Path) -> None:
    assert trained_runs(Workspace(tmp_path)) == []
    assert run_inputs(Workspace(tmp_path)) == {}


@pytest.mark.slow
@pytest.mark.xdist_group("chain")
def test_variants_are_trained_shared_resumed_and_ranked(own_chain: Path, graphkit: Callable[..., Result]) -> None:
    workspace = Workspace(own_chain)
    names = ["2t", "hgnn-w-users", "b-no-weak-signals"]
    done = train_variants(workspace, names)
    assert [(run.variant.name, made) for run, made in done] == [(name, True) for name in names]
    two_towers, with_users, no_weak = (run for run, _ in done)

    # 2T differs in its towers alone: graph and HGNN are the base's files, linked.
    theirs, ours = (w.peek("hgnn").path("embeddings.safetensors") for w in (two_towers.workspace, workspace))
    assert os.stat(theirs).st_ino == os.stat(ours).st_ino
    assert two_towers.workspace.peek("towers").id != workspace.peek("towers").id
    # With users as nodes the network recommends by itself.
    assert not with_users.workspace.has("towers")
    assert with_users.workspace.peek("graph").manifest.settings["graph"]["kinds"] == ["listening"]
    assert (
        no_weak.workspace.peek("towers").manifest.settings["towers"]["user_inputs"]
        != (workspace.peek("towers").manifest.settings["towers"]["user_inputs"])
    )
    # A second call finds everything there.
    assert [made for _, made in train_variants(workspace, names)] == [False] * 3

    found = graphkit("ablate", *names, "-w", own_chain, "--set", "evaluation.bootstrap=50", "--json")
    assert found.exit_code == 0, found.output
    table = json.loads(found.stdout.splitlines()[-1])
    assert next(row["model"] for row in table["rows"]) == OURS
    assert {"2T", "HGNN-w-users", "B) w/o weak signals"} <= {row["model"] for row in table["rows"]}
    rows = {row["model"]: row for row in table["rows"]}
    theirs, ours = (float(rows[name]["HR@10"].split()[0]) for name in ("2T", OURS))
    apart = float(rows["2T"]["HR@10 against 2T-HGNN"].split()[0])
    assert apart == pytest.approx(theirs - ours, abs=2e-3)
    assert rows[OURS]["HR@10 against 2T-HGNN"] == "-"
    assert rows["2T-HGNN + edges"]["HR@10 against 2T-HGNN"] != "-"
    results = pl.read_parquet(workspace.current("evaluation").path("results.parquet"))
    by_model = results.filter(metric="NDCG@10", target_type="all", group="all", segment="all")
    values = dict(by_model.select("model", "value").iter_rows())
    assert len({values[name] for name in ("2T", "HGNN-w-users", "B) w/o weak signals", OURS)}) == 4


@pytest.mark.slow
@pytest.mark.xdist_group("chain")
def test_encoders_are_trained_for_the_towers_and_taken_over(own_chain: Path, graphkit: Callable[..., Result]) -> None:
    workspace = Workspace(own_chain)
    sets = [word for word in TINY_RUN if word not in ("run", "--sample")]
    sets += [word for key in QUICK_ENCODER for word in ("--set", key)]
    made = graphkit_process("train-encoder", "autoencoder", "-w", own_chain, *sets)
    assert made.returncode == 0, made.stderr
    ((run, fresh),) = train_variants(workspace, ["with-autoencoder"])
    assert fresh
    # The workspace's own encoder is of this seed: its files are linked, and the towers read it.
    theirs, ours = (w.peek("autoencoder").path("user_vectors.safetensors") for w in (run.workspace, workspace))
    assert os.stat(theirs).st_ino == os.stat(ours).st_ino
    towers = run.workspace.peek("towers").manifest
    assert towers.settings["towers"]["user_vectors"] == ["autoencoder"]
    assert towers.upstream["autoencoder"] == workspace.peek("autoencoder").id
    assert [fresh for _, fresh in train_variants(workspace, ["with-autoencoder"])] == [False]

    # Another seed has an encoder of its own, with the same settings.
    other = next(run for run, _ in train_variants(workspace, ["with-autoencoder"], seeds=2) if run.seed == 1)
    encoder = other.workspace.peek("autoencoder").manifest
    assert (encoder.seed, encoder.settings["autoencoder"]["out_dim"]) == (1, 12)
    assert other.workspace.peek("towers").manifest.upstream["autoencoder"] == encoder.batch_id

    found = graphkit("ablate", "with-autoencoder", "-w", own_chain, "--set", "evaluation.bootstrap=50", "--json")
    assert found.exit_code == 0, found.output
    (row,) = [row for row in json.loads(found.stdout.splitlines()[-1])["rows"] if row["model"] == "with autoencoder"]
    assert row["seeds"] == 2
    comparisons = pl.read_parquet(workspace.current("evaluation").path("comparisons.parquet"))
    for group, column in (("warm", "HR@10 against 2T-HGNN"), ("cold", "the same, cold users")):
        place = {"target_type": "audiobook", "group": group, "metric": "HR@10"}
        paired = comparisons.filter(model=OURS, peer="with autoencoder", **place)["value"].item()
        assert float(row[column].split()[0]) == pytest.approx(-paired, abs=1e-4)

    # Once the workspace's encoder is made of other settings, this is no variant of it.
    again = graphkit_process("train-encoder", "autoencoder", "-w", own_chain, *sets, "--set", "autoencoder.epochs=1")
    assert again.returncode == 0, again.stderr
    assert trained_runs(workspace) == []


@pytest.mark.slow
@pytest.mark.xdist_group("chain")
def test_another_seed_is_another_run_of_the_same_row(own_chain: Path, graphkit: Callable[..., Result]) -> None:
    workspace = Workspace(own_chain)
    done = train_variants(workspace, [BASE], seeds=2)
    assert [(run.seed, run.is_base, made) for run, made in done] == [(0, True, False), (1, False, True)]
    found = graphkit("evaluate", "-w", own_chain, "--set", "evaluation.bootstrap=50", "--json")
    assert found.exit_code == 0, found.output
    results = pl.read_parquet(workspace.current("evaluation").path("results.parquet"))
    seeds = dict(results.filter(metric="HR@10").select("model", "num_seeds").unique().iter_rows())
    assert (seeds[OURS], seeds["HGNN"], seeds["Popularity"]) == (2, 2, 1)
    ours = results.filter(model=OURS, metric="NDCG@10", segment="all", group="all", target_type="all")
    assert ours["spread"].item() > 0
    # Its mean is that of the two runs, each ranked alone.
    assert run_inputs(workspace) == {f"{BASE}/seed-1": done[1][0].workspace.peek("towers").content_hash}
    # Once the base is made of other settings, the run is no variant of it.
    changed = graphkit("train-towers", "-w", own_chain, "--preset", "demo", "--set", "towers.epochs=1")
    assert changed.exit_code == 0, changed.output
    assert trained_runs(workspace) == []


def test_the_plan_writes_nothing(own_chain: Path, graphkit: Callable[..., Result]) -> None:
    found = graphkit("ablate", "baselines", "--seeds", "2", "--dry-run", "-w", own_chain, "--json")
    assert found.exit_code == 0, found.output
    states = {(row["variant"], row["seed"]): row["state"] for row in json.loads(found.output)}
    assert states[BASE, 0] == "up to date"
    assert set(states.values()) == {"up to date", "to do"}
    assert len(states) == 6
    assert not (own_chain / "variants").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [(("2tt",), "no variant '2tt'"), (("--seeds", "0"), "--seeds asks for no training")],
)
def test_what_cannot_be_asked_for(
    own_chain: Path, graphkit: Callable[..., Result], words: tuple[str, ...], said: str
) -> None:
    found = graphkit("ablate", *words, "-w", own_chain)
    assert found.exit_code == 2
    assert said in found.output


def test_a_workspace_without_towers_says_what_comes_first(tmp_path: Path, graphkit: Callable[..., Result]) -> None:
    assert graphkit("sample", "--size", "tiny", "-w", tmp_path).exit_code == 0
    found = graphkit("ablate", "2t", "-w", tmp_path)
    assert found.exit_code == 2
    assert "build-graph" in found.output


def test_the_base_is_read_off_the_manifests(own_chain: Path) -> None:
    base = Base(Workspace(own_chain))
    assert base.config.hgnn.epochs == 3
    run = VariantRun(base, read_variants()["2t"], 5)
    assert run.config.run.seed == 5
    assert run.config.hgnn == base.config.hgnn
    assert run.workspace.root == own_chain / "variants" / "2t" / "seed-5"


def test_an_encoder_nobody_has_trained_is_set_as_the_card_says(own_chain: Path) -> None:
    """An encoder that was made from another dataset counts for nothing."""
    workspace = Workspace(own_chain)
    dataset = workspace.peek("dataset")
    meta = json.loads(dataset.path("dataset.json").read_text())
    dataset.path("dataset.json").write_text(json.dumps(meta | {"config": {"clue": {"epochs": 3}}}))
    assert Base(workspace).config.clue.epochs == 3

    def trained(epochs: int, *upstream: Batch) -> None:
        config = load_config("default", [f"clue.epochs={epochs}"])
        with workspace.begin(StageSpec.of("clue", config, upstream)) as work:
            work.commit()

    trained(5, dataset)
    assert Base(workspace).config.clue.epochs == 5
    another = dataset.manifest.model_copy(update={"batch_id": "another"})
    trained(6, dataclasses.replace(dataset, manifest=another))
    assert Base(workspace).config.clue.epochs == 3
