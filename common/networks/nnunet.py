"""nnU-Net's network as its plans describe it, one for each fold, as one module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from ..errors import InputError
from ..segmentation.plans_file import read_plans


def build_fold(content: Mapping[str, Any], deep_supervision: bool = False) -> nn.Module:
    """The network of one fold with random weights.

    Args:
        content: of an `nnunet.json`.
        deep_supervision: return logits at all resolutions, finest first, instead of the finest alone.
    """
    plans = PlansManager(dict(content["plans"]))
    configuration = plans.get_configuration(content["configuration"])
    return get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        determine_num_input_channels(plans, configuration, content["dataset_json"]),
        plans.get_label_manager(content["dataset_json"]).num_segmentation_heads,
        deep_supervision=deep_supervision,
    )


class NnunetEnsemble(nn.Module):
    """Mean logits of the folds' networks: what nnU-Net's predictor averages, since windows are merged linearly.

    Args:
        plans: path of an `nnunet.json`, or its content.
        deep_supervision: in training mode, return logits at all resolutions, finest first; for a single fold.
    """

    def __init__(self, plans: Any, deep_supervision: bool = False) -> None:
        super().__init__()
        content = read_plans(plans)
        self.folds = nn.ModuleList(build_fold(content, deep_supervision) for _ in range(content["num_folds"]))

    def forward(self, image: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Patch (B, C, Z, Y, X), normalised as the plans say, to logits (B, classes, Z, Y, X)."""
        logits = self.folds[0](image)
        if isinstance(logits, (list, tuple)):
            return list(logits) if self.training else logits[0]
        for fold in self.folds[1:]:
            logits = logits + fold(image)
        return logits / len(self.folds)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As of any module, but weights that lack a part are refused even where a tool asks for leniency.

        Weights of more folds than this module has are taken for those that it has, unless `strict`.

        Raises:
            InputError: a part of the network would stay random.
        """
        missing = sorted(self.state_dict().keys() - state_dict.keys())
        if missing and not strict:
            raise InputError(
                f"the weights lack {len(missing)} entries of the network (first: {missing[0]}); use the nnunet.json "
                "that was exported with them"
            )
        return super().load_state_dict(state_dict, strict, assign)
