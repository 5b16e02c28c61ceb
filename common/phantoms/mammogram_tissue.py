"""What fills a phantom breast, and how two vendors show it.

Tissue is a number: 0 fat, 1 fibroglandular tissue. A vendor's processing turns it into display values; lesions are
added afterwards, see `mammogram_lesions`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from .fields import smooth_field, soft
from .mammogram_outline import Outline

EDGE = 0.34  # width of the step between fat and dense tissue, in units of the field's standard deviation
SUBCUTANEOUS_MM = 7.0
PECTORAL_TISSUE = 0.95
STREAKS = (40, 260)  # radial and angular cells of the streaks that run towards the nipple, in a full turn


@dataclass(frozen=True)
class VendorLook:
    """How a vendor's processing shows a breast; display values, 0 black to 1 white.

    Attributes:
        fat, dense: display of the two tissues in the thick part of the breast.
        contrast: steepness of the S-curve between them; 0 is a straight line.
        rim: display at the very edge of the breast relative to its middle.
        rim_mm: how fast the thinning edge reaches full brightness.
        skin: how much brighter the skin line is.
        blur: standard deviation of the blur, pixels.
        sharpen: strength of the edge enhancement.
        noise: standard deviation.
        noise_blur: how far noise is correlated, standard deviation in pixels.
        air_noise: noise of the air relative to that of the breast.
    """

    fat: float
    dense: float
    contrast: float
    rim: float
    rim_mm: float
    skin: float
    blur: float
    sharpen: float
    noise: float
    noise_blur: float
    air_noise: float


VENDORS = {
    "siemens": VendorLook(0.31, 0.60, 0.0, 0.35, 8.0, 0.02, 0.8, 0.0, 0.011, 1.1, 0.3),
    "hologic": VendorLook(0.17, 0.64, 3.0, 0.62, 3.0, 0.16, 0.0, 0.7, 0.016, 0.0, 0.0),
}


def power_noise(rng: np.random.Generator, shape: tuple[int, int], slope: float, lowest: float) -> np.ndarray:
    """Random field of unit variance whose amplitude falls as 1 / frequency^slope, (H, W) float32.

    Args:
        rng: source of randomness.
        shape: (H, W).
        slope: 0 is white; parenchyma in mammograms has about 1.5 (power spectrum 1 / f^3: Burgess et al. 2001).
        lowest: cycles per image height below which the spectrum is flat.
    """
    rows, columns = np.meshgrid(fft.fftfreq(shape[0]), fft.rfftfreq(shape[1]), indexing="ij", sparse=True)
    frequency = np.maximum(np.hypot(rows, columns) * shape[0], lowest).astype(np.float32)
    spectrum = fft.rfft2(rng.standard_normal(shape, dtype=np.float32)) / frequency**slope
    field = fft.irfft2(spectrum, s=shape)
    return ((field - field.mean()) / field.std()).astype(np.float32)


def skin_distance(breast: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Millimetres from each breast pixel to the air, (H, W); the image's edges are no air."""
    padded = np.pad(breast, 1, mode="edge")
    return ndimage.distance_transform_edt(padded, spacing_mm)[1:-1, 1:-1].astype(np.float32)


