"""Lesions on the way to the network and back, whatever way a file stores them, and the channels of the condition."""

import json

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.cohorts.lesion_annotations import LesionAnnotation, read_annotation, save_annotation
from common.errors import InputError
from common.io.images import load_image
from common.transforms.lesion_frame import LesionFrame, fit_labels
from common.transforms.lesions import (
    ClassIndexd,
    LesionChannelsd,
    LoadLesionsd,
    LoadMipd,
    class_map,
    lesion_channels,
)
from common.transforms.slice_grid import SliceGrid

RAS = np.array([[1.5, 0, 0, -20], [0, 1.5, 0, 10], [0, 0, 30, 7], [0, 0, 0, 1.0]])
# From RAS: which axis each stored one is, and whether it runs the same way.
STORAGES = {
    "RAS": [[0, 1], [1, 1], [2, 1]],
    "LAS": [[0, -1], [1, 1], [2, 1]],
    "LPS": [[0, -1], [1, -1], [2, 1]],
    "ARS": [[1, 1], [0, 1], [2, 1]],
    "ALS": [[1, -1], [0, 1], [2, 1]],
    "PRS": [[1, 1], [0, -1], [2, 1]],
    "PLI": [[1, -1], [0, -1], [2, -1]],
}


def stored(plane, storage, affine=RAS):
    """NIfTI image of a plane (X, Y) in RAS as another program stores it."""
    image = nibabel.Nifti1Image(plane[..., None], affine).as_reoriented(STORAGES[storage])
    assert "".join(nibabel.aff2axcodes(image.affine)) == storage
    return image


def annotation_of(image, classes):
    return LesionAnnotation(
        "mask.nii.gz", np.asarray(image.dataobj)[..., 0].astype(np.uint16), classes, np.asarray(image.affine)
    )


def plane(shape=(24, 16)):
    labels = np.zeros(shape, np.uint16)
    labels[2:8, 3:9], labels[16:20, 10:14] = 1, 2
    return labels


@pytest.mark.parametrize("storage", STORAGES)
def test_the_network_sees_ras_whatever_the_file_stores(storage):
    annotation = annotation_of(stored(plane(), storage), {1: 4, 2: 6})
    frame = LesionFrame(annotation, (24, 24))
    expected = np.pad(plane(), ((0, 0), (4, 4)))
    np.testing.assert_array_equal(frame.labels_to_network(annotation.instances), expected)
    assert nibabel.aff2axcodes(frame.network_affine) == ("R", "A", "S")
    np.testing.assert_allclose(np.abs(frame.network_affine[:3, :3]), np.diag((1.5, 1.5, 30)), atol=1e-9)
    # Pixel (5, 6) of the plane is pixel (5, 10) of the network.
    np.testing.assert_allclose(frame.network_affine @ (5, 10, 0, 1), RAS @ (5, 6, 0, 1), atol=1e-9)
    on_network = frame.annotation_on_network(annotation)
    np.testing.assert_array_equal(on_network.class_map(), np.select([expected == 1, expected == 2], [4, 6], 0))
    assert on_network.classes == {1: 4, 2: 6}


@pytest.mark.parametrize("storage", STORAGES)
def test_images_return_to_the_files_own_pixels(storage):
    rng = np.random.default_rng(0)
    drawn = rng.random((24, 16)).astype(np.float32)
    annotation = annotation_of(stored(plane(), storage), {1: 4, 2: 6})
    frame = LesionFrame(annotation, (24, 24))
    image = np.pad(drawn, ((0, 0), (4, 4)), constant_values=-1)
    back = frame.image_to_file(image)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, np.asarray(stored(drawn, storage).dataobj)[..., 0])
    # With another number of pixels, smooth images and squares come back nearly.
    frame = LesionFrame(annotation, (48, 48))
    marked = (frame.labels_to_network(annotation.instances) > 0).astype(np.float32)
    found = frame.image_to_file(marked)
    assert found.shape == annotation.instances.shape
    assert np.abs(found - (annotation.instances > 0)).mean() < 0.03


