"""The list of claims: it is valid, names what there is, and nothing unknown passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from results_world import EVERY_MODEL

from graphkit.claims.claim import MetricMeasure, ObservationMeasure, UsersMeasure, compared, read_claims
from graphkit.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
METRIC = 'measure = { kind = "metric", model = "2T", claimed = "above", peers = ["2T-HGNN"], metric = "HR@10" }'
USERS = 'measure = { kind = "users", task = "next-item", metric = "MRR", model = "CLUE", claimed = "above", %s }'
USERS %= 'peers = ["NMF"]'
GAIN = 'measure = { kind = "gain", model = "2T", peer = "2T-HGNN", metric = "HR@10", more = "cold", less = "warm" }'
MODELS = """
[rows]
"CLUE" = { names = ["clue"], made_by = "graphkit evaluate-users" }
"NMF" = { names = ["NMF"], made_by = "graphkit evaluate-users" }
[models]
"2T" = { names = ["2T"], made_by = "graphkit ablate" }
"2T-HGNN" = { names = ["2T-HGNN"], made_by = "graphkit evaluate" }
"""


def claim(body: str, name: str = "one") -> str:
    return f'[[claim]]\nid = "{name}"\nwhere = "Table 9"\nstatement = "It is so"\npaper = "1 against 2"\n{body}\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "claims.toml"
    path.write_text(text)
    return path


def test_the_bundled_list_is_valid_and_covers_the_paper() -> None:
    claims = read_claims().claim
    ids = [one.id for one in claims]
    assert len(ids) == len(set(ids))
    places = " ".join(one.where for one in claims)
    tables = [*(f"Table 1 {letter}" for letter in "ABCDEF"), *(f"Table {number}" for number in (2, 3, 4, 5))]
    for part in ("observation 1", "observation 4", "long tail", *tables):
        assert part in places
    kinds = {one.measure.kind for one in claims}
    assert kinds == {"metric", "gain", "users", "scaling", "observation", "sampler_time", "none"}
    for part in (
        "Generalized User Representations, Table 1",
        "Tables 1 and 2",
        "CLUE, Table 3",
        "ShopperBERT, Table 6",
    ):
        assert part in places


def test_its_models_are_those_of_the_result_table() -> None:
    listed = read_claims()
    assert {name for known in listed.models.values() for name in known.names} <= set(EVERY_MODEL)
    used = {n for c in listed.claim if not isinstance(c.measure, UsersMeasure) for n in compared(c.measure)}
    assert used == set(listed.models)


def test_variants_have_the_label_and_the_name_that_make_them() -> None:
    """The first line of a variant's file is its label in the table."""
    for known in read_claims().models.values():
        command, variant = known.made_by.split()[1], known.made_by.split()[-1]
        if command == "ablate":
            first = (ROOT / "configs" / "variants" / f"{variant}.toml").read_text(encoding="utf-8").splitlines()[0]
            assert first.startswith(f"# {known.names[0]}: ")


def test_what_the_generator_plants_is_marked() -> None:
    planted = {one.id: one.planted for one in read_claims().claim}
    observations = [one.id for one in read_claims().claim if isinstance(one.measure, ObservationMeasure)]
    assert len(observations) == 8
    assert all(planted[name] for name in [*observations, "table-2-over-2t-hr", "table-1-d-hr", "table-1-f-hr"])
    assert not any(planted[name] for name in ("sampler-time", "table-1-a-hr", "table-2-hgnn-mrr"))
    coverage = [one for one in read_claims().claim if getattr(one.measure, "metric", "") == "Coverage@100"]
    assert coverage
    assert not any(one.planted for one in coverage)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MODELS + claim(METRIC.replace("claimed", "margins = 1, claimed")), "Extra inputs are not permitted"),
        (MODELS + claim(METRIC).replace("where", "place"), "Field required"),
        (MODELS + claim(METRIC.replace('"2T"', '"2TT"')), "did you mean '2T'"),
        (MODELS + claim(METRIC.replace("HR@10", "HR@11")), "HR@11"),
        (MODELS + claim(METRIC.replace("above", "on par")), "margin belongs to"),
        (MODELS + claim(METRIC.replace('claimed = "above"', 'claimed = "above", margin = 0.1')), "margin belongs to"),
        (MODELS + claim(METRIC) + claim(METRIC), "share an id: one"),
        (MODELS + claim('measure = { kind = "oracle" }'), "oracle"),
        (MODELS + claim(USERS.replace('"NMF"', '"NMFF"')), "did you mean 'NMF'"),
        (MODELS + claim(USERS.replace("next-item", "next-song")), "there is no task 'next-song'"),
        (MODELS + claim(USERS.replace("task", 'group = "cold", beyond = "cold", task')), "beyond holds cold"),
        (MODELS + claim(GAIN.replace('"2T-HGNN"', '"3T"')), "no model '3T'"),
        (MODELS + claim('measure = { kind = "scaling", part = "intercept" }'), "intercept"),
        (MODELS + claim("measure = {"), "not valid TOML"),
    ],
)
def test_a_list_that_is_wrong_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_claims(write(tmp_path, text))
    assert says in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_right_one_is_read(tmp_path: Path) -> None:
    claims = read_claims(write(tmp_path, MODELS + claim(METRIC)))
    assert claims.claim[0].planted is False
    measure = claims.claim[0].measure
    assert isinstance(measure, MetricMeasure)
    assert (measure.target, measure.group, measure.segment) == ("sparse", "warm", "all")


@pytest.mark.parametrize(
    ("claimed", "region"),
    [
        ("above", (1, float("inf"))),
        ("below", (float("-inf"), 1)),
        ("on par", (0.9, 1.1)),
        ("not below", (0.9, float("inf"))),
    ],
)
def test_where_a_claim_is_true(claimed: str, region: tuple[float, float]) -> None:
    margin = {"margin": 0.1} if claimed in ("on par", "not below") else {}
    measure = MetricMeasure.model_validate(
        {"kind": "metric", "model": "2T", "claimed": claimed, "peers": ["HGNN"], "metric": "HR@10", **margin}
    )
    assert measure.region == pytest.approx(region)
