"""One adversarial trainer for autoencoders and paired translation.

MONAI's own feeds the discriminator the generator's input as real, which fits autoencoders only, and expects one loss
value. Here the target is real, losses are named terms, and the discriminator joins at a chosen epoch or never.
"""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys as Keys
from torch import nn


class AdversarialTrainer(SupervisedTrainer):
    """MONAI `SupervisedTrainer` whose loss is a sum of named terms, with an optional discriminator.

    Args:
        discriminator: network whose last output is the logits (MONAI's patch discriminators); None or
            `adversarial_weight` 0 trains without.
        discriminator_optimizer: its optimiser.
        adversarial_loss: MONAI `PatchAdversarialLoss`.
        adversarial_weight: of the generator's adversarial term.
        adversarial_start: first epoch with the discriminator.
        **kwargs: of `SupervisedTrainer`; `loss_function(prediction, target)` returns a dict of weighted terms.

    `state.output` is a list of one dict for the batch (MONAI's handlers expect lists, but tuples of parts cannot be
    decollated; so `decollate` has to be False) with `image`, `label`, `pred`, `loss` and `terms`.
    """

    def __init__(
        self,
        *,
        discriminator: nn.Module | None = None,
        discriminator_optimizer: torch.optim.Optimizer | None = None,
        adversarial_loss: nn.Module | None = None,
        adversarial_weight: float = 0.0,
        adversarial_start: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.discriminator = discriminator
        self.discriminator_optimizer = discriminator_optimizer
        self.adversarial_loss = adversarial_loss
        self.adversarial_weight = adversarial_weight
        self.adversarial_start = adversarial_start

    def discriminator_has_started(self) -> bool:
        """Whether the discriminator takes part in this iteration; subclasses may count otherwise than in epochs."""
        return self.state.epoch >= self.adversarial_start

    def generated_image(self, prediction: Any) -> torch.Tensor:
        """The image within the generator's output: the first part of a tuple, or the output itself."""
        return prediction[0] if isinstance(prediction, tuple) else prediction

    def real_image(self, target: Any) -> torch.Tensor:
        """The image within the target: the first part of a tuple, or the target itself."""
        return target[0] if isinstance(target, tuple) else target

    def discriminator_input(self, inputs: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """What the discriminator sees; subclasses append the condition here."""
        return image

    def _iteration(self, engine: AdversarialTrainer, batchdata: dict) -> list[dict]:
        inputs, target, args, kwargs = engine.prepare_batch(
            batchdata, engine.state.device, engine.non_blocking, **engine.to_kwargs
        )
        adversarial = engine.adversarial_weight > 0 and engine.discriminator_has_started()
        engine.network.train()
        engine.state.output = {Keys.IMAGE: inputs, Keys.LABEL: target}
        prediction = engine.inferer(inputs, engine.network, *args, **kwargs)
        engine.state.output[Keys.PRED] = prediction
        engine.fire_event(IterationEvents.FORWARD_COMPLETED)

        terms = engine.loss_function(prediction, target)
        fake = engine.discriminator_input(inputs, engine.generated_image(prediction).float())
        if adversarial:
            # Without the distributed wrapper: this pass leaves no gradients in the discriminator to be averaged.
            judge = getattr(engine.discriminator, "module", engine.discriminator).requires_grad_(False)
            real = engine.discriminator_input(inputs, engine.real_image(target))
            terms |= engine.balance(engine.generator_terms(judge, fake, real), terms)
        loss = sum(terms.values())
        engine.fire_event(IterationEvents.LOSS_COMPLETED)
        engine.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        engine.optimizer.step()

        if adversarial:
            terms["discriminator"] = engine._train_discriminator(fake.detach(), real)
        engine.state.output[Keys.LOSS] = loss.detach()
        engine.state.output["terms"] = {name: float(term.detach()) for name, term in terms.items()}
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return [engine.state.output]

    def generator_terms(self, judge: nn.Module, fake: torch.Tensor, real: torch.Tensor) -> dict[str, torch.Tensor]:
        """Weighted loss terms that the generator gets from the discriminator; subclasses add theirs."""
        logits = judge(fake)[-1].float()
        loss = self.adversarial_loss(logits, target_is_real=True, for_discriminator=False)
        return {"adversarial": self.adversarial_weight * loss}

    def balance(
        self, generator_terms: dict[str, torch.Tensor], terms: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Hook: the discriminator's terms, weighed against those of `loss_function`; here as they are."""
        return generator_terms

    def judge_both(self, fake: torch.Tensor, real: torch.Tensor) -> Any:
        """The discriminator's outputs for fakes, then as many reals.

        In one pass, as a distributed discriminator needs; its normalisation has to act on each image alone.
        """
        return self.discriminator(torch.cat([fake, real]))

    def discriminator_loss(self, judged: Any) -> torch.Tensor:
        """Loss of the discriminator from its outputs for fakes, then as many reals, in one batch."""
        fake, real = judged[-1].float().chunk(2)
        fake_loss = self.adversarial_loss(fake, target_is_real=False, for_discriminator=True)
        real_loss = self.adversarial_loss(real, target_is_real=True, for_discriminator=True)
        return 0.5 * (fake_loss + real_loss)

    def _train_discriminator(self, fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        self.discriminator.requires_grad_(True).train()
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        loss = self.discriminator_loss(self.judge_both(fake, real))
        loss.backward()
        self.discriminator_optimizer.step()
        return loss
