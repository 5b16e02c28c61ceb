"""Files of sampled MIPs: NRRD headers, folders as they are written, and the list of pairs made of them."""

import json
from types import SimpleNamespace

import itk
import nibabel
import nrrd
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from common.cohorts.datalist import load_datalist
from common.cohorts.lesion_annotations import read_annotation
from common.cohorts.pairs import find_mip_pairs, write_mip_datalist
from common.engines.mip_writer import DESCRIPTION, MipWriter
from common.io.images import load_image
from common.io.volumes import load_volume, save_nrrd

AFFINE = np.array([[-1.5, 0, 0, 20], [0, 1.5, 0, 10], [0, 0, 30, 7], [0, 0, 0, 1.0]])


def test_nrrd_files_say_what_they_are_in_their_header(tmp_path):
    array = np.random.default_rng(0).random((5, 4, 3)).astype(np.float32)
    for name in ("a", "b"):
        save_nrrd(tmp_path / f"{name}.nrrd", array, AFFINE, DESCRIPTION)
    assert (tmp_path / "a.nrrd").read_bytes() == (tmp_path / "b.nrrd").read_bytes()
    values, header = nrrd.read(str(tmp_path / "a.nrrd"))
    assert header["description"] == DESCRIPTION
    assert header["space"] == "left-posterior-superior"
    np.testing.assert_array_equal(values, array)
    np.testing.assert_allclose(header["space directions"], np.diag((1.5, -1.5, 30)))
    np.testing.assert_allclose(header["space origin"], (-20, -10, 7))
    loaded = load_volume(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(loaded[0], array)
    np.testing.assert_allclose(loaded.affine, AFFINE, atol=1e-6)
    save_nrrd(tmp_path / "c.nrrd", array, AFFINE)
    assert "description" not in nrrd.read_header(str(tmp_path / "c.nrrd"))


class Plan:
    """Stands for a `SamplePlan`."""

    def __init__(self, folder, names):
        self.output_dir = folder
        folder.mkdir()
        self.provenance = {f"{case}_sample{k}": {"case": case, "sample": k} for case, k in names}

    def replace(self, name, partial):
        return partial.rename(self.output_dir / name)


def lesion_mask(path, suffix):
    """Mask (12, 8, 1) stored as LAS with two lesions of class 5, one of a single pixel."""
    labels = np.zeros((12, 8, 1), np.uint8)
    labels[2:6, 2:6], labels[10, 7] = 5, 5
    if suffix == ".nrrd":
        save_nrrd(path / "m.nrrd", labels, AFFINE)
    else:
        nibabel.save(nibabel.Nifti1Image(labels, AFFINE), path / "m.nii.gz")
    return str(path / f"m{suffix}"), labels[..., 0]


def write(folder, mask, samples, **options):
    plan = Plan(folder, [("m", k) for k in range(len(samples))])
    writer = MipWriter(plan, (24, 24), **options)
    batch = [
        {"image": MetaTensor(torch.zeros(6, 24, 24), meta={"filename_or_obj": mask}), "case": "m", "sample": k}
        for k in range(len(samples))
    ]
    output = [{"pred": torch.from_numpy(sample)[None]} for sample in samples]
    writer(SimpleNamespace(state=SimpleNamespace(batch=batch, output=output)))
    writer.finish()
    return folder


@pytest.fixture
def samples():
    return np.random.default_rng(0).uniform(-1, 1, (2, 24, 24)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_samples_lie_on_the_masks_grid_in_its_format(tmp_path, samples, suffix):
    mask, labels = lesion_mask(tmp_path, suffix)
    # 12 x 8 pixels are padded to 12 x 12 and doubled: what is drawn here comes back as means of 2 x 2.
    folder = write(tmp_path / "out", mask, np.repeat(np.repeat(samples[:, ::2, ::2], 2, 1), 2, 2))
    home = folder / "m_sample1"
    expected = {f"m_sample1_mip{suffix}", "m_sample1_mip.png", "m_sample1_mask.nii.gz", "m_sample1_mask.json"}
    assert {path.name for path in home.iterdir()} == expected | {"preview.png", "provenance.json"}
    image = load_image(home / f"m_sample1_mip{suffix}")
    assert image.shape == (1, 12, 8)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)
    shown = read_annotation(home / "m_sample1_mask.nii.gz")
    np.testing.assert_array_equal(shown.class_map(), labels)
    np.testing.assert_allclose(shown.affine, AFFINE, atol=1e-5)
    # RAS on the network, LAS in the file; the blur of the resampling is symmetric.
    drawn = samples[1, ::2, ::2][::-1, 2:10]
    assert np.corrcoef(image[0].numpy().ravel(), drawn.ravel())[0, 1] > 0.95
    if suffix == ".nrrd":
        assert nrrd.read_header(str(home / "m_sample1_mip.nrrd"))["description"] == DESCRIPTION
        assert itk.imread(str(home / "m_sample1_mip.nrrd")).GetOrigin()[0] == -20
    else:
        assert nibabel.load(home / "m_sample1_mip.nii.gz").header["descrip"].item().decode() == DESCRIPTION
    with Image.open(home / "m_sample1_mip.png") as picture:
        assert picture.text["Description"].startswith("SYNTHETIC")
        pixels = np.asarray(picture).astype(float) / 65535
    whole = np.repeat(np.repeat(samples[1, ::2, ::2], 2, 0), 2, 1)
    np.testing.assert_allclose(pixels, ((whole + 1) / 2)[::-1, ::-1].T, atol=1e-5)


def test_samples_on_the_networks_grid_come_with_the_mask_there(tmp_path, samples):
    mask, _ = lesion_mask(tmp_path, ".nii.gz")
    folder = write(tmp_path / "out", mask, samples, output_grid="model", output_format="nrrd")
    image = load_image(folder / "m_sample0" / "m_sample0_mip.nrrd")
    np.testing.assert_allclose(image[0], samples[0], atol=1e-6)
    shown = read_annotation(folder / "m_sample0" / "m_sample0_mask.nii.gz")
    assert shown.class_map().shape == (24, 24)
    assert list(shown.classes.values()) == [5, 5]
    np.testing.assert_allclose(shown.affine, image.affine, atol=1e-4)
    with Image.open(folder / "m_samples.png") as sheet:
        assert sheet.size[0] >= 3 * 24  # the mask and two samples
        assert sheet.text["Description"].startswith("SYNTHETIC")


def test_pairs_are_found_and_listed(tmp_path, samples):
    mask, _ = lesion_mask(tmp_path, ".nii.gz")
    folder = write(tmp_path / "out", mask, samples)
    killed = folder / ".m_sample2.partial"
    killed.mkdir()
    (killed / "provenance.json").write_text(json.dumps({"case": "m", "sample": 2}))
    (folder / "unfinished").mkdir()
    items = find_mip_pairs(folder)
    assert [item["case"] for item in items] == ["m_sample0", "m_sample1"]
    assert {item["patient"] for item in items} == {"m"}
    assert all(item["synthetic"] for item in items)
    assert items[1]["image"] == str(folder / "m_sample1" / "m_sample1_mip.nii.gz")
    assert items[1]["label"] == str(folder / "m_sample1" / "m_sample1_mask.nii.gz")
    path = write_mip_datalist(folder)
    content = json.loads(path.read_text())
    assert content["synthetic"] is True
    assert content["training"][0]["image"] == "m_sample0/m_sample0_mip.nii.gz"
    listed = load_datalist(path, "training")
    assert [item["image"] for item in listed] == [item["image"] for item in items]
    assert find_mip_pairs(tmp_path / "none") == []
