"""The users table: what the card adds to it, and what of it points nowhere."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from graphkit.datasets.store import Dataset
from graphkit.errors import ConfigError, DataError
from tests.dataset_sources import CARD, import_source, write_source

USERS = """
[[users]]
files = "people.csv"
categorical = ["plan", "device"]

[[users]]
files = "more.csv"
categorical = "plan"
"""


def written(tmp_path: Path, card: str = CARD + USERS) -> Path:
    folder = write_source(tmp_path / "logs", card)
    rows = {"user_id": ["u0", "u1"], "country": ["SE", "DE"], "plan": ["paid", None], "device": [7, 8]}
    picked = pl.Series("onboarding_items", ["i1|i9|i2", "i8"])
    pl.DataFrame(rows).with_columns(picked).write_csv(folder / "people.csv")
    pl.DataFrame({"user_id": ["u2"], "plan": ["free"]}).write_csv(folder / "more.csv")
    return folder


def test_further_columns_of_the_users_are_kept_as_text(tmp_path: Path) -> None:
    dataset = Dataset.open(import_source(written(tmp_path)))
    assert dataset.meta.user_categorical == ("plan", "device")
    users = dataset.users().filter(pl.col("user_id").is_in(["u0", "u1", "u2", "u3"]))
    assert users.select("user_id", "country", "plan", "device").rows() == [
        ("u0", "SE", "paid", "7"), ("u1", "DE", None, "8"), ("u2", None, "free", None), ("u3", None, None, None)
    ]  # fmt: skip


def test_choices_that_are_in_no_catalogue_are_told(tmp_path: Path) -> None:
    batch = import_source(written(tmp_path))
    assert "2 onboarding items are in no catalogue" in batch.manifest.metrics["notes"]


def test_a_feature_that_the_source_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing column 'phone'"):
        import_source(written(tmp_path, CARD + USERS.replace('"device"', '"phone"')))


@pytest.mark.parametrize("name", ["country", "user", "a plan", "a/b"])
def test_features_that_cannot_be_called_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"leave it out|rename the column"):
        import_source(written(tmp_path, CARD + USERS.replace('"device"', f'"{name}"')))


def test_a_user_with_unknown_items_alone_stays_without_a_history(tmp_path: Path) -> None:
    folder = written(tmp_path)
    with (folder / "plays.csv").open("a") as file:
        file.write("u2x,i99,podcast,stream,1700000000,\n")
    with (folder / "more.csv").open("a") as file:
        file.write("u2x,free\n")
    batch = import_source(folder)
    dataset = Dataset.open(batch)
    (user,) = dataset.users().filter(pl.col("user_id") == "u2x")["user"]
    assert batch.manifest.metrics["rejected"] == {"unknown item": 1}
    assert dataset.interactions().filter(pl.col("user") == user).collect().is_empty()
    assert dataset.users().filter(pl.col("user") == user)["plan"].to_list() == ["free"]
