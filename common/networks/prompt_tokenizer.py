"""Prompts as numbers: a tokenizer in which every word of a closed vocabulary is one token, and the check of prompts.

The compact text encoder knows the grammar's words only; pretrained pipelines bring a tokenizer of their own. Both go
through `token_ids`, which cuts nothing silently.
"""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ..errors import InputError
from ..io.files import replace_folder
from ..knobs import as_path

PAD, BEGIN, END, UNKNOWN = "<pad>", "<begin>", "<end>", "<unknown>"


def make_tokenizer(words: Sequence[str], max_length: int = 77) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words.

    Text is lower-cased and split at spaces and punctuation; a sequence is begin, words, end, padding. The numbers are 0
    padding, 1 begin, 2 end, 3 unknown, then the words in their order.

    Args:
        words: the vocabulary, in lower case.
        max_length: of a sequence, begin and end included.

    Raises:
        InputError: a word that occurs twice or is no single token.
    """
    vocabulary = {word: number for number, word in enumerate((PAD, BEGIN, END, UNKNOWN, *words))}
    if len(vocabulary) < len(words) + 4:
        raise InputError("vocabulary: holds a word twice; give each once")
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(name, vocabulary[name]) for name in (BEGIN, END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A {END}", special_tokens=ends)
    for word in words:
        if tokenizer.encode(word, add_special_tokens=False).tokens != [word]:
            raise InputError(f"vocabulary: {word!r} is not one lower-case word or punctuation mark; split or change it")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        model_max_length=max_length,
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
    )


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> Path:
    """Write a tokenizer as transformers reads it; the folder appears whole, with the same bytes each time."""
    folder = as_path(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    tokenizer.save_pretrained(partial)
    return replace_folder(partial, folder)


def load_tokenizer(
    source: str | Path, subfolder: str | None = None, revision: str | None = None
) -> PreTrainedTokenizerBase:
    """A tokenizer from a folder, without asking any network, or from the Hugging Face hub.

    Args:
        source: folder of a tokenizer, or `owner/name` of a repository.
        subfolder: of the repository, such as `tokenizer` in a diffusers pipeline.
        revision: commit of the repository.

    Raises:
        InputError: no such folder, or no tokenizer in it.
    """
    path = as_path(source)
    # `owner/name` is a path too; what is written as one otherwise is no repository.
    local = path.exists() or len(path.parts) != 2 or path.is_absolute()
    if local and not path.is_dir():
        raise InputError(f"tokenizer {source}: no such folder; check the path, or give owner/name of a repository")
    place = {} if local else {"revision": revision}
    try:
        return AutoTokenizer.from_pretrained(
            str(path if local else source), subfolder=subfolder or "", local_files_only=local, **place
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"tokenizer {source}: cannot be loaded ({reason}); check the folder's files") from error


def token_ids(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> torch.Tensor:
    """Prompts as token numbers (B, tokenizer.model_max_length), int64, padded at the end.

    Raises:
        InputError: a prompt that the text encoder cannot read whole, or a word that the tokenizer does not know.
    """
    room = tokenizer.model_max_length - tokenizer.num_special_tokens_to_add()
    for prompt in prompts:
        _check_words(tokenizer, prompt)
        # `verbose` is off: transformers would warn of what is refused here.
        count = len(tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids)
        if count > room:
            raise InputError(f"prompt has {count} tokens, the text encoder reads {room}; shorten it")
    padded = tokenizer(
        list(prompts), padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    )
    return padded.input_ids


def _check_words(tokenizer: PreTrainedTokenizerBase, prompt: str) -> None:
    """Refuse words without a token. CLIP's tokenizer spells every word, and uses its end token as unknown one."""
    unknown = tokenizer.unk_token
    if unknown is None or unknown in (tokenizer.eos_token, tokenizer.pad_token):
        return
    for word in re.findall(r"\w+|[^\w\s]+", prompt):
        if unknown in tokenizer.tokenize(word):
            known = [token for token in tokenizer.get_vocab() if token not in tokenizer.all_special_tokens]
            nearest = difflib.get_close_matches(word.lower(), sorted(known), n=1, cutoff=0)[0]
            raise InputError(f"prompt '{prompt}': the text encoder does not know '{word}'; did you mean '{nearest}'?")
