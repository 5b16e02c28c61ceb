import json
import shutil

import nibabel
import numpy as np
import pytest
import slicerio
from PIL import Image

from common.io.dicom_segmentation import write_dicom_segmentation
from common.io.dicom_writer import write_dicom_series
from common.io.segmentation_writer import save_segmentation
from common.io.terminology import BRAIN_TUMOUR
from tests.conftest import BRAIN, COMMAND, ROOT, error_line, run_bundle

CONTRASTS = ("T1", "T1C", "T2", "FLAIR")
CASE = "PhantomBraTS_10008"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    run_bundle("inference.json", output_dir=folder, prefix=COMMAND, num_samples=3, num_steps=4, batch_size=3, seed=5)
    return folder


def volumes(folder, name):
    return [nibabel.load(folder / name / f"{name}_{contrast}.nii.gz") for contrast in CONTRASTS]


def test_each_sample_is_a_whole_folder_on_the_masks_own_grid(drawn, sample_mask):
    mask = nibabel.load(sample_mask)
    for k in range(3):
        name = f"{CASE}_sample{k}"
        images = volumes(drawn, name)
        used = nibabel.load(drawn / name / f"{name}_mask.nii.gz")
        assert np.array_equal(np.asarray(used.dataobj), np.asarray(mask.dataobj))
        for image in [*images, used]:
            assert image.shape == mask.shape
            assert np.allclose(image.affine, mask.affine)
            assert image.header.get_xyzt_units()[0] == "mm"
            assert b"SYNTHETIC" in image.header["descrip"].tobytes()
        stack = np.stack([image.get_fdata() for image in images])
        assert np.isfinite(stack).all()
        brain = (stack > 0).all(0)
        assert np.array_equal(brain, (stack != 0).any(0))  # background is 0 in all four, brain positive
        assert brain[np.asarray(mask.dataobj) > 0].mean() > 0.9
        record = json.loads((drawn / name / "provenance.json").read_text())
        assert record["synthetic"] is True
        assert record["bundle"] == BRAIN.name
        assert {"version", "weights_sha256", "input_sha256", "seed", "num_steps"} <= record.keys()
        picture = Image.open(drawn / name / "preview.png")
        assert "SYNTHETIC" in picture.text["Description"]
    assert sorted(p.name for p in drawn.iterdir()) == [*(f"{CASE}_sample{k}" for k in range(3)), "datalist.json"]


def test_samples_of_one_mask_differ(drawn):
    first, second = (np.stack([v.get_fdata() for v in volumes(drawn, f"{CASE}_sample{k}")]) for k in (0, 1))
    assert np.abs(first - second).mean() > 5


def test_repeated_command_keeps_files_and_a_fresh_one_gives_the_same_bytes(drawn, tmp_path):
    before = {
        p: (p.stat().st_mtime_ns, p.read_bytes()) for p in drawn.rglob("*") if p.is_file() and p.name != "datalist.json"
    }
    knobs = {"num_samples": 3, "num_steps": 4, "batch_size": 3, "seed": 5}
    result = run_bundle("inference.json", output_dir=drawn, **knobs)
    assert "3 of 3 samples exist already" in result.stdout + result.stderr
    assert all(path.stat().st_mtime_ns == time for path, (time, _) in before.items())
    run_bundle("inference.json", output_dir=tmp_path, **knobs)
    for path, (_, content) in before.items():
        assert (tmp_path / path.relative_to(drawn)).read_bytes() == content, path


def test_one_sample_alone_equals_itself_among_others(drawn, tmp_path):
    run_bundle("inference.json", output_dir=tmp_path, first_sample=2, num_samples=1, num_steps=4, seed=5)
    for together, alone in zip(volumes(drawn, f"{CASE}_sample2"), volumes(tmp_path, f"{CASE}_sample2"), strict=True):
        span = together.get_fdata().max()
        assert np.abs(together.get_fdata() - alone.get_fdata()).max() <= 1e-4 * span


def test_other_settings_are_refused_and_nothing_is_overwritten(drawn):
    path = drawn / f"{CASE}_sample0" / f"{CASE}_sample0_T1.nii.gz"
    before = path.read_bytes()
    line = error_line(run_bundle("inference.json", output_dir=drawn, num_steps=5, check=False))
    assert "--overwrite" in line
    assert path.read_bytes() == before


