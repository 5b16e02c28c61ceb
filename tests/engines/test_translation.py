"""The translating trainer's terms against the original's formulas, the validator's metrics against torchmetrics."""

import types

import pytest
import torch
from ignite.engine import Engine
from torch.nn import functional

from common.engines.schedules import ConstantThenLinear
from common.engines.translation import TranslationMetrics, TranslationPrepareBatch, TranslationTrainer, same_metrics
from common.losses.translation import TranslationLoss
from common.metrics.features import RandomConvolutionFeatures
from common.networks.patch_pyramid import PatchPyramid


def trainer(**overrides):
    found = TranslationTrainer.__new__(TranslationTrainer)
    found.adversarial_weight, found.feature_weight = 1.0, 10.0
    for name, value in overrides.items():
        setattr(found, name, value)
    return found


def test_generator_terms_follow_pix2pixhd():
    torch.manual_seed(0)
    pyramid, fake, real = PatchPyramid(4, 8), torch.rand(2, 4, 32, 32), torch.rand(2, 4, 32, 32)
    terms = trainer(adversarial_weight=0.5).generator_terms(pyramid, fake, real)
    judged_fake, judged_real = pyramid(fake), pyramid(real)
    adversarial = sum(((scale[-1] - 1) ** 2).mean() for scale in judged_fake)
    # The original: feature weight 4 / (layers + 1), scale weight 1 / scales, four layers before the logits.
    matching = sum(
        0.5 * (4 / 4) * functional.l1_loss(judged_fake[s][layer], judged_real[s][layer])
        for s in range(2)
        for layer in range(4)
    )
    assert torch.allclose(terms["adversarial"], 0.5 * adversarial)
    assert torch.allclose(terms["feature_matching"], 10 * matching)


def test_discriminator_loss_is_half_the_sum_over_scales():
    judged = [[torch.tensor([[0.5], [0.25]])], [torch.tensor([[1.0], [1.0]])]]
    expected = 0.5 * (0.5**2 + (0.25 - 1) ** 2 + 1.0**2 + 0.0)
    assert float(trainer().discriminator_loss(judged)) == pytest.approx(expected)


def test_discriminator_sees_the_condition_once_a_channel():
    pair = trainer().discriminator_input(torch.ones(1, 1, 4, 4), torch.zeros(1, 3, 4, 4))
    assert pair.shape == (1, 6, 4, 4)
    assert pair[:, :3].all() and not pair[:, 3:].any()


def test_tumour_pixels_weigh_as_told():
    prediction, phases, mask = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    mask[..., 0, 0] = 3
    loss = TranslationLoss(l1=2.0, tumor_weight=5.0)(prediction, (phases, mask))
    assert float(loss["l1"]) == pytest.approx(2 * (5 + 1 + 1 + 1) / 4)


def test_kinetics_term_is_the_error_of_the_differences_between_phases():
    prediction, phases = torch.zeros(1, 3, 1, 1), torch.tensor([1.0, 3.0, 2.0]).view(1, 3, 1, 1)
    loss = TranslationLoss(l1=0.0, tumor_weight=4.0, kinetics=0.5)(prediction, (phases, torch.ones(1, 1, 1, 1)))
    assert loss.keys() == {"kinetics"}
    assert float(loss["kinetics"]) == pytest.approx(0.5 * 4 * (2 + 1) / 2)
    assert not TranslationLoss(l1=0.0, kinetics=1.0)(prediction[:, :1], (phases[:, :1], torch.ones(1, 1, 1, 1)))


def test_channels_stand_for_the_phases_that_are_named():
    batch = {"image": torch.zeros(1, 1, 2, 2), "phases": torch.arange(3.0).view(1, 3, 1, 1), "label": torch.zeros(1)}
    _, (phases, _), _, _ = TranslationPrepareBatch([3, 1, 1])(batch)
    assert phases.flatten().tolist() == [2.0, 0.0, 0.0]


def test_schedule_is_constant_then_falls_to_nothing():
    # The original lowers the rate by 1 % of it at the end of epochs 101 to 200.
    factor = ConstantThenLinear(100, 200)
    assert [factor(epoch) for epoch in (0, 99, 100)] == [1.0, 1.0, 1.0]
    assert factor(101) == pytest.approx(0.99)
    assert factor(199) == pytest.approx(0.01)
    assert factor(200) == 0


def test_validation_metrics_agree_with_torchmetrics():
    from torchmetrics.functional.image import structural_similarity_index_measure

    torch.manual_seed(0)
    real, mask = torch.rand(3, 2, 32, 32), torch.zeros(3, 1, 32, 32)
    mask[0, :, 4:8, 4:8] = 1
    made = real + 0.1 * torch.randn_like(real)
    extractor = RandomConvolutionFeatures(spatial_dims=2)
    handler = TranslationMetrics({"random_convolutions": extractor})
    engine = Engine(lambda engine, batch: batch)
    handler.attach(engine)
    output = {"pred": made, "label": (real, mask), "image": real[:, :1]}
    engine.run([output], max_epochs=1)
    metrics = engine.state.metrics
    assert metrics["validation_mse"] == pytest.approx(float((made - real).square().mean()))
    assert metrics["validation_mae_tumor"] == pytest.approx(float((made - real)[0, :, 4:8, 4:8].abs().mean()))
    inner = structural_similarity_index_measure(made, real, data_range=1.0, return_full_image=True)[1][..., 5:-5, 5:-5]
    assert metrics["validation_ssim"] == pytest.approx(float(inner.mean()), abs=2e-3)
    assert metrics["validation_fd_random_convolutions"] > 0
    assert set(same_metrics(handler.extractors)) <= {"validation_mae", *metrics}


def test_same_metrics_name_their_direction():
    found = same_metrics({"a": types.SimpleNamespace()})
    assert found["validation_ssim"] == "higher"
    assert found["validation_fd_a"] == "lower"
