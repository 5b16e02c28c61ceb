"""Bring post-contrast phases onto the pre-contrast volume, against motion between acquisitions; by ITK.

Contrast changes intensities, and a registration that takes enhancement for motion shrinks or swells lesions. Rigid
registration by mutual information cannot do that and is the safer choice; demons follow soft tissue, and their result
is to be looked at.
"""

from __future__ import annotations

import functools
from typing import Any

import itk
import numpy as np
import torch
from monai.data import MetaTensor
from monai.data.itk_torch_bridge import metatensor_to_itk_image

from ..errors import InputError
from ..knobs import check_choice

METHODS = ("none", "rigid", "demons")
RANDOM_SAMPLING = 2  # ITK's MetricSamplingStrategyEnum::RANDOM, whose names Python does not have
SAMPLES, SAMPLING_SEED = 50_000, 121212  # voxels that mutual information is taken over at each resolution
SHRINK_FACTORS = (4, 2, 1)
SMOOTHING_MM = (4.0, 2.0, 0.0)
DEMONS_ITERATIONS = (60, 40, 20)  # from the coarse level to the fine one
FIELD_SMOOTHING_VOXELS = 1.5
PADDING_VOXELS = 16  # as far as tissue continues beyond the edge of a phase that is moved inward


@functools.cache
def _types() -> tuple[Any, Any]:
    """Volume and displacement field. ITK loads its classes when they are first named, which takes seconds."""
    return itk.Image[itk.F, 3], itk.Image[itk.Vector[itk.F, 3], 3]


def register_phase(phase: MetaTensor, pre: MetaTensor, method: str = "rigid") -> MetaTensor:
    """Move each channel of a post-contrast volume onto the pre-contrast volume, and to its grid.

    Args:
        phase: (C, X, Y, Z), every channel registered by itself.
        pre: (1, X, Y, Z).
        method: `rigid`: turn and shift by Mattes mutual information at three resolutions. `demons`: a smooth
            deformation by Thirion's demons after histogram matching, at three resolutions. `none`: resampled to the
            grid only.

    Returns:
        (C, X, Y, Z) on the grid of `pre`, float32, by cubic B-splines; beyond a phase's edge its border continues.

    Raises:
        InputError: an unknown method, or ITK finds no registration, such as for volumes that do not overlap.
    """
    check_choice("method", method, METHODS)
    fixed = _to_itk(pre[:1])
    moved = []
    for channel in range(phase.shape[0]):
        moving = _to_itk(phase[channel : channel + 1])
        try:
            moved.append(_moved(moving, fixed, method))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(
                f"channel {channel}: {method} registration failed ({reason}); check that the volumes overlap and are "
                "not constant, or use method=none"
            ) from error
    return MetaTensor(torch.from_numpy(np.stack(moved)), meta=dict(pre.meta))


def _to_itk(volume: MetaTensor) -> Any:
    image = metatensor_to_itk_image(volume.detach().cpu(), channel_dim=0, dtype=np.float32)
    return itk.cast_image_filter(image, ttype=(type(image), _types()[0]))


def _rigid(fixed: Any, moving: Any) -> Any:
    image, _ = _types()
    transform = itk.Euler3DTransform[itk.D].New()
    transform.SetCenter(fixed.TransformIndexToPhysicalPoint([int(side) // 2 for side in itk.size(fixed)]))
    metric = itk.MattesMutualInformationImageToImageMetricv4[image, image].New(NumberOfHistogramBins=32)
    # Central differences at the samples instead of filtered gradients of whole volumes: enough for six parameters.
    metric.SetUseFixedImageGradientFilter(False)
    metric.SetUseMovingImageGradientFilter(False)
    metric.SetMaximumNumberOfWorkUnits(1)  # several add their sums in the order in which they finish
    scales = itk.RegistrationParameterScalesFromPhysicalShift[type(metric)].New(Metric=metric)
    optimizer = itk.RegularStepGradientDescentOptimizerv4[itk.D].New(
        LearningRate=1.0, MinimumStepLength=1e-3, RelaxationFactor=0.5, NumberOfIterations=200
    )
    optimizer.SetScalesEstimator(scales)
    optimizer.SetDoEstimateLearningRateOnce(True)
    method = itk.ImageRegistrationMethodv4[image, image].New(
        FixedImage=fixed, MovingImage=moving, Metric=metric, Optimizer=optimizer, InitialTransform=transform
    )
    method.SetNumberOfLevels(len(SHRINK_FACTORS))
    method.SetShrinkFactorsPerLevel(SHRINK_FACTORS)
    method.SetSmoothingSigmasPerLevel(SMOOTHING_MM)
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    method.SetMetricSamplingStrategy(RANDOM_SAMPLING)
    voxels = [np.prod(np.ceil(np.array(itk.size(fixed)) / shrink)) for shrink in SHRINK_FACTORS]
    method.SetMetricSamplingPercentagePerLevel([min(1.0, SAMPLES / float(count)) for count in voxels])
    method.MetricSamplingReinitializeSeed(SAMPLING_SEED)
    method.Update()
    return method.GetModifiableTransform()


def _demons(fixed: Any, moving: Any) -> Any:
    image, field = _types()
    placed = itk.resample_image_filter(moving, use_reference_image=True, reference_image=fixed)
    matched = itk.histogram_matching_image_filter(
        placed,
        reference_image=fixed,
        number_of_histogram_levels=256,
        number_of_match_points=16,
        threshold_at_mean_intensity=True,
    )
    demons = itk.DemonsRegistrationFilter[image, image, field].New()
    demons.SetStandardDeviations(FIELD_SMOOTHING_VOXELS)
    levels = itk.MultiResolutionPDEDeformableRegistration[image, image, field, itk.F].New(
        FixedImage=fixed, MovingImage=matched
    )
    levels.SetRegistrationFilter(demons)
    levels.SetNumberOfLevels(len(DEMONS_ITERATIONS))
    levels.SetNumberOfIterations(DEMONS_ITERATIONS)
    levels.Update()
    return levels.GetOutput()


def _moved(moving: Any, fixed: Any, method: str) -> np.ndarray:
    image, field = _types()
    padded = itk.zero_flux_neumann_pad_image_filter(
        moving, pad_lower_bound=[PADDING_VOXELS] * 3, pad_upper_bound=[PADDING_VOXELS] * 3
    )
    interpolator = itk.BSplineInterpolateImageFunction[image, itk.D, itk.F].New()
    if method == "demons":
        warp = itk.WarpImageFilter[image, image, field].New(padded, DisplacementField=_demons(fixed, moving))
        warp.SetInterpolator(interpolator)
        warp.SetOutputParametersFromImage(fixed)
        warp.Update()
        moved = warp.GetOutput()
    else:
        transform = _rigid(fixed, moving) if method == "rigid" else itk.Euler3DTransform[itk.D].New()
        moved = itk.resample_image_filter(
            padded, transform=transform, interpolator=interpolator, use_reference_image=True, reference_image=fixed
        )
    return np.ascontiguousarray(itk.array_from_image(moved).T)  # ITK's arrays run (Z, Y, X)
