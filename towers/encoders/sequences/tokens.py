"""Item texts as tokens: byte-level BPE learned from the catalogue (section 3.1 of CLUE)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

# Threads of the tokenizer beside those of torch gain nothing, and its fork warning is noise.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

#: Fills what is left of an item's tokens.
PAD: Final = 0
_PAD_TOKEN: Final = "<pad>"
_SEPARATOR: Final = ". "

Tokens = npt.NDArray[np.int32]


def texts_of(items: pl.DataFrame, columns: Sequence[str]) -> list[str]:
    """The named text columns of each row joined by ``. ``; empty where an item has none of them."""
    parts = [
        pl.when(pl.col(name).cast(pl.String).str.strip_chars() != "").then(pl.col(name).cast(pl.String))
        for name in columns
    ]
    return items.select(text=pl.concat_str(parts, separator=_SEPARATOR, ignore_nulls=True))["text"].to_list()


def learn_tokens(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """A byte-level BPE of at most ``vocabulary`` tokens, of which number 0 is padding: no text is unknown to it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[_PAD_TOKEN],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    return tokenizer


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], length: int) -> Tokens:
    """The first ``length`` tokens of each text, padded: int32 [num_texts, length]."""
    out = np.full((len(texts), length), PAD, np.int32)
    for row, encoded in enumerate(tokenizer.encode_batch(list(texts), add_special_tokens=False)):
        ids = encoded.ids[:length]
        out[row, : len(ids)] = ids
    return out