def test_pixels_that_are_not_square_become_square_in_millimetres():
    affine = np.diag([1.0, 2.0, 5.0, 1.0])
    annotation = annotation_of(stored(plane((24, 16)), "LPS", affine), {1: 3, 2: 5})
    frame = LesionFrame(annotation, (32, 32))
    assert frame.grid.padded == (32, 16)
    labels = frame.labels_to_network(annotation.instances)
    # 6 x 6 pixels of 1 x 2 mm are 6 x 12 mm.
    assert (np.ptp(np.argwhere(labels == 1), axis=0) + 1).tolist() == [6, 12]
    np.testing.assert_allclose(np.linalg.norm(frame.network_affine[:3, :2], axis=0), (1, 1))
    centre = frame.network_affine @ (*np.argwhere(labels == 1).mean(0), 0, 1)
    np.testing.assert_allclose(centre[:2], (4.5, 2 * 5.5), atol=1e-9)


@pytest.mark.parametrize(
    ("matrix", "spacing", "size"),
    [((448, 448), (0.76, 0.76), (256, 256)), ((40, 30), (1.0, 1.0), (20, 20)), ((31, 40), (2.0, 1.0), (64, 64))],
)
def test_affine_of_the_network_follows_what_the_images_do(matrix, spacing, size):
    """A ramp of world coordinates, resampled, has at each pixel the coordinate that the affine names."""
    affine = np.array([[spacing[0], 0, 0, 11], [0, spacing[1], 0, -7], [0, 0, 3, 0], [0, 0, 0, 1]])
    grid = SliceGrid(matrix, spacing, size)
    x, y = np.meshgrid(np.arange(matrix[0]), np.arange(matrix[1]), indexing="ij")
    world = np.stack([affine[0, 0] * x + 11, affine[1, 1] * y - 7])
    made = grid.to_network(torch.from_numpy(world)[None].float())[0].numpy()
    named = grid.network_affine(affine)
    u, v = np.meshgrid(np.arange(size[0]), np.arange(size[1]), indexing="ij")
    expected = np.stack([named[0, 0] * u + named[0, 3], named[1, 1] * v + named[1, 3]])
    first = np.ceil(np.array(grid.before) * np.array(size) / grid.padded).astype(int) + 2
    inner = (slice(None), *(slice(f, s - f) for f, s in zip(first, size, strict=True)))
    assert np.abs(made - expected)[inner].max() < 0.51 * max(spacing)
    assert np.abs(made - expected)[inner].mean() < 0.25 * max(spacing)


