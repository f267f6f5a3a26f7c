"""The walls: who may import whom, and what the command line must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "dgl", "tensorflow", "keras", "polars", "numpy", "pydantic", "rich", "sklearn", "matplotlib"}
LEARNING = ("torch", "dgl", "tensorflow", "keras")
#: What each part of graphkit may not import, beyond towers: data flows one way.
FORBIDDEN = {
    "graphkit/datasets": ("graphkit.graph", "graphkit.hgnn", "graphkit.evaluation", "graphkit.serving"),
    "graphkit/synthetic": ("graphkit.graph", "graphkit.hgnn", "graphkit.evaluation", "graphkit.serving"),
    "graphkit/graph": (
        "torch",
        "dgl",
        "graphkit.hgnn",
        "graphkit.graph_formats",
        "graphkit.evaluation",
        "graphkit.serving",
        "graphkit.report",
    ),
    "graphkit/hgnn": (
        "polars",
        "graphkit.datasets",
        "graphkit.evaluation",
        "graphkit.serving",
        "tensorflow",
        "keras",
    ),
    "graphkit/training": (
        "polars",
        "tensorflow",
        "keras",
        "graphkit.datasets",
        "graphkit.graph",
        "graphkit.hgnn",
        "graphkit.evaluation",
        "graphkit.serving",
    ),
    "graphkit/new_items": (
        "tensorflow",
        "keras",
        "graphkit.evaluation",
        "graphkit.serving",
        "graphkit.report",
        "graphkit.synthetic",
    ),
    "graphkit/describe": (
        *LEARNING,
        "graphkit.hgnn",
        "graphkit.evaluation",
        "graphkit.serving",
        "graphkit.report",
        "graphkit.synthetic",
    ),
    "graphkit/claims": (
        *LEARNING,
        "graphkit.hgnn",
        "graphkit.serving",
        "graphkit.report",
        "graphkit.synthetic",
    ),
    "graphkit/graph_formats": ("tensorflow", "keras", "graphkit.evaluation", "graphkit.serving", "graphkit.report"),
    "graphkit/report": ("torch", "dgl", "tensorflow", "keras", "graphkit.downstream.stage", "graphkit.hgnn"),
    "graphkit/edge_weights": (
        *LEARNING,
        "graphkit.hgnn",
        "graphkit.serving",
        "graphkit.report",
        "graphkit.synthetic",
    ),
    "graphkit/downstream": (
        "dgl",
        "tensorflow",
        "keras",
        "graphkit.hgnn",
        "graphkit.serving",
        "graphkit.report",
        "graphkit.synthetic",
    ),
    "graphkit/evaluation": ("torch", "dgl", "tensorflow", "keras", "graphkit.hgnn"),
    "graphkit/indexes": (
        *LEARNING,
        "polars",
        "graphkit.datasets",
        "graphkit.graph",
        "graphkit.hgnn",
        "graphkit.evaluation",
        "graphkit.serving",
    ),
    "graphkit/serving": ("torch", "dgl", "tensorflow", "keras", "graphkit.hgnn", "graphkit.graph"),
    "graphkit/audit": (
        *LEARNING,
        "graphkit.hgnn",
        "graphkit.edge_weights",
        "graphkit.evaluation",
        "graphkit.serving",
        "graphkit.graph.build",
        "graphkit.graph.snapshots",
        "graphkit.datasets.histories",
    ),
    "graphkit/config": ("graphkit.datasets", "graphkit.graph", "graphkit.hgnn", "polars", "torch"),
    "towers": ("torch", "dgl", "graphkit.hgnn", "graphkit.evaluation", "graphkit.report"),
}
#: Folders under ``towers/encoders`` of encoders in PyTorch: one of them and nothing of Keras runs in a process.
TORCH_ENCODERS = (
    "towers/encoders/sequences",
    "towers/encoders/clue",
    "towers/encoders/shopperbert",
    "towers/encoders/scaling",
)
_NO_KERAS = ("tensorflow", "keras", "towers.backend", "towers.encoders.autoencoder", "dgl", "graphkit.hgnn")
FORBIDDEN |= dict.fromkeys(TORCH_ENCODERS, _NO_KERAS)
#: What every encoder imports: none of the frameworks.
ENCODER_CONTRACT = (
    "towers/saved_state.py",
    *(f"towers/encoders/{name}.py" for name in ("__init__", "contract", "encode", "source", "train", "users")),
)


def imported_modules(path: Path) -> set[str]:
    """Every module a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def breaks(path: Path, forbidden: tuple[str, ...]) -> set[str]:
    return {name for name in imported_modules(path) for bad in forbidden if name == bad or name.startswith(bad + ".")}


def is_torch_encoder(path: Path, folder: str) -> bool:
    """Whether ``path``, of ``folder`` at large, is of an encoder that has PyTorch to itself."""
    return folder == "towers" and any(ROOT / encoder in path.parents for encoder in TORCH_ENCODERS)


@pytest.mark.parametrize("folder", sorted(FORBIDDEN))
def test_imports_go_one_way(folder: str) -> None:
    files = sorted(path for path in (ROOT / folder).rglob("*.py") if not is_torch_encoder(path, folder))
    assert files
    wrong = {str(path.relative_to(ROOT)): found for path in files if (found := breaks(path, FORBIDDEN[folder]))}
    assert wrong == {}


def test_what_encoders_share_imports_no_framework() -> None:
    assert [name for name in ENCODER_CONTRACT if breaks(ROOT / name, (*LEARNING, "towers.backend"))] == []


def test_graphkit_never_imports_towers() -> None:
    wrong = [path for path in (ROOT / "graphkit").rglob("*.py") if breaks(path, ("towers", "cli"))]
    assert wrong == []


def test_only_the_back_end_and_the_writer_use_dgl() -> None:
    """The writer takes it from the back end, which knows how to import it."""
    files = [*(ROOT / "graphkit").rglob("*.py"), *(ROOT / "towers").rglob("*.py"), ROOT / "cli.py"]
    users = {str(p.relative_to(ROOT)) for p in files if breaks(p, ("dgl", "graphkit.hgnn.neighbours_dgl.dgl"))}
    assert users == {"graphkit/hgnn/neighbours_dgl.py", "graphkit/graph_formats/dgl.py"}


def test_the_import_check_sees_a_forbidden_import(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("def f():\n    from towers.fit import train_towers\n")
    assert breaks(path, ("towers",)) == {"towers.fit", "towers.fit.train_towers"}


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["train-hgnn", "--help"],
        ["export-graph", "--help"],
        ["describe", "--help"],
        ["recommend", "--help"],
        ["embed-new-items", "--help"],
        ["train-encoder", "--help"],
        ["evaluate-users", "--help"],
    ],
)
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    code = f"""
import sys, cli
try:
    cli.main({words!r})
except SystemExit:
    print("LOADED", sorted({HEAVY!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_every_command_shows_an_example() -> None:
    import cli

    assert [name for name, command in cli.main.commands.items() if "Example:" not in str(command.help)] == []