@pytest.mark.parametrize("where", ["bundle", "root"])
def test_it_runs_from_any_folder(where, tmp_path):
    cwd = BRAIN if where == "bundle" else "/"
    run_bundle("inference.json", cwd=cwd, output_dir=tmp_path / "out", num_steps=2, sampler="ddim", guidance_scale=2)
    assert (tmp_path / "out" / f"{CASE}_sample0" / "preview.png").is_file()


def test_it_runs_unpacked_elsewhere_without_the_repository(tmp_path):
    bundle = tmp_path / BRAIN.name
    shutil.copytree(BRAIN, bundle, ignore=shutil.ignore_patterns("__pycache__"))
    assert not (bundle / "scripts" / "common").is_symlink()
    run_bundle("inference.json", bundle=bundle, cwd=tmp_path, output_dir="out", num_steps=2, output_grid="model")
    image = nibabel.load(tmp_path / "out" / f"{CASE}_sample0" / f"{CASE}_sample0_T1.nii.gz")
    mask = nibabel.load(tmp_path / "out" / f"{CASE}_sample0" / f"{CASE}_sample0_mask.nii.gz")
    assert image.shape == mask.shape == (64, 64, 32)
    assert np.allclose(image.affine, mask.affine)
    assert set(np.unique(mask.dataobj)) <= {0, 1, 2, 4}
    assert str(ROOT) not in (bundle / "scripts" / "__init__.py").read_text()


def test_mask_in_another_orientation_gives_the_same_head(sample_mask, tmp_path):
    source = nibabel.load(sample_mask)
    turned = nibabel.as_closest_canonical(source)
    turned = turned.as_reoriented(
        nibabel.orientations.ornt_transform([[0, 1], [1, 1], [2, 1]], [[1, 1], [2, -1], [0, 1]])
    )
    (tmp_path / "turned").mkdir()
    path = tmp_path / "turned" / sample_mask.name
    nibabel.save(turned, path)
    run_bundle("inference.json", output_dir=tmp_path / "a", num_steps=2)
    run_bundle("inference.json", output_dir=tmp_path / "b", num_steps=2, input=path)
    name = f"{CASE}_sample0"
    for first, second in zip(volumes(tmp_path / "a", name), volumes(tmp_path / "b", name), strict=True):
        assert second.shape == turned.shape
        assert np.allclose(second.affine, turned.affine)
        canonical = [nibabel.as_closest_canonical(image).get_fdata() for image in (first, second)]
        assert np.abs(canonical[0] - canonical[1]).max() < 0.5


@pytest.mark.parametrize(
    "case",
    [
        "BraTS-GLI-00000-000/BraTS-GLI-00000-000-seg",
        pytest.param("BraTS2021_01476/BraTS2021_01476_seg", marks=pytest.mark.slow),
    ],
)
def test_real_mask_gives_contrasts_that_overlay_the_case(real_data, tmp_path, case):
    path = real_data / "brain_mri" / f"{case}.nii.gz"
    anatomy = next(path.parent.glob("*t1*.nii.gz"))
    run_bundle("inference.json", cwd="/", input=path, output_dir=tmp_path / "atlas", num_steps=4)
    run_bundle("inference.json", cwd="/", input=path, output_dir=tmp_path / "own", num_steps=4, reference=anatomy)
    name = f"{case.split('/')[0]}_sample0"
    mask, real = nibabel.load(path), nibabel.load(anatomy).get_fdata() > 0
    overlaps = []
    for folder in ("atlas", "own"):
        images = volumes(tmp_path / folder, name)
        for image in images:
            assert image.shape == mask.shape == (240, 240, 155)
            assert np.allclose(image.affine, mask.affine)
        brain = np.stack([image.get_fdata() for image in images]).any(0)
        assert brain[mask.get_fdata() > 0].mean() > 0.9
        overlaps.append(2 * (brain & real).sum() / (brain.sum() + real.sum()))
    # The head's shape is the model's own: about right by the atlas, closer by the patient's own box.
    assert overlaps[0] > 0.7
    assert overlaps[1] > 0.8


