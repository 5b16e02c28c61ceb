"""The VQ-GAN's trainer against a plain loop: adaptive weight, late start, batch statistics of one kind at a time."""

import copy

import pytest
import torch
from monai.networks.nets import PatchDiscriminator
from torch import nn

from common.engines.adaptive_adversarial import AdaptiveAdversarialTrainer, gradient_ratio
from common.engines.adversarial import AdversarialTrainer
from common.errors import InputError
from common.losses.vqgan import HingeLoss, VqganLoss
from common.networks.vqgan import VQGAN

WEIGHT, START = 0.75, 2


def test_discriminator_has_the_papers_size():
    with torch.device("meta"):
        network = PatchDiscriminator(2, channels=64, in_channels=1, num_layers_d=3)
    assert sum(p.numel() for p in network.parameters()) == 2_763_585
    assert {type(m) for m in network.modules() if "Norm" in type(m).__name__} == {nn.BatchNorm2d}


def test_ratio_of_gradients_by_hand():
    weight = nn.Parameter(torch.tensor([1.0, 1.0]))
    reconstruction, adversarial = (weight * torch.tensor([3.0, 4.0])).sum(), (weight * torch.tensor([0.0, -2.0])).sum()
    ratio = gradient_ratio(reconstruction, adversarial, weight)
    assert float(ratio) == pytest.approx(5 / 2.0001)
    assert not ratio.requires_grad
    assert float(gradient_ratio(1e3 * reconstruction, 0 * adversarial, weight)) == 1e4


def parts():
    torch.manual_seed(0)
    network = VQGAN(channels=(8, 16), norm_num_groups=4, num_embeddings=16, num_res_blocks=1)
    discriminator = PatchDiscriminator(2, channels=4, in_channels=1, num_layers_d=2)
    return network, discriminator


def adam(network):
    return torch.optim.Adam(network.parameters(), 1e-3, betas=(0.5, 0.9))


def prepare_batch(batch, *args, **kwargs):
    return batch, (batch, None), (), {}


def run(network, discriminator, batches, kind=AdaptiveAdversarialTrainer, **options):
    trainer = kind(
        device="cpu",
        max_epochs=1,
        train_data_loader=batches,
        network=network,
        optimizer=adam(network),
        loss_function=VqganLoss(),
        prepare_batch=prepare_batch,
        discriminator=discriminator,
        discriminator_optimizer=adam(discriminator),
        adversarial_loss=HingeLoss(),
        adversarial_weight=WEIGHT,
        decollate=False,
        **options,
    )
    terms = []
    trainer.add_event_handler("ITERATION_COMPLETED", lambda engine: terms.append(engine.state.output[0]["terms"]))
    trainer.run()
    return terms


def plain_loop(network, discriminator, batches):
    """The same, written out."""
    generator_steps, discriminator_steps = adam(network), adam(discriminator)
    history = []
    for step, image in enumerate(batches):
        fake, codebook, _ = network(image)
        pixel = (fake - image).abs().mean()
        loss, terms = pixel + codebook, {"l1": float(pixel.detach()), "codebook": float(codebook.detach())}
        if step >= START:
            judged = -discriminator(fake)[-1].mean()
            last = network.decoder.blocks[-1].conv.weight
            for_pixels = torch.autograd.grad(pixel, last, retain_graph=True)[0].norm()
            for_judge = torch.autograd.grad(judged, last, retain_graph=True)[0].norm()
            term = WEIGHT * min(float(for_pixels / (for_judge + 1e-4)), 1e4) * judged
            loss, terms["adversarial"] = loss + term, float(term.detach())
        generator_steps.zero_grad()
        loss.backward()
        generator_steps.step()
        if step >= START:
            discriminator_steps.zero_grad()
            on_real, on_fake = discriminator(image)[-1], discriminator(fake.detach())[-1]
            loss = 0.5 * ((1 - on_real).clamp(min=0).mean() + (1 + on_fake).clamp(min=0).mean())
            loss.backward()
            discriminator_steps.step()
            terms["discriminator"] = float(loss.detach())
        history.append(terms)
    return history


def test_training_equals_a_plain_loop():
    first, second = parts(), None
    second = copy.deepcopy(first)
    batches = list(torch.rand(5, 3, 1, 16, 16) * 2 - 1)
    found = run(*first, batches, last_layer=first[0].last_layer, adversarial_start_iteration=START)
    expected = plain_loop(*second, batches)
    assert [set(terms) for terms in found] == [{"l1", "codebook"}] * START + [
        {"l1", "codebook", "adversarial", "discriminator"}
    ] * 3
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)
    for ours, theirs in zip(first, second, strict=True):
        for (name, value), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            assert torch.allclose(value.float(), other.float(), rtol=1e-3, atol=1e-4), name


def test_statistics_of_fakes_and_reals_are_not_mixed():
    trainer = AdaptiveAdversarialTrainer.__new__(AdaptiveAdversarialTrainer)
    _, trainer.discriminator = parts()
    fake, real = torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16) - 1
    separate = trainer.judge_both(fake, real)[-1]
    assert torch.allclose(separate, torch.cat([trainer.discriminator(x)[-1] for x in (fake, real)]), atol=1e-6)
    together = AdversarialTrainer.judge_both(trainer, fake, real)[-1]
    assert separate.shape == together.shape
    assert not torch.allclose(separate, together, atol=1e-2)


def test_a_loss_without_reconstruction_cannot_be_balanced():
    network, _ = parts()
    trainer = AdaptiveAdversarialTrainer.__new__(AdaptiveAdversarialTrainer)
    trainer.reconstruction_terms = ("l1", "perceptual")
    with pytest.raises(InputError, match="l1, perceptual"):
        trainer.balance({"adversarial": torch.tensor(1.0)}, {"codebook": torch.tensor(1.0)})


def test_parent_starts_by_epoch_with_a_constant_weight():
    network, discriminator = parts()
    batches = list(torch.rand(2, 3, 1, 16, 16))
    judge, first = copy.deepcopy(discriminator), copy.deepcopy(network)
    terms = run(network, discriminator, batches, AdversarialTrainer)
    assert terms[0]["adversarial"] == pytest.approx(
        float(-WEIGHT * judge(first(batches[0])[0])[-1].mean().detach()), rel=1e-4
    )
    assert "adversarial" not in run(network, discriminator, batches, AdversarialTrainer, adversarial_start=2)[0]
