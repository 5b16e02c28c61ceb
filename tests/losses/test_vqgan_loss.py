"""The VQ-GAN's loss terms by hand, and the hinge loss against MONAI's, which is another one."""

import pytest
import torch
from monai.losses import PatchAdversarialLoss

from common.io.files import sha256_of_file
from common.losses.vqgan import HingeLoss, VqganLoss, lpips_term

IMAGE = torch.zeros(1, 1, 2, 2)
PREDICTION = (IMAGE + 0.5, torch.tensor(3.0), torch.zeros(1, 1, 1, dtype=torch.long))


def test_terms_are_weighted():
    terms = VqganLoss(l1=2.0, codebook=0.5)(PREDICTION, (IMAGE, None))
    assert {name: float(term) for name, term in terms.items()} == {"l1": 1.0, "codebook": 1.5}
    assert set(VqganLoss(l1=0.0)(PREDICTION, (IMAGE, None))) == {"codebook"}
    assert set(VqganLoss(codebook=0.0)(PREDICTION, (IMAGE, None))) == {"l1"}


@pytest.mark.parametrize(("weight", "expected"), [(1.0, 0.5), (5.0, 0.5 * (5 + 5 + 1 + 1) / 4)])
def test_lesion_pixels_weigh_as_told_whatever_their_class(weight, expected):
    mask = torch.tensor([[2, 6], [0, 0]], dtype=torch.uint8).view(1, 1, 2, 2)
    terms = VqganLoss(lesion_weight=weight)(PREDICTION, (IMAGE, mask))
    assert float(terms["l1"]) == pytest.approx(expected)


class Distance(torch.nn.Module):
    """In place of LPIPS: a mean square over three channels, (B, 1, 1, 1) as LPIPS gives it."""

    def forward(self, first, second):
        return (first - second).square().sum(1, keepdim=True).mean((2, 3), keepdim=True)


def test_lpips_is_the_mean_distance_of_a_network_that_sees_three_equal_channels(tmp_path):
    path = tmp_path / "lpips.ts"
    torch.jit.save(torch.jit.script(Distance()), str(path))
    loss = VqganLoss(0.0, 0.0, perceptual=0.5, lpips=lpips_term(path, sha256_of_file(path)))
    image, other = torch.zeros(2, 1, 8, 8), torch.full((2, 1, 8, 8), 0.2, requires_grad=True)
    terms = loss((other, *PREDICTION[1:]), (image, None))
    assert float(terms["perceptual"].detach()) == pytest.approx(0.5 * 3 * 0.04)
    terms["perceptual"].backward()
    assert torch.allclose(other.grad, torch.full_like(other, 0.5 * 3 * 2 * 0.2 / (2 * 64)))
    assert lpips_term(None, None) is None


def test_perceptual_term_off_is_said(caplog):
    with caplog.at_level("INFO"):
        loss = VqganLoss(perceptual=1.0)
    assert "perceptual term (LPIPS) is off" in caplog.text
    assert "perceptual" not in loss(PREDICTION, (IMAGE, None))


def test_hinge_loss_by_hand():
    hinge, logits = HingeLoss(), torch.tensor([[-2.0, 0.5], [3.0, 0.0]])
    real = hinge(logits, target_is_real=True, for_discriminator=True)
    fake = hinge(logits, target_is_real=False, for_discriminator=True)
    assert float(real) == pytest.approx((3 + 0.5 + 0 + 1) / 4)
    assert float(fake) == pytest.approx((0 + 1.5 + 4 + 1) / 4)
    assert float(hinge(logits, target_is_real=True, for_discriminator=False)) == pytest.approx(-1.5 / 4)


def test_monais_hinge_is_another_loss():
    monai, logits = PatchAdversarialLoss(criterion="hinge"), torch.tensor([[-2.0, 0.5], [3.0, 0.0]])
    bounded = torch.tanh(logits)
    found = monai(logits, target_is_real=True, for_discriminator=True)
    assert float(found) == pytest.approx(float(HingeLoss()(bounded, True, True)))
    assert abs(float(found) - float(HingeLoss()(logits, True, True))) > 0.05
    for_generator = monai(logits, target_is_real=True, for_discriminator=False)
    assert abs(float(for_generator) - float(HingeLoss()(logits, True, False))) > 0.05
