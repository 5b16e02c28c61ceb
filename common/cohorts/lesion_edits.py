"""Edits of lesions on an image: move, scale, deform, change the class, add and remove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .lesion_classes import CLASSES
from .lesion_painting import NEIGHBOURS

OPERATIONS = ("move", "scale", "deform", "reclass", "add", "remove")
ATTEMPTS = 60
ELLIPSE_RADIUS_MM = (3.0, 12.0)
ELLIPSE_ELONGATION = 1.6
DEFORMATION_LENGTH = 0.5  # over which displacements are smooth, in radii of the lesion


@dataclass(frozen=True)
class EditLimits:
    """How far edits go.

    Attributes:
        max_shift_mm: of a lesion's centre.
        scale_range: smallest and largest factor of its diameter.
        deformation_mm: standard deviation of its smooth random displacement.
    """

    max_shift_mm: float = 30.0
    scale_range: tuple[float, float] = (0.7, 1.4)
    deformation_mm: float = 2.0


@dataclass(frozen=True)
class Patch:
    """One lesion cut out.

    Attributes:
        shape: (H, W), bool, its pixels.
        birads: its class.
        spacing: pixel size, millimetres.
    """

    shape: np.ndarray
    birads: int
    spacing: tuple[float, float]


def cut_out(mask: np.ndarray, margin: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Lesion (X, Y) to its box with a margin, and the place of the box's first pixel."""
    places = np.argwhere(mask)
    first, last = places.min(0), places.max(0) + 1
    box = mask[first[0] : last[0], first[1] : last[1]]
    return np.pad(box, margin), first - margin


def put_down(patch: np.ndarray, corner: np.ndarray, shape: tuple[int, int]) -> np.ndarray | None:
    """Patch on an empty image (X, Y) with its first pixel at `corner`; None where it leaves the image or is empty."""
    places = np.argwhere(patch) + corner
    if len(places) == 0 or places.min() < 0 or (places >= shape).any():
        return None
    mask = np.zeros(shape, bool)
    mask[tuple(places.T)] = True
    return mask


