"""From a pre-contrast volume to its phases, slice by slice in batches, float all the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from tqdm import tqdm

from ..engines.precision import DTYPES
from ..transforms.breast_mask import soft_breast_mask
from ..transforms.slice_grid import SliceGrid


class SliceTranslator(Inferer):
    """Callable inferer: `inferer(inputs=volume, network=generator)`.

    Slices go to the network's grid and back; nothing is written to disk, and memory holds one volume a phase whatever
    the number of slices.

    Args:
        spatial_size: of the network's grid.
        batch_size: slices at a time.
        channel_phases: number of the phase that each channel of the network stands for; channels of one phase are
            averaged.
        keep_detail: bring only the change from before contrast back from the network's grid, and add it to the volume
            at its own resolution. Otherwise the network's image itself is resized, as the paper does.
        display_orientation: show the network slices as on a screen (rows from front to back, columns from the
            patient's right to left), as the authors' published generators saw them; ours take (X, Y) in RAS.
        flip_average: average with the prediction for the mirrored slice; twice the time.
        breast_only: apply the change inside a soft breast mask alone, so that heart and chest keep their values.
        background: value around slices that are not square.
        precision: `bf16` or `fp32`.
    """

    def __init__(
        self,
        spatial_size: Sequence[int],
        batch_size: int = 16,
        channel_phases: Sequence[int] = (1, 2, 3),
        keep_detail: bool = True,
        display_orientation: bool = False,
        flip_average: bool = False,
        breast_only: bool = False,
        background: float = 0.0,
        precision: str = "fp32",
    ) -> None:
        super().__init__()
        self.spatial_size, self.batch_size = tuple(int(n) for n in spatial_size), int(batch_size)
        self.channel_phases = tuple(int(phase) for phase in channel_phases)
        self.phases = sorted(set(self.channel_phases))
        self.keep_detail, self.flip_average, self.breast_only = keep_detail, flip_average, breast_only
        self.display_orientation = display_orientation
        self.background, self.dtype = background, DTYPES[precision]

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Volumes (B, 1, X, Y, Z), RAS axes, normalised, to phases (B, P, X, Y, Z) on the same scale, float32."""
        # Plain tensors: taking a MetaTensor's batch apart would strip the record that the way back needs.
        volumes = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        spacings = _spacings(inputs)
        output = torch.stack([self._translate(v, s, network) for v, s in zip(volumes, spacings, strict=True)])
        return MetaTensor(output).copy_meta_from(inputs) if isinstance(inputs, MetaTensor) else output

    @torch.no_grad()
    def _translate(self, volume: torch.Tensor, spacing: tuple[float, float, float], network: Any) -> torch.Tensor:
        grid = SliceGrid(tuple(volume.shape[1:3]), spacing[:2], self.spatial_size)
        output = torch.empty((len(self.phases), *volume.shape[1:]), dtype=torch.float32, device=volume.device)
        weight = None
        if self.breast_only:
            weight = soft_breast_mask(volume[0].float().cpu().numpy(), spacing)
            weight = torch.as_tensor(weight, dtype=torch.float32, device=volume.device)
        for start in tqdm(range(0, volume.shape[-1], self.batch_size), desc="slices", unit="batch", leave=False):
            part = slice(start, start + self.batch_size)
            slices = volume[..., part].permute(3, 0, 1, 2).float()
            small = grid.to_network(slices, self.background)
            phases = self._phases(small, network)
            phases = slices + grid.to_volume(phases - small) if self.keep_detail else grid.to_volume(phases)
            if weight is not None:
                phases = slices + weight[..., part].permute(2, 0, 1)[:, None] * (phases - slices)
            output[..., part] = phases.permute(1, 2, 3, 0)
        return output

    def _phases(self, slices: torch.Tensor, network: Any) -> torch.Tensor:
        """Slices (N, 1, X, Y) of the network's grid to one channel a phase."""
        predicted = self._call(slices, network)
        if self.flip_average:
            predicted = (predicted + self._call(slices.flip(2), network).flip(2)) / 2
        channels = [[i for i, phase in enumerate(self.channel_phases) if phase == wanted] for wanted in self.phases]
        return torch.stack([predicted[:, members].mean(1) for members in channels], dim=1)

    def _call(self, slices: torch.Tensor, network: Any) -> torch.Tensor:
        if self.display_orientation:
            slices = slices.flip(2, 3).transpose(2, 3)
        enabled = self.dtype is not None
        with torch.autocast(slices.device.type, dtype=self.dtype or torch.bfloat16, enabled=enabled):
            phases = network(slices).float()
        return phases.transpose(2, 3).flip(2, 3) if self.display_orientation else phases


def _spacings(volumes: torch.Tensor) -> list[tuple[float, float, float]]:
    """Of each volume of a batch; 1 mm where it carries no geometry."""
    if not isinstance(volumes, MetaTensor):
        return [(1.0, 1.0, 1.0)] * len(volumes)
    affines = torch.as_tensor(volumes.meta["affine"]).double().reshape(-1, 4, 4)
    return [tuple(float(s) for s in affine[:3, :3].norm(dim=0)) for affine in affines]