def test_reference_places_the_head_and_datalists_of_new_masks_are_read(sample_mask, tmp_path):
    reference = sample_mask.with_name(f"{CASE}_t1.nii.gz")
    run_bundle("inference.json", output_dir=tmp_path, num_steps=2, reference=reference)
    record = json.loads((tmp_path / f"{CASE}_sample0" / "provenance.json").read_text())
    assert record["reference"] == reference.name
    pairs = json.loads((tmp_path / "datalist.json").read_text())["training"]
    assert pairs[0]["label"] == f"{CASE}_sample0/{CASE}_sample0_mask.nii.gz"
    assert pairs[0]["labels"] == {"1": "necrosis", "2": "oedema", "4": "enhancing"}
    run_bundle("inference.json", output_dir=tmp_path / "again", num_steps=2, input=tmp_path / "datalist.json")
    assert (tmp_path / "again" / f"{CASE}_sample0_sample0" / "preview.png").is_file()


@pytest.fixture(scope="module")
def segments(sample_mask):
    """The sample mask's labels and what they are, numbered as no cohort does."""
    image = nibabel.load(sample_mask)
    labels = np.select([np.asarray(image.dataobj) == value for value in (1, 2, 4)], [9, 3, 5], 0).astype(np.uint8)
    return labels, image.affine, {9: BRAIN_TUMOUR["necrosis"], 3: BRAIN_TUMOUR["oedema"], 5: BRAIN_TUMOUR["enhancing"]}


def test_slicers_segments_give_the_same_images_and_are_written_again(drawn, segments, sample_mask, tmp_path):
    path, name = tmp_path / f"{CASE}.seg.nrrd", f"{CASE}_sample0"
    save_segmentation(path, *segments)
    knobs = {"num_steps": 4, "seed": 5, "mask_format": "seg.nrrd"}
    run_bundle("inference.json", input=path, output_dir=tmp_path / "out", **knobs)
    for first, second in zip(volumes(drawn, name), volumes(tmp_path / "out", name), strict=True):
        assert np.abs(first.get_fdata() - second.get_fdata()).max() <= 1e-4 * first.get_fdata().max()
        assert np.allclose(first.affine, second.affine, atol=1e-3)
    seen = slicerio.read_segmentation(str(tmp_path / "out" / name / f"{name}_mask.seg.nrrd"))
    labels = np.asarray(nibabel.load(sample_mask).dataobj)
    np.testing.assert_array_equal(seen["voxels"], np.where(labels == 4, 3, labels))
    assert [entry["name"] for entry in seen["segments"]] == ["Necrosis", "Oedema", "Enhancing tumour"]
    assert seen["description"].startswith("SYNTHETIC")
    record = json.loads((tmp_path / "out" / name / "provenance.json").read_text())
    assert record["regions"] == {"1": "necrosis", "2": "oedema", "3": "enhancing"}
    assert record["mask_format"] == "seg.nrrd"


@pytest.mark.slow
def test_dicom_segments_give_the_same_images(drawn, segments, sample_mask, tmp_path):
    labels, affine, kinds = segments
    path, name = tmp_path / f"{CASE}.dcm", f"{CASE}_sample0"
    write_dicom_series(
        tmp_path / "t1", np.zeros(labels.shape, int), affine, description="t1", series_number=1, uid_root_text="a"
    )
    texts = {"description": "tumour", "software": ("a", "1"), "uid_root_text": "a"}
    write_dicom_segmentation(path, labels, affine, kinds, tmp_path / "t1", **texts)
    options = {"input": path, "output_dir": tmp_path / "out", "num_steps": 4, "seed": 5}
    assert "--reference" in error_line(run_bundle("inference.json", check=False, **options))
    # A reference of the whole field of view places the head as none does.
    whole = nibabel.Nifti1Image(np.ones(labels.shape, np.uint8), affine)
    nibabel.save(whole, tmp_path / "whole.nii.gz")
    run_bundle("inference.json", reference=tmp_path / "whole.nii.gz", **options)
    mask = nibabel.load(tmp_path / "out" / name / f"{name}_mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(mask.dataobj) > 0, labels > 0)
    assert volumes(tmp_path / "out", name)[0].shape == labels.shape
