"""Masks in, MIPs out: geometry, forms of masks, provenance, seeds, resume."""

import json
import shutil

import nibabel
import nrrd
import numpy as np
import pytest
from PIL import Image

from common.cohorts.lesion_annotations import read_annotation
from tests.conftest import BREAST_MIP, COMMAND, error_line, run_bundle

CASE = "PhantomDCE_10001"
SAMPLE = BREAST_MIP / "sample" / f"{CASE}_mask.nii.gz"
QUICK = {"bundle": BREAST_MIP, "device": "cpu", "num_steps": 2, "num_samples": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    run_bundle("inference.json", output_dir=folder, prefix=COMMAND, **QUICK)
    return folder


def mip(folder, sample=0, case=CASE, suffix=".nii.gz"):
    return folder / f"{case}_sample{sample}" / f"{case}_sample{sample}_mip{suffix}"


def test_mips_lie_on_the_masks_grid_and_say_what_they_are(made):
    source = nibabel.load(SAMPLE)
    images = [nibabel.load(mip(made, k)) for k in (0, 1)]
    for image in images:
        assert image.shape == source.shape
        assert np.allclose(image.affine, source.affine, atol=1e-4)
        assert image.get_data_dtype() == np.float32
        assert -1 <= image.get_fdata().min() < image.get_fdata().max() <= 1
        assert b"SYNTHETIC" in image.header["descrip"].tobytes()
    assert not np.array_equal(images[0].get_fdata(), images[1].get_fdata())
    with Image.open(mip(made, 0, suffix=".png")) as picture:
        stored = np.asarray(picture)
        assert picture.mode.startswith("I;16")
        assert "SYNTHETIC" in picture.text["Description"]
    expected = np.rint((images[0].get_fdata()[::-1, ::-1, 0].T + 1) / 2 * 65535)
    assert np.abs(stored - expected).max() <= 1
    mask = read_annotation(made / f"{CASE}_sample0" / f"{CASE}_sample0_mask.nii.gz")
    asked = read_annotation(SAMPLE)
    assert np.array_equal(mask.instances, asked.instances)
    assert mask.classes == asked.classes
    record = json.loads((made / f"{CASE}_sample0" / "provenance.json").read_text())
    assert record["synthetic"] is True
    assert {"weights_sha256", "input_sha256", "version", "seed"} <= record.keys()
    names = {p.name for p in made.iterdir()}
    assert names == {f"{CASE}_sample0", f"{CASE}_sample1", f"{CASE}_samples.png", "datalist.json"}
    pairs = json.loads((made / "datalist.json").read_text())["training"]
    assert [pair["patient"] for pair in pairs] == [CASE, CASE]


def test_repeat_keeps_files_and_a_fresh_run_gives_the_same_bytes(made, tmp_path):
    files = {p: p.read_bytes() for p in made.rglob("*") if p.is_file()}
    times = {p: p.stat().st_mtime_ns for p in mip(made).parent.iterdir()}
    result = run_bundle("inference.json", output_dir=made, **QUICK)
    assert "2 of 2 samples exist already" in result.stdout + result.stderr
    assert times == {p: p.stat().st_mtime_ns for p in times}
    run_bundle("inference.json", output_dir=tmp_path, cwd="/", **QUICK)
    assert all((tmp_path / p.relative_to(made)).read_bytes() == content for p, content in files.items())


def test_a_sample_does_not_depend_on_its_batch(made, tmp_path):
    run_bundle("inference.json", output_dir=tmp_path, batch_size=1, first_sample=1, **{**QUICK, "num_samples": 1})
    alone, together = (nibabel.load(mip(folder, 1)).get_fdata() for folder in (tmp_path, made))
    difference = np.abs(alone - together)
    # A latent on the border between two codebook entries may take the other one: a few pixels, hardly visible.
    assert (difference > 1e-4).mean() < 0.002
    assert difference.mean() < 1e-5


def test_other_settings_are_refused(made):
    line = error_line(run_bundle("inference.json", output_dir=made, guidance_scale=3, check=False, **QUICK))
    assert "--overwrite" in line
    assert "guidance_scale" in line


def test_changed_classes_or_time_grid_are_other_settings(tmp_path):
    for suffix in (".nii.gz", ".json"):
        shutil.copy(SAMPLE.with_name(f"{CASE}_mask{suffix}"), tmp_path)
    options = {**QUICK, "num_samples": 1, "input": tmp_path / SAMPLE.name, "output_dir": tmp_path / "out"}
    run_bundle("inference.json", **options)
    spacing = {"sampler": "ddim", "ddim_spacing": "leading"}
    assert "ddim_spacing" in error_line(run_bundle("inference.json", check=False, **options, **spacing))
    path = tmp_path / f"{CASE}_mask.json"
    path.write_text(path.read_text().replace(": 6", ": 2"))
    assert "input_classes_sha256" in error_line(run_bundle("inference.json", check=False, **options))


def test_one_orientation_is_like_another(made, tmp_path):
    source = nibabel.load(SAMPLE)
    turned = source.as_reoriented([[1, -1], [0, 1], [2, 1]])  # axes exchanged, one reversed
    nibabel.save(turned, tmp_path / SAMPLE.name)
    shutil.copy(SAMPLE.with_name(f"{CASE}_mask.json"), tmp_path)
    run_bundle("inference.json", input=tmp_path / SAMPLE.name, output_dir=tmp_path / "out", **QUICK)
    back = nibabel.as_closest_canonical(nibabel.load(mip(tmp_path / "out")))
    assert np.abs(back.get_fdata() - nibabel.load(mip(made)).get_fdata()).max() < 1e-4


def write_segmentation(path, annotation, classes):
    """A `.seg.nrrd` as 3D Slicer saves it: LPS, one segment a lesion, its class in the name."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ annotation.affine
    header = {
        "space": "left-posterior-superior",
        "space directions": lps[:3, :3].T,
        "space origin": lps[:3, 3],
        "kinds": ["domain"] * 3,
    }
    for number, (instance, birads) in enumerate(sorted(classes.items())):
        header |= {
            f"Segment{number}_ID": f"Segment_{number + 1}",
            f"Segment{number}_Name": f"BI-RADS {birads}",
            f"Segment{number}_LabelValue": str(instance),
            f"Segment{number}_Layer": "0",
        }
    nrrd.write(str(path), annotation.instances[..., None].astype(np.uint8), header)


def test_slicer_segmentation_gives_nrrd_on_its_grid(made, tmp_path):
    annotation = read_annotation(SAMPLE)
    path = tmp_path / f"{CASE}.seg.nrrd"
    write_segmentation(path, annotation, annotation.classes)
    run_bundle("inference.json", input=path, output_dir=tmp_path / "out", mask_format="seg.nrrd", **QUICK)
    image, header = nrrd.read(str(mip(tmp_path / "out", suffix=".nrrd")))
    _, wanted = nrrd.read(str(path))
    assert image.shape == (*annotation.instances.shape, 1)
    assert header["space"] == "left-posterior-superior"
    assert np.allclose(header["space directions"], wanted["space directions"], atol=1e-4)
    assert np.allclose(header["space origin"], wanted["space origin"], atol=1e-4)
    assert "SYNTHETIC" in header["description"]
    asked, home = read_annotation(path), mip(tmp_path / "out").parent
    for kept in (read_annotation(home / f"{home.name}_mask{suffix}") for suffix in (".seg.nrrd", ".nii.gz")):
        np.testing.assert_array_equal(kept.instances, asked.instances)
        assert kept.classes == asked.classes
    # The same lesions in another file format: the same picture.
    assert np.abs(image - nibabel.load(mip(made)).get_fdata()).max() < 1e-4


def test_model_grid_a_folder_of_masks_and_a_healthy_one(tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for name in ("PhantomDCE_10003", "PhantomDCE_10004"):
        for suffix in (".nii.gz", ".json"):
            shutil.copy(BREAST_MIP / "sample" / f"{name}_mask{suffix}", masks)
    options = {**QUICK, "num_samples": 1, "output_grid": "model", "output_format": "nrrd"}
    run_bundle("inference.json", input=masks, output_dir=tmp_path / "out", **options)
    for name in ("PhantomDCE_10003", "PhantomDCE_10004"):
        assert nrrd.read(str(mip(tmp_path / "out", 0, name, ".nrrd")))[0].shape == (256, 256, 1)
        assert (tmp_path / "out" / f"{name}_samples.png").is_file()
    healthy = read_annotation(tmp_path / "out" / "PhantomDCE_10004_sample0" / "PhantomDCE_10004_sample0_mask.nii.gz")
    assert healthy.classes == {}


def test_volume_mask_is_projected_on_request(tmp_path):
    annotation = read_annotation(SAMPLE)
    volume = np.zeros((*annotation.instances.shape, 4), np.uint8)
    volume[..., 2] = annotation.class_map()
    nibabel.save(nibabel.Nifti1Image(volume, annotation.affine), tmp_path / "volume_mask.nii.gz")
    options = {**QUICK, "num_samples": 1, "input": tmp_path / "volume_mask.nii.gz"}
    assert "--project" in error_line(run_bundle("inference.json", output_dir=tmp_path / "no", check=False, **options))
    run_bundle("inference.json", output_dir=tmp_path / "out", project=True, **options)
    assert nibabel.load(mip(tmp_path / "out", 0, "volume")).shape == (256, 256, 1)


def test_soft_mask(tmp_path):
    shares = np.zeros((64, 64, 1, 5), np.float32)
    shares[20:30, 20:30, 0, 2], shares[20:30, 20:30, 0, 3] = 0.4, 0.6
    nibabel.save(nibabel.Nifti1Image(shares, np.diag([5.3, 5.3, 1, 1])), tmp_path / "soft_mask.nii.gz")
    options = {**QUICK, "num_samples": 1, "input": tmp_path / "soft_mask.nii.gz"}
    run_bundle("inference.json", output_dir=tmp_path / "out", **options)
    kept = read_annotation(tmp_path / "out" / "soft_sample0" / "soft_sample0_mask.nii.gz")
    assert np.allclose(kept.fractions[2:4, 25, 25], [0.4, 0.6])


def test_real_colour_masks_through_a_table(real_data, tmp_path):
    masks = real_data / "breast_mri" / "breastdm" / "masks"
    options = {**QUICK, "num_samples": 1, "input": masks}
    line = error_line(run_bundle("inference.json", output_dir=tmp_path / "no", check=False, **options))
    assert "--classes" in line
    run_bundle("inference.json", output_dir=tmp_path / "out", classes="{red: 5, green: 2}", **options)
    assert len(list((tmp_path / "out").glob("*_sample0"))) == 5
    image = nibabel.load(mip(tmp_path / "out", 0, "malignant_4111"))
    assert image.shape == (512, 512, 1)
