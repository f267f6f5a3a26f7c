"""Sentence-BERT vectors of item texts (paper 4.1.1), the same bytes whatever else is encoded with them.

The low bits of a float32 matrix product depend on the shape of the batch. A text is therefore always encoded
in a batch of one shape, which its own number of tokens decides: only texts of equally many tokens meet, no
padding tokens are added, and the last batch is filled up with repeats. So a vector from the cache equals the
one a fresh run would compute.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from graphkit.config.sections import TextSection
from graphkit.errors import InputError
from graphkit.parallel import map_in_order
from graphkit.processor import has_bfloat16
from graphkit.progress import track
from graphkit.text import BUNDLED_MODEL, DEFAULT_DIM, NO_MODEL, check_text_model, local_model, model_identity
from graphkit.text_cache import add_to_cache, read_cache, text_key

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Floats = npt.NDArray[np.float32]

#: Tokens in a batch, about: larger ones are up to 20 % faster, but waste more on the repeats.
TOKENS_PER_BATCH: Final = 256
#: Seen: what the text model takes with its library, and one text's vector on its way into the graph.
ENCODER_BYTES: Final = 600 * 2**20
BYTES_PER_TEXT: Final = 6_000
#: Encoded texts are written to the cache this many at a time, so a kill costs at most these.
TEXTS_PER_PART: Final = 4096


def encode_texts(texts: Sequence[str | None], settings: TextSection, cache: Path, threads: int) -> Floats:
    """Unit vectors float32 [len(texts), dim] of ``texts``; zero rows for None and the empty text.

    What is in the folder ``cache`` is not encoded again, and what is new is added. Raises InputError where
    the model cannot be had.
    """
    distinct = {text_key(text): text for text in texts if text}
    folder = cache / _cache_name(settings)
    known = read_cache(folder) if distinct else {}
    missing = sorted(text for key, text in distinct.items() if key not in known)
    if missing:
        for part, vectors in TextEncoder.load(settings, threads).encode(missing):
            add_to_cache(folder, part, vectors)
            known |= zip(map(text_key, part), vectors, strict=True)
    dim = len(next(iter(known.values()))) if known else DEFAULT_DIM
    rows = np.zeros((len(texts), dim), np.float32)
    for row, text in enumerate(texts):
        if text:
            rows[row] = known[text_key(text)]
    return rows


def uncached_texts(texts: Sequence[str | None], settings: TextSection, cache: Path) -> int:
    """How many distinct texts a build would have to encode."""
    if settings.model == NO_MODEL:
        return 0
    known = read_cache(cache / _cache_name(settings))
    return sum(key not in known for key in {text_key(text) for text in texts if text})


def precision(settings: TextSection) -> str:
    """``float32`` or ``bfloat16``: where it is ``auto``, bfloat16 for the bundled model on a CPU made for it."""
    if settings.precision != "auto":
        return settings.precision
    return "bfloat16" if settings.model == BUNDLED_MODEL and has_bfloat16() else "float32"


def _cache_name(settings: TextSection) -> str:
    """A folder name per way to encode: whatever changes a vector is in it."""
    parts = (model_identity(settings.model), settings.max_tokens, settings.batch_size, precision(settings))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class TextEncoder:
    """A loaded sentence-transformers model on the CPU."""

    model: SentenceTransformer
    batch_size: int
    threads: int

    @classmethod
    def load(cls, settings: TextSection, threads: int) -> TextEncoder:
        """The model that ``settings`` names; raises InputError, with what to do, where there is none."""
        import torch
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        model = _load_model(settings.model).eval()
        model.max_seq_length = min(settings.max_tokens, model.max_seq_length or settings.max_tokens)
        if precision(settings) == "bfloat16":
            model[0].to(torch.bfloat16)
            model[0].register_forward_hook(_pool_in_float32)
        return cls(model, settings.batch_size, threads)

    def encode(self, texts: Sequence[str]) -> Iterator[tuple[list[str], Floats]]:
        """Yield texts (in an order of its own) with their unit vectors [n, dim], some thousands at a time.

        Batches are small, so each thread takes whole ones instead of a share of every matrix product. That
        is faster, and the bytes are the same for any number of threads.
        """
        tokens = self._tokenise(texts)
        batches = list(self._batches([len(row) for row in tokens["input_ids"]]))
        done: list[str] = []
        vectors: list[Floats] = []
        with _one_thread_an_operation():
            found = map_in_order(lambda batch: self._forward(tokens, batch), batches, self.threads)
            for batch, rows in track(zip(batches, found, strict=True), "encoding item texts", total=len(batches)):
                done += [texts[i] for i in batch.members]
                vectors.append(rows)
                if len(done) >= TEXTS_PER_PART:
                    yield done, np.concatenate(vectors)
                    done, vectors = [], []
        if done:
            yield done, np.concatenate(vectors)

    def _tokenise(self, texts: Sequence[str]) -> Mapping[str, list[list[int]]]:
        prompt = self.model.prompts.get(self.model.default_prompt_name or "") or ""
        tokens: Mapping[str, list[list[int]]] = self.model.tokenizer(
            [prompt + text for text in texts], truncation=True, max_length=self.model.max_seq_length
        )
        return tokens

    def _batches(self, token_counts: Sequence[int]) -> Iterator[TextBatch]:
        counts = np.array(token_counts)
        for count in np.unique(counts).tolist():
            rows = max(1, min(self.batch_size, TOKENS_PER_BATCH // count))
            same = np.flatnonzero(counts == count).tolist()
            yield from (TextBatch(same[start : start + rows], rows) for start in range(0, len(same), rows))

    def _forward(self, tokens: Mapping[str, list[list[int]]], batch: TextBatch) -> Floats:
        import torch

        filled = [batch.members[i % len(batch.members)] for i in range(batch.rows)]
        with torch.inference_mode():
            features = {name: torch.tensor([rows[i] for i in filled]) for name, rows in tokens.items()}
            vectors = self.model(features)["sentence_embedding"].float()  # [rows, dim]
            unit: Floats = torch.nn.functional.normalize(vectors, dim=1).numpy()
        return unit[: len(batch.members)]


@dataclass(frozen=True)
class TextBatch:
    """Texts of equally many tokens, by their place, and the rows their batch is filled up to."""

    members: list[int]
    rows: int


def _load_model(name: str) -> SentenceTransformer:
    check_text_model(name)
    folder = local_model(name)
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(str(folder or name), device="cpu", local_files_only=folder is not None)
    except Exception as error:  # the hub, the network and every model class raise their own kinds
        raise InputError(
            "the text model cannot be loaded",
            where=f"text.model = {name!r}",
            found=(str(error).strip().splitlines() or [type(error).__name__])[0],
            fix=f"check the name and the network, or set text.model to {BUNDLED_MODEL} or to a model's folder",
        ) from error
    if not callable(model.tokenizer):
        raise InputError("the text model is no transformer", where=f"text.model = {name!r}", fix="name another one")
    return model


@contextlib.contextmanager
def _one_thread_an_operation() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pool_in_float32(_module: Any, _inputs: Any, features: dict[str, Any]) -> dict[str, Any]:
    """Only the transformer's matrix products are worth bfloat16; the mean over tokens is not."""
    return {**features, "token_embeddings": features["token_embeddings"].float()}
