"""Reading the pre-contrast volume that a user names, with a warning where it cannot be one."""

from __future__ import annotations

import warnings
from pathlib import Path

from monai.data import MetaTensor

from .load_mri import LoadMrid

# Magnitude images have no negative voxels; resampling leaves a few.
NEGATIVE_SHARE = 0.01


class LoadPrecontrastd(LoadMrid):
    """`LoadMrid` of volumes from before contrast; warns of what looks like a subtraction or a synthetic phase."""

    def check(self, path: Path, volume: MetaTensor) -> None:
        """Warn by header and by negative voxels."""
        text = str(volume.meta.get("descrip", "")).lower()
        if "subtraction" in text or "synthetic breast" in text:
            warnings.warn(f"{path}: its header says '{text.strip()}'; is it from before contrast?", stacklevel=2)
        share = float((volume < 0).float().mean())
        if share > NEGATIVE_SHARE:
            warnings.warn(
                f"{path}: {share:.0%} of the voxels are negative, as in a subtraction or a normalised image; a "
                "magnitude image from before contrast is needed, results will mislead",
                stacklevel=2,
            )