def test_small_lesions_never_vanish_and_large_ones_keep_their_area():
    grid = SliceGrid((64, 64), (1.0, 1.0), (16, 16))
    for x in range(20, 28):
        labels = np.zeros((64, 64), np.uint8)
        labels[x, 30] = 5
        fitted = fit_labels(labels, grid)
        assert fitted[x // 4, 7] == 5
        assert (fitted > 0).sum() == 1
    labels[10:30, 10:30] = 3
    labels[x, 30] = 5
    assert (fit_labels(labels, grid) == 3).sum() * 16 == pytest.approx(400, rel=0.25)
    assert fit_labels(labels, grid).dtype == np.uint8
    # At the edge of a large lesion, too, whichever has the higher number.
    for small, large in ((1, 2), (2, 1)):
        labels = np.zeros((64, 64), np.uint8)
        labels[10:31, 8:39], labels[20, 39] = large, small
        assert set(np.unique(fit_labels(labels, grid))) == {0, 1, 2}
    assert not fit_labels(np.zeros((64, 64), np.uint8), grid).any()


def test_labels_get_pixels_that_they_cover_by_half():
    labels = np.zeros((8, 8), np.uint8)
    labels[:3, :4] = 2  # one and a half pixels of 2 x 2
    labels[4:, 4:5] = 3  # half of two
    fitted = fit_labels(labels, SliceGrid((8, 8), (1.0, 1.0), (4, 4)))
    expected = np.zeros((4, 4), np.uint8)
    expected[:2, :2], expected[2:, 2] = 2, 3
    np.testing.assert_array_equal(fitted, expected)


def test_a_coronal_plane_is_refused():
    affine = np.array([[1.0, 0, 0, 0], [0, 0, 20, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    annotation = LesionAnnotation("c.nii.gz", plane(), {1: 4, 2: 6}, affine)
    with pytest.raises(InputError, match="c.nii.gz: its plane is not axial"):
        LesionFrame(annotation, (16, 16))


# Loading


def mask_file(folder, labels, classes, storage="RAS", name="a"):
    path = folder / f"{name}.nii.gz"
    nibabel.save(stored(labels.astype(np.uint8), storage), path)
    (folder / f"{name}.json").write_text(json.dumps({"instances": classes}))
    return str(path)


def test_masks_are_loaded_as_class_maps_on_the_networks_grid(tmp_path):
    path = mask_file(tmp_path, plane(), {"1": 4, "2": 6}, "LPS")
    item = LoadLesionsd("label", (24, 24))({"label": path})
    assert item["label"].shape == (1, 24, 24)
    assert item["label"].dtype == torch.uint8
    expected = np.pad(np.select([plane() == 1, plane() == 2], [4, 6], 0), ((0, 0), (4, 4)))
    np.testing.assert_array_equal(item["label"][0], expected)
    assert item["label"].meta["filename_or_obj"] == path
    np.testing.assert_allclose(item["label"].affine @ torch.tensor([5, 10, 0, 1.0]).double(), RAS @ (5, 6, 0, 1))


def test_a_small_lesion_survives_beside_a_large_one_of_its_class(tmp_path):
    labels = np.zeros((64, 64), np.uint8)
    labels[4:24, 4:24], labels[49, 50] = 1, 2
    path = mask_file(tmp_path, labels, {"1": 5, "2": 5})
    shown = LoadLesionsd("label", (16, 16))({"label": path})["label"][0]
    assert shown[12, 12] == 5
    # The two as one map of classes, in which each component is a lesion.
    (tmp_path / "a.json").unlink()
    nibabel.save(stored(np.where(labels > 0, 5, 0).astype(np.uint8), "RAS"), path)
    assert torch.equal(LoadLesionsd("label", (16, 16))({"label": path})["label"][0], shown)


def test_soft_masks_are_averaged(tmp_path):
    shares = np.zeros((5, 32, 32), np.float32)
    shares[2, 8:12, 8:12] = 0.75
    shares[3, 8:10, 8:12] = 0.25
    nibabel.save(nibabel.Nifti1Image(np.moveaxis(shares, 0, -1)[:, :, None], RAS), tmp_path / "soft.nii.gz")
    loaded = LoadLesionsd("label", (8, 8))({"label": str(tmp_path / "soft.nii.gz")})["label"]
    expected = shares.reshape(5, 8, 4, 8, 4).mean((2, 4))
    np.testing.assert_allclose(loaded, expected, atol=1e-6)
    assert expected[2, 2, 2] == 0.75
    assert expected[3, 2, 2] == 0.125
    channels = lesion_channels(loaded.as_tensor())
    np.testing.assert_allclose(channels[1:], expected, atol=1e-6)
    assert not channels[0].any()


def test_an_item_without_a_mask_is_refused_or_gets_an_empty_map():
    with pytest.raises(InputError, match="P1: has no lesion mask"):
        LoadLesionsd("label", (8, 8))({"case": "P1"})
    item = LoadLesionsd("label", (8, 12), required=False)({"case": "P1"})
    assert item["label"].shape == (1, 8, 12)
    assert item["label"].dtype == torch.uint8
    assert not item["label"].any()


def test_annotations_on_another_grid_can_be_read_again(tmp_path):
    labels = np.zeros((64, 64), np.uint16)
    labels[8:24, 8:24], labels[50, 50], labels[51, 51] = 1, 2, 3  # the last two fall into one pixel
    annotation = LesionAnnotation("a", labels, {1: 4, 2: 5, 3: 6}, RAS)
    small = LesionFrame(annotation, (16, 16)).annotation_on_network(annotation)
    assert len(small.classes) == 2
    save_annotation(tmp_path / "b.nii.gz", small)
    again = read_annotation(tmp_path / "b.nii.gz")
    assert again.classes == small.classes
    np.testing.assert_array_equal(again.instances, small.instances)
    np.testing.assert_allclose(again.affine, small.affine, atol=1e-4)


def mip(path, array, affine=RAS):
    nibabel.save(nibabel.Nifti1Image(array.astype(np.float32)[..., None], affine), path)
    return str(path)


def test_prepared_mips_are_loaded_and_others_refused(tmp_path):
    values = np.linspace(-1, 1, 64).reshape(8, 8)
    path = mip(tmp_path / "a.nii.gz", values)
    image = LoadMipd("image", (8, 8))({"image": path})["image"]
    assert image.shape == (1, 8, 8)
    assert isinstance(image, MetaTensor)
    np.testing.assert_allclose(image[0], values, atol=1e-6)
    np.testing.assert_allclose(image.affine, RAS)
    with pytest.raises(InputError, match=r"a.nii.gz: has 8 x 8 pixels, 16 x 8 are needed.*--size") as raised:
        LoadMipd("image", (16, 8))({"image": path})
    assert "\n" not in str(raised.value)
    for wrong in (values * 1.01, values * 1000, values - 0.1):
        with pytest.raises(InputError, match=r"intensities run from .* prepared MIPs lie in \[-1, 1\]"):
            LoadMipd("image", (8, 8))({"image": mip(tmp_path / "b.nii.gz", wrong)})


def test_images_have_one_slice(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((6, 5, 3), np.float32), RAS)
    nibabel.save(image, tmp_path / "v.nii.gz")
    with pytest.raises(InputError, match="v.nii.gz: has 3 slices, a single image is needed"):
        load_image(tmp_path / "v.nii.gz")
    with pytest.raises(InputError, match="no such file"):
        load_image(tmp_path / "none.nii.gz")
    with pytest.raises(InputError, match="NaN"):
        load_image(mip(tmp_path / "n.nii.gz", np.full((4, 4), np.nan)))


# Channels


def test_channels_are_one_hot_and_say_healthy_exactly_where_there_is_no_lesion():
    classes = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    for birads in range(2, 7):
        classes[0, 0, birads, :3] = birads
    classes[2, 0, 0, 0] = 2
    channels = lesion_channels(classes)
    assert channels.shape == (3, 6, 8, 8)
    assert channels.dtype == torch.float32
    for birads in range(2, 7):
        assert torch.equal(channels[:, birads - 1], (classes[:, 0] == birads).float())
    assert channels[:, 0].flatten(1).unique(dim=1).tolist() == [[0], [1], [0]]
    assert torch.equal(class_map(channels), classes[:, 0].long())
    # One item at a time, or more dimensions in front, or floats: all the same.
    assert torch.equal(lesion_channels(classes[0]), channels[0])
    assert torch.equal(lesion_channels(classes[None].float()), channels[None])


def test_fractions_stay_fractions():
    shares = torch.zeros(5, 4, 4)
    shares[0, 1, 1], shares[4, 1, 1] = 0.25, 0.5
    channels = lesion_channels(shares)
    assert torch.equal(channels[1:], shares)
    assert not channels[0].any()
    expected = torch.zeros(4, 4, dtype=torch.long)
    expected[1, 1] = 6
    assert torch.equal(class_map(channels), expected)
    assert torch.equal(lesion_channels(torch.zeros(2, 5, 4, 4))[:, 0], torch.ones(2, 4, 4))


def test_dictionary_forms(tmp_path):
    path = mask_file(tmp_path, plane(), {"1": 2, "2": 6})
    item = LoadLesionsd("label", (24, 24))({"label": path})
    channels = LesionChannelsd("label")(item)["label"]
    assert channels.shape == (6, 24, 24)
    assert channels.meta["filename_or_obj"] == path
    index = ClassIndexd("label")(item)["label"]
    assert index.unique().tolist() == [0, 1, 5]
    assert torch.equal(index[0] == 5, item["label"][0] == 6)
    with pytest.raises(InputError, match="label_meaning=soft"):
        ClassIndexd("label")({"label": torch.zeros(5, 4, 4)})
