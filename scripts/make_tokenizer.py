"""Write the tokenizer of the compact mammogram network: one token for each word of the prompts' grammar.

python scripts/make_tokenizer.py --output bundles/mammogram_stable_diffusion/models/tokenizer
"""

from __future__ import annotations

import _root  # noqa: F401
import fire

from common.cohorts.mammogram_prompts import words
from common.errors import install_error_hook
from common.networks.prompt_tokenizer import make_tokenizer, save_tokenizer


def main(output: str, max_length: int = 32) -> None:
    """Write the tokenizer; the same vocabulary gives the same files.

    Args:
        output: folder.
        max_length: tokens that the text encoder reads, begin and end included.
    """
    print(save_tokenizer(make_tokenizer(words(), max_length), output))


if __name__ == "__main__":
    install_error_hook()
    fire.Fire(main)
