"""The VQ-GAN's adversarial training: a weight that follows the gradients, a start counted in iterations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from .adversarial import AdversarialTrainer


class AdaptiveAdversarialTrainer(AdversarialTrainer):
    """`AdversarialTrainer` as Esser et al. 2021 (section 3.2) weigh the discriminator.

    The generator's adversarial term is multiplied by the ratio of the norms of two gradients at the generator's last
    layer, that of the reconstruction over that of the adversarial term, on top of `adversarial_weight`.

    The discriminator learns from the reconstructions on which the generator was just judged; the authors' code makes
    them anew after the generator's step.

    Args:
        last_layer: the generator's last layer, with a `weight`.
        adversarial_start_iteration: iterations before the discriminator takes part, in place of `adversarial_start`.
        reconstruction_terms: names of the terms that make up the reconstruction; not the codebook's.
        **kwargs: of `AdversarialTrainer`.
    """

    def __init__(
        self,
        *,
        last_layer: nn.Module,
        adversarial_start_iteration: int = 0,
        reconstruction_terms: Sequence[str] = ("l1", "perceptual"),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.last_layer = last_layer
        self.adversarial_start_iteration = adversarial_start_iteration
        self.reconstruction_terms = tuple(reconstruction_terms)

    def discriminator_has_started(self) -> bool:
        """Whether more iterations than `adversarial_start_iteration` have begun."""
        return self.state.iteration > self.adversarial_start_iteration

    def balance(
        self, generator_terms: dict[str, torch.Tensor], terms: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """The adversarial term times the ratio of gradients.

        Raises:
            InputError: the loss has no term of the reconstruction.
        """
        found = [terms[name] for name in self.reconstruction_terms if name in terms]
        if not found:
            raise InputError(
                f"the adaptive adversarial weight needs one of the terms {', '.join(self.reconstruction_terms)}; "
                "their weights are all 0"
            )
        weighted = generator_terms["adversarial"]
        ratio = gradient_ratio(sum(found), weighted / self.adversarial_weight, self.last_layer.weight)
        return {**generator_terms, "adversarial": ratio * weighted}

    def judge_both(self, fake: torch.Tensor, real: torch.Tensor) -> list[torch.Tensor]:
        """The logits for fakes, then as many reals.

        In a pass each, as the authors' code has it: batch normalisation then sees statistics of one kind at a time.
        A distributed discriminator can do so because both passes use all of its parameters and share one backward.
        """
        judged_real, judged_fake = self.discriminator(real)[-1], self.discriminator(fake)[-1]
        return [torch.cat([judged_fake, judged_real])]


def gradient_ratio(reconstruction: torch.Tensor, adversarial: torch.Tensor, weight: nn.Parameter) -> torch.Tensor:
    """Norm of the first loss's gradient at a weight over that of the second, between 0 and 10000, without gradient.

    Both losses are scalars whose graphs are kept. The constants are those of the authors' code.
    """
    norms = [torch.autograd.grad(loss, weight, retain_graph=True)[0].norm() for loss in (reconstruction, adversarial)]
    return (norms[0] / (norms[1] + 1e-4)).clamp(0.0, 1e4).detach()
