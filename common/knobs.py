"""Values that users set on the command line: their kinds, and what the command line does to them on the way.

`python -m monai.bundle` evaluates arguments (`2024` becomes a number, `a, b` a tuple) and rewrites `#` to `::`; strings
that begin with `$`, `@` or `%` become expressions. Paths are therefore turned back into text, and what cannot survive
is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number
from pathlib import Path
from typing import Any

from .errors import InputError

COUNTS = {
    "num_samples",
    "num_steps",
    "batch_size",
    "max_epochs",
    "val_interval",
    "num_encodings",
    "repeats",
    "num_phases",
    "validation_repeats",
    "accumulation_steps",
    "preview_interval",
    "checkpoint_interval",
    "num_preview",
    "num_prompts",
    "num_seeds",
    "num_scale_images",
    "num_paintings",
    "num_heat_maps",
    "num_pairs",
    "patches_per_case",
}
WHOLE = COUNTS | {
    "seed",
    "first_sample",
    "num_workers",
    "lora_rank",
    "lesion_passes",
    "warmup_steps",
    "translate_range",
    "phase",
    "fold",
}
SWITCHES = {
    "overwrite",
    "clip_subtraction",
    "flip_average",
    "breast_only",
    "keep_detail",
    "display_orientation",
    "project",
    "crop",
    "any_modality",
    "widen",
    "train_text",
    "export_pipeline",
    "normalize_latents",
    "use_checkpoint",
    "mirroring",
    "bias_correction",
}
PATHS = {
    "input",
    "output_dir",
    "reference",
    "weights",
    "init_from",
    "autoencoder_weights",
    "segmenter_weights",
    "reader_weights",
    "mask",
    "tokenizer_dir",
    "unseen_input",
    "cad_weights",
    "plans",
    "export_dir",
}
RATES = {
    "learning_rate",
    "guidance_scale",
    "weight_decay",
    "adversarial_weight",
    "l1_weight",
    "codebook_weight",
    "lesion_weight",
    "region_weight",
    "perceptual_weight",
    "outside_weight",
    "mask_weight",
    "clip_norm",
    "l2_weight",
    "kl_weight",
    "places_weight",
}
SHARES = {
    "eta",
    "condition_dropout",
    "ema_decay",
    "affine_prob",
    "final_lr_share",
    "crop_share",
    "inpaint_share",
    "caption_dropout",
    "keep_attribute",
    "soft_edge",
    "flip_prob",
    "shift_prob",
    "smooth_prob",
    "noise_prob",
    "close_share",
    "tile_step_size",
    "foreground_share",
}


def as_text(value: Any) -> str:
    """A path or name as the user typed it, as far as the command line left it whole."""
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    return str(value)


def check_knob(name: str, value: Any) -> None:
    """Check one knob by its name.

    Raises:
        InputError: wrong kind or range, or text that a config cannot carry.
    """
    if name in PATHS:
        _check_path(name, value)
    elif name in SWITCHES and not isinstance(value, bool):
        raise InputError(f"{name}={value}: give True or False")
    elif name in WHOLE:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputError(f"{name}={value}: give a whole number")
        if value < (1 if name in COUNTS else 0):
            raise InputError(f"{name}={value}: give {'at least 1' if name in COUNTS else '0 or more'}")
    elif name in RATES and (isinstance(value, bool) or not isinstance(value, Number) or value < 0):
        raise InputError(f"{name}={value}: give a number of 0 or more")
    elif name in SHARES and (isinstance(value, bool) or not isinstance(value, Number) or not 0 <= value <= 1):
        raise InputError(f"{name}={value}: give a number from 0 to 1")


def _check_path(name: str, value: Any) -> None:
    if value is None:
        return
    text = as_text(value)
    if "::" in text or "#" in text:
        raise InputError(f"{name}={text}: a path may not hold '#' or '::', which configs read as references; rename it")
    if text[:1] in ("$", "@", "%"):
        raise InputError(f"{name}={text}: a path may not begin with {text[0]}, which configs read as an expression")


def check_choice(name: str, value: Any, words: Sequence[str]) -> None:
    """Check that a knob has one of a few words.

    Raises:
        InputError: any other.
    """
    if value not in words:
        raise InputError(f"{name}={value}: use {' or '.join(words)}")


def check_phases(channel_phases: Sequence[int], num_phases: int) -> None:
    """Check that every output channel stands for a phase that there is.

    Raises:
        InputError: a number below 1 or above `num_phases`, or no number.
    """
    if not isinstance(channel_phases, (list, tuple)):
        raise InputError(f"channel_phases={channel_phases}: give a list, such as [1,2,3]")
    whole = [phase for phase in channel_phases if isinstance(phase, int) and not isinstance(phase, bool)]
    if not whole or len(whole) < len(channel_phases) or min(whole) < 1 or max(whole) > num_phases:
        raise InputError(f"channel_phases={list(channel_phases)}: give phases from 1 to {num_phases} (num_phases)")


def check_sides(spatial_size: Sequence[int], multiple: int) -> None:
    """Check the sides of a network's grid.

    Raises:
        InputError: not two whole numbers above 0 that the network's downsamplings divide.
    """
    good = isinstance(spatial_size, (list, tuple)) and len(spatial_size) == 2
    if not good or any(not isinstance(side, int) or side < 1 or side % multiple for side in spatial_size):
        raise InputError(f"spatial_size={spatial_size}: give two multiples of {multiple}, such as [128,128]")


def as_path(value: Any) -> Path:
    """The path that a knob names, with `~` expanded."""
    return Path(as_text(value)).expanduser()


def path_text(value: Any) -> str:
    """`as_path` as text, for expressions in configs."""
    return str(as_path(value))
