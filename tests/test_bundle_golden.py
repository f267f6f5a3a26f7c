"""What one small bundle gave when this was written: ranking, scores, reasons and replay do not change by accident."""

from __future__ import annotations

import pytest
from safetensors.numpy import load_file
from tiny_towers import exported_workspace

from graphkit import Bundle

#: (user, type): source, then of the first three items id, score, and the reasons' items with their weights.
LISTS = {
    ("u17", "audiobook"): (
        "towers and edges",
        [
            ("a20", 3.5069, [("t12", 0.0401), ("t17", 0.0355), ("t13", 0.0196)]),
            ("a04", 3.3086, [("a32", 0.0857), ("p04", 0.045), ("t02", 0.0445)]),
            ("a38", 2.8837, [("a32", 0.0471), ("t02", 0.0362), ("t13", 0.035)]),
        ],
    ),
    ("u30", "podcast"): (
        "towers and edges",
        [
            ("p18", 3.3693, [("t04", 0.0695), ("t18", 0.0486), ("t02", 0.0437)]),
            ("p27", 2.5226, [("t15", 0.1156), ("t04", 0.0789), ("a21", 0.0313)]),
            ("p05", 2.3708, [("p21", 0.0482), ("t02", 0.0478), ("t08", 0.0386)]),
        ],
    ),
    ("u1", "podcast"): ("towers", [("p28", 2.191, []), ("p27", 1.9747, []), ("p10", 1.7313, [])]),
    ("stranger", "audiobook"): ("popularity", [("a23", 8, []), ("a17", 7, []), ("a16", 6, [])]),
}
SIMILAR = [("t10", 0.5293), ("t13", 0.4943), ("t06", 0.4688)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(exported_workspace(tmp_path_factory.mktemp("golden")).current("bundle").folder)


@pytest.mark.parametrize(("user_id", "item_type"), LISTS)
def test_lists_and_reasons(bundle: Bundle, user_id: str, item_type: str) -> None:
    source, expected = LISTS[user_id, item_type]
    found = bundle.recommend(user_id, item_type, k=3, why=True)
    assert found.source == source
    for row, (item_id, score, reasons) in zip(found.rows, expected, strict=True):
        assert (row["item_id"], row["score"]) == (item_id, pytest.approx(score, abs=2e-3))
        weighed = [(reason["item_id"], reason["weight"]) for reason in row["why"]]
        assert weighed == [(reason, pytest.approx(weight, abs=2e-4)) for reason, weight in reasons]


def test_similar_items(bundle: Bundle) -> None:
    found = [(row["item_id"], row["score"]) for row in bundle.similar("p05", within="track", k=3).rows]
    assert found == [(item_id, pytest.approx(cosine, abs=1e-3)) for item_id, cosine in SIMILAR]


def test_replay(bundle: Bundle) -> None:
    replay = load_file(bundle.batch.path("replay.safetensors"))
    assert replay["users"][:5].tolist() == [12, 33, 34, 30, 44]
    assert replay["vectors/nothing known"][0, :4] == pytest.approx([0.3614, 0.0707, -0.1997, 0.1874], abs=1e-3)
    assert replay["top/podcast/as is"][0, :5].tolist() == [10, 28, 14, 27, 1]
