import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.transforms.geometry import (
    FitToGridd,
    RandFitToGridd,
    SamplingCanvasd,
    atlas_canvas,
    content_canvas,
    is_atlas_grid,
)


def ramp(shape, affine):
    """A volume whose four channels are world coordinates and one: exact under any right linear resampling."""
    index = np.stack([*np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), np.ones(shape)])
    world = np.einsum("ij,jxyz->ixyz", affine, index)
    return MetaTensor(torch.from_numpy(world).float(), affine=torch.from_numpy(affine))


AFFINE = np.array([[1.5, 0, 0, -40], [0, 1.5, 0, 10], [0, 0, 3.0, 5], [0, 0, 0, 1.0]])


def test_fit_keeps_world_coordinates_and_the_affine_says_where():
    image = ramp((40, 48, 20), AFFINE)
    canvas = torch.tensor([[6.0, 8, 3], [34.0, 40, 17]])
    fit = FitToGridd(("image",), (16, 16, 8), mode=("bilinear",), background=(0.0,))
    fitted = fit({"image": image, "canvas": canvas})["image"]
    assert fitted.shape == (4, 16, 16, 8)
    expected = ramp((16, 16, 8), np.asarray(fitted.affine))
    assert torch.allclose(fitted[:3], expected[:3].as_tensor(), atol=1e-2)
    # One factor in plane (the larger extent, 32 voxels, fills 16), another along z, the centre kept.
    assert np.allclose(np.asarray(fitted.pixdim), [1.5 * 2, 1.5 * 2, 3.0 * 14 / 8])
    centre = np.asarray(fitted.affine) @ [7.5, 7.5, 3.5, 1]
    assert np.allclose(centre, AFFINE @ [19.5, 23.5, 9.5, 1])


def test_fit_inverts_to_the_same_grid():
    image = ramp((40, 48, 20), AFFINE)
    fit = FitToGridd(("image",), (64, 64, 32), mode=("bilinear",), background=(0.0,))
    item = fit({"image": image, "canvas": torch.tensor([[0.0, 0, 0], [40, 48, 20]])})
    back = fit.inverse(item)["image"]
    assert back.shape == image.shape
    assert torch.allclose(back.affine, image.affine)
    inner = (slice(0, 3), slice(4, -4), slice(4, -4), slice(4, -4))
    assert torch.allclose(back[inner].as_tensor(), image[inner].as_tensor(), atol=1e-2)


def test_outside_the_volume_lies_the_background_of_each_key():
    image, mask = ramp((10, 10, 10), np.eye(4)), MetaTensor(torch.ones(1, 10, 10, 10))
    fit = FitToGridd(("image", "label"), (20, 20, 20), background=(-4.0, 0.0))
    item = fit({"image": image, "label": mask, "canvas": torch.tensor([[-5.0] * 3, [15.0] * 3])})
    assert float(item["image"][0, 0, 0, 0]) == -4
    assert float(item["label"][0, 0, 0, 0]) == 0
    assert float(item["label"].sum()) == 1000


def test_random_fit_is_seeded_and_knows_both_canvases():
    atlas = torch.tensor([[-5.0] * 3, [25.0] * 3])
    item = {"image": ramp((20, 20, 20), np.eye(4)), "label": MetaTensor(torch.ones(1, 20, 20, 20))}
    item |= {"canvas": torch.tensor([[0.0] * 3, [20.0] * 3]), "atlas_canvas": atlas}
    spacings = set()
    for seed in range(12):
        fit = RandFitToGridd(("image", "label"), (16, 16, 16), atlas_share=0.5)
        first, second = (fit.set_random_state(seed)(item)["image"] for _ in range(2))
        assert torch.equal(first.as_tensor(), second.as_tensor())
        spacings.add(round(float(first.pixdim[0]), 4))
    assert round(30 / 16, 4) in spacings
    assert len(spacings) > 3


@pytest.mark.parametrize(
    ("shape", "spacing", "is_atlas"),
    [((240, 240, 155), 1.0, True), ((96, 96, 62), 2.5, True), ((240, 240, 150), 1.0, False)],
)
def test_canvas_of_a_lone_mask_is_the_atlas_or_the_whole_grid(shape, spacing, is_atlas):
    mask = MetaTensor(torch.zeros(1, *shape), affine=torch.diag(torch.tensor([spacing] * 3 + [1.0])))
    mask[0, 30:34, 30:34, 30:34] = 1
    assert is_atlas_grid(mask) is is_atlas
    if is_atlas:
        item = SamplingCanvasd("image")({"image": mask})
        assert torch.equal(item["canvas"], atlas_canvas(mask))
    else:
        with pytest.warns(UserWarning, match="--reference"):
            item = SamplingCanvasd("image")({"image": mask})
        assert item["canvas"].tolist() == [[0, 0, 0], list(shape)]


def test_canvas_from_content():
    image = torch.zeros(2, 9, 9, 9)
    image[1, 2:5, 3:4, 6:9] = -1
    assert content_canvas(image).tolist() == [[2, 3, 6], [5, 4, 9]]
