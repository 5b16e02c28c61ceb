"""Images with something in them, and folders of them that differ in everything but what they show."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from PIL import Image
from scipy import ndimage

from common.io.mammogram_dicom import write_mammogram_dicom


def blob_image(seed: int, size: int = 96) -> np.ndarray:
    """A noisy disc with blobs on black, (size, size) in [0, 1]; the disc is that of the seed's last two digits."""
    disc_rng, rng = np.random.default_rng(seed % 100), np.random.default_rng(seed)
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    column, row = disc_rng.uniform(-0.05, 0.05, 2)
    disc = np.hypot(x - column, y - row) < disc_rng.uniform(0.3, 0.42)
    texture = ndimage.gaussian_filter(rng.standard_normal((size, size)), size / 40)
    image = 0.35 + 0.12 * texture / texture.std()
    for _ in range(3):
        row, column = rng.uniform(-0.2, 0.2, 2)
        image += rng.uniform(0.2, 0.5) * np.exp(
            -((x - column) ** 2 + (y - row) ** 2) / (2 * rng.uniform(0.02, 0.06) ** 2)
        )
    return np.clip(np.where(disc, image, 0), 0, 1)


def write_real(folder: Path, count: int, size: int = 96, first: int = 0) -> Path:
    """As from a scanner: DICOM of 12 bits, small values white."""
    folder.mkdir(parents=True)
    for seed in range(first, first + count):
        stored = np.rint((1 - blob_image(seed, size)) * 4000).astype(np.uint16)
        options = {"uid_root_text": str(seed), "bits_stored": 12, "photometric": "MONOCHROME1", "window": (2000, 4001)}
        write_mammogram_dicom(folder / f"case{seed:03d}.dcm", stored, laterality="L", view="CC", **options)
    return folder


def write_synthetic(folder: Path, count: int, size: int = 80, first: int = 500, samples: int = 2) -> Path:
    """As from a network: PNG of 8 bits that uses half of them, two samples a case, with a mask and a sheet beside."""
    folder.mkdir(parents=True)
    for seed in range(first, first + count):
        for sample in range(samples):
            image = np.rint(blob_image(1000 * sample + seed, size) * 140 + 10).astype(np.uint8)
            home = folder / f"case{seed - first:03d}_sample{sample}"
            home.mkdir()
            Image.fromarray(image).save(home / f"{home.name}_mip.png")
            Image.fromarray(image > 100).save(home / f"{home.name}_mask.png")
            Image.fromarray(image).save(home / "preview.png")
    return folder


def write_floats(folder: Path, count: int, size: int = 96, first: int = 900) -> Path:
    """As from a network: NIfTI of floats in [-1, 1]."""
    folder.mkdir(parents=True)
    for seed in range(first, first + count):
        image = (blob_image(seed, size) * 2 - 1).astype(np.float32)
        turned = image[::-1, ::-1].T[..., None]  # to RAS axes
        nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(turned), np.eye(4)), folder / f"case{seed:03d}.nii.gz")
    return folder
