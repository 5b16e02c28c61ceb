"""A trained nnU-Net on a whole volume as a MONAI inferer: nnU-Net's own steps around any network of its plans."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from ..errors import InputError
from ..knobs import check_choice
from ..transforms.breast_sides import CROPS, WHOLE, breast_sides
from .plans_file import read_plans
from .prediction import mixed_precision


class NnunetInferer(Inferer):
    """Segment volumes: each breast for itself, cropped, normalised, resampled, tiled and resampled back by nnU-Net.

    Args:
        plans: path of an `nnunet.json`, or its content.
        mirroring: average over all flips that the model was trained with; 8 times slower.
        crop: `breast` (each side of a bilateral volume, cut by the image) or `none`; the model's own where None.
        tile_step_size: distance of tiles as a share of the patch, above 0.
        precision: `fp32` or `bf16` on CPUs; on CUDA nnU-Net chooses.
        threads: of resampling.

    Raises:
        InputError: as `read_plans`, or another crop or tile step.
    """

    def __init__(
        self,
        plans: Any,
        mirroring: bool = True,
        crop: str | None = None,
        tile_step_size: float = 0.5,
        precision: str = "fp32",
        threads: int = 1,
    ) -> None:
        super().__init__()
        self.content = read_plans(plans)
        self.crop = self.content["crop"] if crop is None else crop
        check_choice("crop", self.crop, CROPS)
        if not 0 < tile_step_size <= 1:
            raise InputError(f"tile_step_size={tile_step_size}: give a number above 0, up to 1")
        self.precision = precision
        self.mirroring, self.tile_step_size, self.threads = bool(mirroring), float(tile_step_size), int(threads)
        self.plans = PlansManager(dict(self.content["plans"]))
        self.configuration = self.plans.get_configuration(self.content["configuration"])

    def __call__(self, inputs: MetaTensor, network: nn.Module, *args: Any, **kwargs: Any) -> MetaTensor:
        """Volumes to labels on the same grid.

        Args:
            inputs: (B, C, X, Y, Z) in LPS orientation with their affine (one for all, or one each).
            network: from normalised patches (1, C, Z, Y, X) to logits.

        Returns:
            (B, 1, X, Y, Z), float32, label values.
        """
        predictor = self._predictor(network, inputs.device)
        affines = inputs.affine if inputs.affine.ndim == 3 else [inputs.affine] * len(inputs)
        labels = []
        for volume, affine in zip(inputs.as_tensor(), affines, strict=True):
            spacing = np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0)
            array = volume.cpu().numpy()
            sides = breast_sides(array[0], spacing) if self.crop == "breast" else {WHOLE: (0, array.shape[1])}
            parts = [self._segment(predictor, array[:, first:end], spacing) for first, end in sides.values()]
            labels.append(torch.from_numpy(np.concatenate(parts)).float()[None])
        return MetaTensor(torch.stack(labels).to(inputs.device), meta=inputs.meta)

    def _predictor(self, network: nn.Module, device: torch.device) -> nnUNetPredictor:
        with contextlib.redirect_stdout(io.StringIO()):  # it says on every CPU that it is not a GPU
            predictor = nnUNetPredictor(self.tile_step_size, use_mirroring=self.mirroring, device=device)
        predictor.manual_initialization(
            network,
            self.plans,
            self.configuration,
            None,
            self.content["dataset_json"],
            "nnUNetTrainer",
            self.content["mirror_axes"],
        )
        return predictor

    def _segment(self, predictor: nnUNetPredictor, image: np.ndarray, spacing: np.ndarray) -> np.ndarray:
        """Labels (X, Y, Z) of one crop (C, X, Y, Z); nnU-Net's arrays run Z, Y, X."""
        preprocessor = self.configuration.preprocessor_class(verbose=False)
        properties = {"spacing": [float(s) for s in spacing[::-1]]}
        data, _, properties = preprocessor.run_case_npy(
            np.ascontiguousarray(image.transpose(0, 3, 2, 1)),
            None,
            properties,
            self.plans,
            self.configuration,
            self.content["dataset_json"],
        )
        with mixed_precision(predictor.device, self.precision):
            logits = predictor.predict_sliding_window_return_logits(torch.from_numpy(data)).cpu()
        labels = convert_predicted_logits_to_segmentation_with_correct_shape(
            logits,
            self.plans,
            self.configuration,
            predictor.label_manager,
            properties,
            num_threads_torch=self.threads,
        )
        return np.ascontiguousarray(labels.transpose(2, 1, 0))
