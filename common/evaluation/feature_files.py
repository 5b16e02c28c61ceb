"""Features of a set of images, computed batch by batch and kept on disk, so that a killed evaluation goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ..errors import InputError
from ..io.files import make_output_dir, sha256_of_json, write_atomically
from ..metrics.feature_set import FeatureSet
from ..metrics.features import FeatureExtractor
from .image_stream import ImageStream

CHUNK = 64  # images a file
BATCH = 16  # images, or slices, a call of the network
PLANES = ("sagittal", "coronal", "axial")  # across the first, second and third axis of RAS
WHOLE = "whole"
CONTENT = 0.05  # of the scale; a slice without anything brighter shows nothing


def set_features(
    stream: ImageStream, extractor: FeatureExtractor, records: Path, slices: int = 8
) -> dict[str, FeatureSet]:
    """Features of every image of a set.

    Images, and volumes with a three-dimensional extractor, give one vector each. Volumes with a two-dimensional
    extractor give those of evenly spaced slices across each of the three axes (2.5D), one set of features an axis.

    Args:
        stream: the images.
        extractor: to features.
        records: folder that keeps the features.
        slices: of a volume, across each axis.

    Returns:
        `whole`, or one entry for each of `PLANES`.

    Raises:
        InputError: images for a three-dimensional extractor, or a network that fails on these images.
    """
    if stream.survey.spatial_dims == 2 and extractor.spatial_dims == 3:
        raise InputError(
            f"extractor {extractor.name}: takes volumes, the {stream.survey.title} images are two-dimensional"
        )
    planes = PLANES if stream.survey.spatial_dims == 3 and extractor.spatial_dims == 2 else (WHOLE,)
    facts = [extractor.name, extractor.sha256, stream.survey.sha256, stream.scale.words, stream.size, slices, planes]
    folder = make_output_dir(records / f"features_{sha256_of_json(facts)[:16]}")
    chunks = range(0, len(stream), CHUNK)
    for start in tqdm(chunks, desc=f"features of {stream.survey.title} images", unit="chunk", disable=len(chunks) < 2):
        path = folder / f"{start:07d}.npy"
        if not path.is_file():
            chunk = _chunk(stream, extractor, range(start, min(start + CHUNK, len(stream))), planes, slices)
            write_atomically(path, lambda temporary, chunk=chunk: np.save(temporary, chunk))
    parts = [np.load(folder / f"{start:07d}.npy", mmap_mode="r") for start in chunks]
    return {
        plane: FeatureSet.of_images(torch.from_numpy(np.concatenate([part[:, k] for part in parts])))
        for k, plane in enumerate(planes)
    }


def _chunk(
    stream: ImageStream, extractor: FeatureExtractor, indices: range, planes: tuple[str, ...], slices: int
) -> np.ndarray:
    """(N, planes, vectors a plane, F)."""
    if planes == (WHOLE,):
        vectors = []
        batch: list[torch.Tensor] = []
        for index in indices:
            image = torch.from_numpy(stream[index])[None]
            if batch and (image.shape != batch[0].shape or len(batch) == BATCH):
                vectors.append(_vectors(extractor, torch.stack(batch)))
                batch = []
            batch.append(image)
        vectors.append(_vectors(extractor, torch.stack(batch)))
        return torch.cat(vectors).float().numpy()[:, None, None]
    found = []
    for index in indices:
        volume = torch.from_numpy(stream[index])
        found.append(torch.stack([_slices(volume, axis, slices, extractor) for axis in range(3)]))
    return torch.stack(found).float().numpy()


def _slices(volume: torch.Tensor, axis: int, count: int, extractor: FeatureExtractor) -> torch.Tensor:
    """(count, F): of evenly spaced slices across an axis, between the first and the last that show anything."""
    across = volume.movedim(axis, 0)
    shown = torch.nonzero(across.flatten(1).max(1).values > CONTENT)[:, 0]
    first, last = (int(shown[0]), int(shown[-1])) if len(shown) else (0, len(across) - 1)
    chosen = torch.linspace(first, last, count + 2)[1:-1].round().long()
    batches = across[chosen][:, None].split(BATCH)
    return torch.cat([_vectors(extractor, batch) for batch in batches])


def _vectors(extractor: FeatureExtractor, batch: torch.Tensor) -> torch.Tensor:
    """Features of a batch; what a network cannot do with it is told in one line."""
    shape = "x".join(map(str, batch.shape[2:]))
    try:
        vectors = extractor(batch)
    except RuntimeError as error:  # of PyTorch's own parts, at the end of a long trace through the network
        lines = [line for line in str(error).splitlines() if line.strip()] or ["no message"]
        raise InputError(f"extractor {extractor.name}: fails on images of {shape}: {lines[-1][:200]}") from error
    if not torch.isfinite(vectors).all():
        raise InputError(f"extractor {extractor.name}: gives NaN for images of {shape}; are they too small for it?")
    return vectors