class LesionEditor:
    """Draws edits for one image. A lesion stays inside the outline and a pixel away from all others.

    Args:
        inside: where lesions may lie, (X, Y), bool.
        spacing: pixel size, millimetres.
        limits: how far edits go.
        donors: lesions that `add` copies; without any it draws ellipses of random class.
    """

    def __init__(
        self, inside: np.ndarray, spacing: tuple[float, float], limits: EditLimits, donors: Sequence[Patch] = ()
    ) -> None:
        self.inside, self.spacing = inside, np.asarray(spacing, float)
        self.limits, self.donors = limits, donors

    def edit(
        self, instances: np.ndarray, classes: Mapping[int, int], operations: Sequence[str], rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[int, int], list[str]]:
        """Apply some of the operations, drawn at random, each to a lesion drawn at random.

        Args:
            instances: (X, Y), lesion numbers.
            classes: class by number.
            operations: to draw from; on an image without lesions only `add` is possible.
            rng: source of all draws.

        Returns:
            New numbers and classes, and what was done, in words such as `move 1`; an operation that finds no place in
            `ATTEMPTS` tries is left out. An added lesion gets the next free number.
        """
        instances, classes, done = instances.copy(), dict(classes), []
        possible = [operation for operation in operations if classes or operation == "add"]
        if not possible:
            return instances, classes, done
        chosen = rng.permutation(possible)[: rng.integers(1, len(possible) + 1)].tolist()
        # Removing first: or it might take away what was just added, and nothing would be new.
        for operation in sorted(chosen, key=lambda operation: operation != "remove"):
            if operation == "add":
                number = max(classes, default=0) + 1
            elif classes:
                number = int(rng.choice(sorted(classes)))
            else:
                continue
            edited = self._edited(operation, instances, number, classes.get(number, 0), rng)
            if edited is None:
                continue
            instances[instances == number] = 0
            instances[edited[0]] = number
            classes[number] = edited[1]
            if operation == "remove":
                del classes[number]
            done.append(f"{operation} {number}")
        return instances, classes, done

    def _edited(
        self, operation: str, instances: np.ndarray, number: int, birads: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, int] | None:
        """The lesion's new mask and class, or None where it finds no place."""
        old = instances == number
        if operation == "remove":
            return np.zeros_like(old), birads
        if operation == "reclass":
            return old, int(rng.choice([other for other in CLASSES if other != birads]))
        room = self.inside & ~ndimage.binary_dilation((instances > 0) & ~old, NEIGHBOURS)
        for _ in range(ATTEMPTS):
            if operation == "add":
                patch, corner, birads = self._added(room, rng)
            else:
                propose = {"move": self._moved, "scale": self._scaled, "deform": self._deformed}[operation]
                patch, corner = propose(old, rng)
            mask = put_down(patch, corner, old.shape)
            if mask is None or (mask & ~room).any() or np.array_equal(mask, old):
                continue
            if operation == "add" or _pieces(mask) <= _pieces(old):
                return mask, birads
        return None

    def _moved(self, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """By whole pixels, so that the shape is kept exactly."""
        patch, corner = cut_out(mask)
        angle, way = rng.uniform(0, 2 * np.pi), self.limits.max_shift_mm * np.sqrt(rng.uniform())
        steps = np.trunc(way * np.array([np.cos(angle), np.sin(angle)]) / self.spacing).astype(int)
        return patch, corner + steps

    def _scaled(self, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        factor = rng.uniform(*self.limits.scale_range)
        patch, corner = cut_out(mask, margin=2 + int(max(0, factor - 1) * max(mask.any(0).sum(), mask.any(1).sum())))
        centre = np.argwhere(patch).mean(0)[:, None, None]
        return _pull(patch, (np.indices(patch.shape) - centre) / factor + centre), corner

    def _deformed(self, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        amounts = self.limits.deformation_mm / self.spacing
        patch, corner = cut_out(mask, margin=2 + int(4 * amounts.max()))
        length = max(1.5, DEFORMATION_LENGTH * np.sqrt(patch.sum() / np.pi))
        field = ndimage.gaussian_filter(rng.normal(size=(2, *patch.shape)), (0, length, length))
        field *= (amounts / field.std(axis=(1, 2)))[:, None, None]
        return _pull(patch, np.indices(patch.shape) + field), corner

    def _added(self, room: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
        donor = self.donors[rng.integers(len(self.donors))] if self.donors else self._ellipse(rng)
        factors = np.array(donor.spacing) / self.spacing
        patch = donor.shape
        if not np.allclose(factors, 1, atol=1e-3):
            patch = ndimage.zoom(np.pad(patch, 2).astype(np.float32), factors, order=1) > 0.5
        places = np.argwhere(room)
        goal = places[rng.integers(len(places))] if len(places) else np.zeros(2, int)
        return patch, goal - np.array(patch.shape) // 2, donor.birads

    def _ellipse(self, rng: np.random.Generator) -> Patch:
        radius, ratio, angle = (
            rng.uniform(*ELLIPSE_RADIUS_MM),
            rng.uniform(1, ELLIPSE_ELONGATION),
            rng.uniform(0, np.pi),
        )
        reach = np.ceil(radius * np.sqrt(ratio) / self.spacing).astype(int)
        x, y = (np.indices(2 * reach + 1) - reach[:, None, None]) * self.spacing[:, None, None]
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        inside = along**2 / ratio + across**2 * ratio <= radius**2
        return Patch(inside, int(rng.choice(CLASSES)), tuple(self.spacing))


def _pull(patch: np.ndarray, sources: np.ndarray) -> np.ndarray:
    return ndimage.map_coordinates(patch.astype(np.float32), sources, order=1) > 0.5


def _pieces(mask: np.ndarray) -> int:
    return ndimage.label(mask, NEIGHBOURS)[1]
