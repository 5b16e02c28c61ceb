import numpy as np
import pytest
import torch
from monai.data import MetaTensor, decollate_batch, list_data_collate

from common.errors import InputError
from common.transforms.intensity import NormalizeDced, RestoreIntensityd, common_scale, minmax_scale


def volumes(seed=0, shape=(1, 13, 11, 9)):
    rng = np.random.default_rng(seed)
    pre = rng.gamma(2.0, 150.0, shape).astype(np.float32) * (rng.random(shape) > 0.5)
    affine = torch.tensor([[-0.7, 0, 0, 90], [0, 0.7, 0, -60], [0, 0, 1.1, 5], [0, 0, 0, 1]], dtype=torch.float64)
    post = MetaTensor(np.concatenate([pre * 1.5 + 20, pre * 2, pre]), affine=affine)
    return MetaTensor(pre, affine=affine), post


@pytest.mark.parametrize("shape", [(1, 13, 11, 9), (1, 40, 41, 17), (2, 2, 1)])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float16, np.float32, np.float64])
def test_scale_is_numpys_percentile_for_any_type(shape, dtype):
    pre = np.asarray(volumes(1, shape)[0]).astype(dtype)
    before = pre.copy()
    exact = pre.astype(np.float64)
    low, high = np.percentile(exact, 0.5), np.percentile(exact[exact > exact.mean()], 99)
    for form in (pre, torch.from_numpy(pre), MetaTensor(pre), np.asfortranarray(pre), pre[..., ::-1]):
        assert common_scale(form) == pytest.approx((low, high - low), rel=1e-12)
    assert np.array_equal(pre, before)


def test_scale_by_hand():
    # Mean 4.5; of 5 ... 9 the 99th percentile has rank 3.96, so 8.96; of 0 ... 9 the 0.5th has rank 0.045.
    assert common_scale(torch.arange(10)) == pytest.approx((0.045, 8.96 - 0.045))
    assert common_scale(torch.arange(10).bfloat16()) == pytest.approx((0.045, 8.96 - 0.045))


def test_scale_of_a_volume_too_large_for_torch_quantile():
    pre = np.zeros(2**24 + 10, np.uint8)
    pre[: 2**23] = 100
    pre[: 2**21] = 200
    with pytest.raises(RuntimeError):
        torch.quantile(torch.from_numpy(pre).float(), 0.5)
    assert common_scale(pre) == (0.0, 200.0)


def test_all_phases_share_the_scale_of_the_pre_contrast_volume():
    pre, post = volumes()
    offset, factor = common_scale(pre)
    item = NormalizeDced(["pre", "post"], "pre")({"pre": pre, "post": post, "case": "x"})
    assert item["scale"] == {"offset": offset, "factor": factor}
    assert np.allclose(item["pre"], (np.asarray(pre) - offset) / factor, atol=1e-6)
    assert np.allclose(item["post"] - item["pre"], (np.asarray(post) - np.asarray(pre)) / factor, atol=1e-5)
    assert item["post"].dtype == torch.float32
    assert torch.equal(item["post"].affine, post.affine)


@pytest.mark.parametrize("mode", ["common", "minmax"])
def test_intensities_come_back_after_a_batch_too(mode):
    pre, post = volumes()
    item = NormalizeDced(["pre", "post"], "pre", mode)({"pre": pre, "post": post})
    for back in (item, decollate_batch(list_data_collate([item, item]))[1]):
        back = RestoreIntensityd(["pre", "post"])(back)
        for key, original in (("pre", pre), ("post", post)):
            assert torch.allclose(back[key].as_tensor(), original.as_tensor(), atol=1e-3, rtol=1e-6)
            assert torch.equal(back[key].affine, original.affine)


def test_a_predicted_phase_comes_back_under_the_common_scale_only():
    pre, _ = volumes()
    item = NormalizeDced(["pre", "post"], "pre", allow_missing_keys=True)({"pre": pre})
    item["pred"] = torch.full((3, 13, 11, 9), 0.5)
    offset, factor = common_scale(pre)
    assert RestoreIntensityd("pred")(item)["pred"].unique().item() == pytest.approx(offset + factor / 2)
    item = NormalizeDced("pre", "pre", "minmax")({"pre": pre}) | {"pred": item["pred"]}
    with pytest.raises(InputError, match="case, pred: .*mode=common"):
        RestoreIntensityd("pred")(item)


def test_minmax_takes_each_channel_to_its_own_range():
    _, post = volumes()
    scaled = NormalizeDced("post", mode="minmax")({"post": post})["post"]
    assert scaled.amin((1, 2, 3)).tolist() == pytest.approx([-1.0] * 3)
    assert scaled.amax((1, 2, 3)).tolist() == pytest.approx([1.0] * 3)
    offset, factor = minmax_scale(torch.tensor([[0, 10], [4, 6]], dtype=torch.uint16))
    assert (offset.tolist(), factor.tolist()) == ([5, 5], [5, 1])


@pytest.mark.parametrize("mode", ["common", "minmax"])
@pytest.mark.parametrize("value", [0.0, 7.0, float("nan")])
def test_volumes_without_a_scale_are_refused_by_name(mode, value):
    with pytest.raises(InputError, match="^case_1, pre: "):
        NormalizeDced("pre", "pre", mode)({"pre": torch.full((1, 4, 4, 4), value), "case": "case_1"})


def test_a_mostly_constant_volume_is_refused():
    pre = torch.full((1000,), 100.0)
    pre[0] = 0
    with pytest.raises(InputError, match="nearly constant"):
        common_scale(pre)