def fill_breast(
    rng: np.random.Generator, outline: Outline, distance: np.ndarray, dense_share: float, spacing_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Tissue of a breast.

    Args:
        rng: of the phantom's anatomy.
        outline: see `draw_outline`.
        distance: see `skin_distance`.
        dense_share: share of the breast without pectoral muscle that is fibroglandular.
        spacing_mm: pixel size.

    Returns:
        Tissue (H, W) float32, about 0 to 1.2, and where it is fibroglandular, (H, W) bool.
    """
    shape = outline.breast.shape
    gland = outline.breast & ~outline.pectoral
    streaks = _streaks(rng, outline)
    field = 0.9 * power_noise(rng, shape, 1.8, 3.0) + 0.35 * streaks + _preference(outline, distance, spacing_mm)
    threshold = np.quantile(field[gland], 1 - dense_share)
    dense = gland & (field > threshold)
    amount = soft((field - threshold) / EDGE)
    grain = power_noise(rng, shape, 1.2, 12.0)
    strands = _strands(rng, shape, spacing_mm, 14.0) + 0.7 * _strands(rng, shape, spacing_mm, 7.0)
    # Lobules: dense tissue is uneven, with fat between; fat is crossed by strands.
    glandular = 0.95 + 0.10 * grain + 0.07 * streaks - 0.12 * strands
    fatty = 0.05 * grain + 0.03 * streaks + 0.20 * strands
    tissue = amount * glandular + (1 - amount) * fatty
    tissue = tissue + 0.22 * _vessels(rng, outline, distance, spacing_mm) * (1 - 0.6 * amount)
    if outline.pectoral.any():
        depth = _signed_distance(outline.pectoral, spacing_mm)
        muscle = soft(depth / 0.9)
        fibres = PECTORAL_TISSUE + 0.05 * grain - 0.15 * np.exp(-np.maximum(depth, 0) / 12.0)
        tissue = tissue * (1 - muscle) + fibres * muscle
    return tissue.astype(np.float32), dense


def show(tissue: np.ndarray, outline: Outline, distance: np.ndarray, vendor: str, spacing_mm: float) -> np.ndarray:
    """Display values (H, W), float32, without noise, as a vendor's processing shows the tissue."""
    look = VENDORS[vendor]
    level = tissue
    if look.contrast:
        ends = 1 / (1 + np.exp(look.contrast * np.array([0.5, -0.5])))
        level = (1 / (1 + np.exp(-look.contrast * (tissue - 0.5))) - ends[0]) / (ends[1] - ends[0])
    image = look.fat + (look.dense - look.fat) * level
    image = image * (look.rim + (1 - look.rim) * (1 - np.exp(-distance / look.rim_mm)))
    image = image + look.skin * np.exp(-(((distance - 1.2) / 0.9) ** 2))
    image = image * outline.breast
    if look.blur:
        image = ndimage.gaussian_filter(image, look.blur)
    if look.sharpen:
        image = image + look.sharpen * (image - ndimage.gaussian_filter(image, 2.0))
        image = image * outline.breast  # enhancement rings in the air are cut by the processing
    return image.astype(np.float32)


def noise(rng: np.random.Generator, breast: np.ndarray, vendor: str) -> np.ndarray:
    """Noise of one image in display values, (H, W), float32."""
    look = VENDORS[vendor]
    field = rng.standard_normal(breast.shape, dtype=np.float32)
    if look.noise_blur:
        field = ndimage.gaussian_filter(field, look.noise_blur)
        field /= field.std()
    return field * look.noise * np.where(breast, 1.0, look.air_noise).astype(np.float32)


def _preference(outline: Outline, distance: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Where fibroglandular tissue tends to lie: a cone behind the nipple, away from skin, chest wall and muscle."""
    row, column = outline.nipple
    y, x = np.indices(outline.breast.shape, np.float32)
    along = (column - x) / column
    across = (y - row) / (0.30 * column + 0.45 * np.maximum(column - x, 0))
    cone = -0.9 * across**2 - 1.6 * np.maximum(along - 0.72, 0) / 0.28 - 0.8 * np.maximum(0.12 - along, 0) / 0.12
    under_skin = -2.2 * np.exp(-distance / SUBCUTANEOUS_MM)
    preference = 1.5 * np.maximum(cone, -3.0) + 1.2 * under_skin
    if outline.pectoral.any():
        gap = ndimage.distance_transform_edt(~outline.pectoral, spacing_mm)
        preference = preference - 1.2 * np.exp(-gap / SUBCUTANEOUS_MM)
    return preference.astype(np.float32)


def _streaks(rng: np.random.Generator, outline: Outline) -> np.ndarray:
    """Streaks that run together at the nipple, as ducts and trabeculae do, (H, W) of about unit variance."""
    noise = ndimage.gaussian_filter(rng.standard_normal(STREAKS).astype(np.float32), (0.8, 1.2), mode="wrap")
    y, x = np.indices(outline.breast.shape, np.float32)
    # The streaks meet a little outside of the breast, or they would be a star.
    row, column = outline.nipple[0] - y, 1.12 * outline.nipple[1] - x
    distance = np.hypot(row, column) / outline.breast.shape[0]
    turn = (np.arctan2(row, column) / (2 * np.pi) + 0.5) * STREAKS[1]
    field = ndimage.map_coordinates(noise, [distance * STREAKS[0] / 2, turn], order=1, mode="grid-wrap")
    return field / noise.std()


def _strands(rng: np.random.Generator, shape: tuple[int, int], spacing_mm: float, scale_mm: float) -> np.ndarray:
    """A net of thin curved lines, as Cooper's ligaments: where a smooth field passes through zero."""
    field = smooth_field(rng, shape, spacing_mm, scale_mm)
    return np.exp(-((field / 0.10) ** 2))


def _vessels(rng: np.random.Generator, outline: Outline, distance: np.ndarray, spacing_mm: float) -> np.ndarray:
    """One to four curved vessels from the chest wall towards the nipple, (H, W), 0 to 1."""
    height, width = outline.breast.shape
    row, column = outline.nipple
    lines = np.zeros((height, width), np.float32)
    steps = np.linspace(0, 1, 4 * max(height, width))[:, None]
    for _ in range(rng.integers(1, 5)):
        start = np.array([row + rng.uniform(-0.5, 0.5) * column, 0.0])
        end = np.array([row + rng.uniform(-0.25, 0.25) * column, rng.uniform(0.6, 0.95) * column])
        bend = (start + end) / 2 + rng.uniform(-0.25, 0.25, 2) * column
        points = (1 - steps) ** 2 * start + 2 * steps * (1 - steps) * bend + steps**2 * end
        points[:, 0] += rng.uniform(1, 2) / spacing_mm * np.sin(2 * np.pi * (steps[:, 0] * 3 + rng.uniform()))
        y, x = np.rint(points).astype(int).T
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        lines[y[inside], x[inside]] = 1.0
    sigma = max(0.5 / spacing_mm, 0.6)
    lines = ndimage.gaussian_filter(lines, sigma) * sigma * np.sqrt(2 * np.pi)
    return np.minimum(lines, 1.0) * (1 - np.exp(-distance / 4.0))


def _signed_distance(mask: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Millimetres to the mask's border, positive inside."""
    inside = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"), spacing_mm)[1:-1, 1:-1]
    return inside - ndimage.distance_transform_edt(~mask, spacing_mm)
