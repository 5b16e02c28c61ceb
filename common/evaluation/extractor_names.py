"""Feature extractors as users name them on a command line."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ..metrics.features import FeatureExtractor
from ..metrics.pretrained_features import load_extractor

TORCHSCRIPT_SUFFIXES = (".pt", ".pth", ".ts")
VOLUMES = "@3d"
SINGLE = "1ch"


def parse_extractors(
    names: str | Sequence[str], device: str = "cpu", seed: int = 0, spatial_dims: int = 2
) -> dict[str, FeatureExtractor]:
    """Extractors by the names that reports call them.

    Args:
        names: one or a list of: a name that `load_extractor` knows; `inception@64` for one of its layers;
            `network.pt@sha256` for a TorchScript network that takes three equal channels, with `@1ch` behind it for one
            that takes a single channel. `@3d` at the end of `random` or a TorchScript network takes volumes as a whole.
        device: where they run.
        seed: of random convolutions.
        spatial_dims: of random convolutions and TorchScript networks: 2 for images and slices, 3 for volumes.

    Raises:
        InputError: no name, a name twice, or as `load_extractor`.
    """
    # A list with an @ in it reaches us as text, brackets and all.
    given = names.strip().strip("[]()").split(",") if isinstance(names, str) else list(names)
    words = [word for word in (str(name).strip().strip("'\"") for name in given) if word]
    if not words:
        raise InputError("extractors: name at least one, such as random or inception; see docs/extractors.md")
    found: dict[str, FeatureExtractor] = {}
    for word in words:
        title, extractor = _parse(word, device, seed, spatial_dims)
        if title in found:
            raise InputError(f"extractors: {title} is named twice; keep one")
        found[title] = extractor
    return found


def _parse(word: str, device: str, seed: int, spatial_dims: int) -> tuple[str, FeatureExtractor]:
    plain = word.removesuffix(VOLUMES)
    name, _, detail = plain.partition("@")
    spatial_dims = 3 if plain != word else spatial_dims
    if name.lower().endswith(TORCHSCRIPT_SUFFIXES):
        sha256 = detail.removesuffix(SINGLE).strip("@")
        options = {"channels": 1 if detail.endswith(SINGLE) else 3, "spatial_dims": spatial_dims}
        return name.rsplit("/", 1)[-1], load_extractor("torchscript", name, sha256 or None, device=device, **options)
    if plain != word and name != "random":
        raise InputError(f"extractors: {word}: leave out {VOLUMES}; {name} knows whether it takes images or volumes")
    if detail and not detail.isdigit():
        raise InputError(f"extractors: {word}: after @ comes the layer of inception, or the hash of a network file")
    dims = spatial_dims if name == "random" else None
    return word, load_extractor(
        name, layer=int(detail) if detail else None, device=device, seed=seed, spatial_dims=dims
    )
