"""What the README tells people to type works as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
from click.testing import Result

README = Path(__file__).resolve().parents[1] / "README.md"


def block(language: str, contains: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    return next(text for text in blocks if contains in text)


def test_the_python_example_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block("python", "train_towers")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "hgnn-" in done.stdout


def test_the_worked_card_imports_its_logs(tmp_path: Path, graphkit: Callable[..., Result]) -> None:
    (tmp_path / "plays").mkdir()
    shows = ["a1", "a2", "p1", "p2", "p3"]
    plays = pl.DataFrame(
        [
            {"uid": f"u{u}", "show": show, "kind": "audiobook" if show[0] == "a" else "podcast",
             "played_at": 1_700_000_000_000 + (u * 3 + n * 5) * 86_400_000, "ms_played": 20_000 + 15_000 * n}
            for u in range(9) for n, show in enumerate(shows) if (u + n) % 4
        ]
    )  # fmt: skip
    plays.write_parquet(tmp_path / "plays" / "day.parquet")
    rows = [f"{show},{'audiobook' if show[0] == 'a' else 'podcast'},Name {show},crime;history" for show in shows]
    (tmp_path / "catalogue.csv").write_text("id,kind,name,topics\n" + "\n".join(rows) + "\n")
    (tmp_path / "radio.toml").write_text(block("toml", 'name = "radio"'))
    done = graphkit("import", tmp_path / "radio.toml", tmp_path, "-w", tmp_path / "ws", "--strict")
    assert done.exit_code == 0, done.output
    folder = next((tmp_path / "ws" / "dataset").glob("*/dataset.json")).parent
    kept = pl.read_parquet(folder / "interactions" / "*.parquet")
    assert kept.height == plays.filter(pl.col("ms_played") >= 30_000).height
    assert kept["seconds"].min() == 35.0
    assert pl.read_parquet(folder / "items.parquet")["genre"][0] == "crime|history"


def test_no_placeholder_is_left() -> None:
    assert re.findall(r"@[A-Z]+@|<!--|\b(?:COMMIT|UPDATE|TODO)\b", README.read_text(encoding="utf-8")) == []
