"""An MRI in, a tumour mask out: geometry, provenance, resume, formats, nnU-Net's own predictor, real DICOM."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import slicerio
import torch
from monai.data import MetaTensor
from PIL import Image

from common.engines.mask_writer import MaskWriter
from common.io.dicom_segmentation import read_dicom_segmentation
from common.io.dicom_series import load_series
from common.io.files import sha256_of_file, sha256_of_json
from common.io.volumes import load_volume, save_nifti
from common.phantoms.write_breast_dce import write_case
from common.sampling.case_plan import CasePlan
from common.segmentation.nnunet_inferer import NnunetInferer
from common.transforms.breast_sides import breast_sides
from tests.conftest import COMMAND, SEGMENTATION, error_line, run_bundle

CASE = "PhantomDCE_10004_phase1"
SAMPLE = SEGMENTATION / "sample" / f"{CASE}.nii.gz"
WEIGHTS, PLANS = SEGMENTATION / "models" / "model.pt", SEGMENTATION / "models" / "nnunet.json"
QUICK = {"mirroring": False, "device": "cpu", "precision": "bf16"}
# Two tiles at most along each axis.
BLOCK = (48, 64, 20)


def segment(folder, check=True, prefix=(), cwd="/", **knobs):
    options = {"output_dir": folder, **QUICK, **knobs}
    return run_bundle("inference.json", bundle=SEGMENTATION, check=check, prefix=prefix, cwd=cwd, **options)


def mask(folder, case=CASE):
    return nibabel.load(folder / case / f"{case}_mask.nii.gz")


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    segment(folder, prefix=COMMAND)
    return folder


def test_default_run_writes_a_mask_on_the_grid_of_the_input(made):
    source, written = nibabel.load(SAMPLE), mask(made)
    labels = np.asarray(written.dataobj)
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 1}
    assert labels.shape == source.shape
    assert np.allclose(written.affine, source.affine, atol=1e-4)
    truth = nibabel.load(SEGMENTATION / "sample" / "PhantomDCE_10004_mask.nii.gz").get_fdata() > 0
    assert truth[labels > 0].mean() > 0.6  # what is marked is tumour, as far as phantoms tell
    assert sorted(p.name for p in (made / CASE).iterdir()) == [f"{CASE}_mask.nii.gz", "preview.png", "provenance.json"]
    assert [p.name for p in made.iterdir()] == [CASE]
    record = json.loads((made / CASE / "provenance.json").read_text())
    assert record["algorithm"] is True
    assert "synthetic" not in record
    assert record["weights_sha256"] == sha256_of_file(WEIGHTS)
    assert record["plans_sha256"] == sha256_of_json(json.loads(PLANS.read_text()))
    assert record["tumour_ml"] == pytest.approx(labels.sum() * 2.65 * 2.65 * 4 / 1000, rel=1e-4)
    picture = Image.open(made / CASE / "preview.png")
    assert "not reviewed" in picture.text["Description"]
    assert np.asarray(picture.convert("L")).std() > 5


def test_repeat_keeps_files_and_a_fresh_run_gives_the_same_bytes(made, tmp_path):
    files = {p: p.read_bytes() for p in made.rglob("*") if p.is_file()}
    times = {p: p.stat().st_mtime_ns for p in files}
    result = segment(made)
    assert "1 of 1 cases exist already" in result.stdout + result.stderr
    assert times == {p: p.stat().st_mtime_ns for p in files}
    segment(tmp_path)
    assert all((tmp_path / p.relative_to(made)).read_bytes() == content for p, content in files.items())


def test_other_settings_are_refused(made):
    before = (made / CASE / "provenance.json").stat().st_mtime_ns
    line = error_line(segment(made, tile_step_size=0.75, check=False))
    assert "tile_step_size" in line
    assert "--overwrite" in line
    assert (made / CASE / "provenance.json").stat().st_mtime_ns == before


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """The first phase after contrast of a phantom, as DICOM."""
    folder = tmp_path_factory.mktemp("duke")
    write_case(folder, 0, "duke", (64, 64, 12), (5.3, 5.3, 9.0), num_phases=1)
    return next(folder.glob("*/*/*1st pass*"))


@pytest.fixture(scope="module")
def by_format(series, tmp_path_factory):
    """Masks of the phantom in each format; the label map as NRRD from a NIfTI copy."""
    folder = tmp_path_factory.mktemp("formats")
    volume = load_series(series)
    save_nifti(folder / "copy.nii.gz", volume[0].numpy(), volume.affine.numpy())
    found = {}
    for name, source in (("nifti", series), ("seg.nrrd", series), ("dicom", series), ("nrrd", folder / "copy.nii.gz")):
        segment(folder / name, input=source, output_format=name, bias_correction=False)
        home = next((folder / name).iterdir())
        found[name] = next(p for p in home.iterdir() if "_mask." in p.name)
        assert len(list(home.iterdir())) == 3
    return found


def test_label_maps_agree_between_formats_and_sources(by_format, series):
    source, first, second = load_series(series), load_volume(by_format["nifti"]), load_volume(by_format["nrrd"])
    assert first.any()
    assert first.shape == source.shape
    assert torch.allclose(first.affine, source.affine, atol=1e-3)
    assert torch.equal(first.as_tensor(), second.as_tensor())
    assert torch.allclose(first.affine, second.affine, atol=1e-3)


def test_slicer_segmentation_has_a_named_tumour(by_format):
    content = slicerio.read_segmentation(str(by_format["seg.nrrd"]))
    assert [segment["name"] for segment in content["segments"]] == ["Tumour"]
    labels = load_volume(by_format["nifti"])
    assert np.array_equal(content["voxels"], labels[0].numpy())
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ labels.affine.numpy()
    assert np.allclose(content["ijkToLPS"], to_lps, atol=1e-3)


def test_dicom_segmentation_refers_to_its_series_and_holds_the_same_mask(by_format, series):
    header = pydicom.dcmread(by_format["dicom"])
    original = pydicom.dcmread(next(series.iterdir()))
    assert header.Modality == "SEG"
    assert header.StudyInstanceUID == original.StudyInstanceUID
    assert header.SeriesInstanceUID != original.SeriesInstanceUID
    assert header.ReferencedSeriesSequence[0].SeriesInstanceUID == original.SeriesInstanceUID
    labels = load_volume(by_format["nifti"])
    segmentation = highdicom.seg.segread(by_format["dicom"])
    assert [item.SegmentLabel for item in segmentation.SegmentSequence] == ["Tumour"]
    assert (segmentation.pixel_array > 0).sum() == labels.sum()
    volume = load_series(series)
    (read,) = read_dicom_segmentation(by_format["dicom"], (tuple(volume.shape[1:]), volume.affine.numpy())).segments
    assert np.array_equal(read.mask, labels[0].numpy() > 0)


def test_dicom_segmentation_of_a_file_is_refused(by_format, tmp_path):
    source = by_format["nrrd"].parent.parent.parent / "copy.nii.gz"
    knobs = {"input": source, "output_format": "dicom", "bias_correction": False}
    line = error_line(segment(tmp_path, check=False, **knobs))
    assert "DICOM series" in line
    assert "--output_format" in line
    assert not any(p.is_file() for p in tmp_path.rglob("*"))


def test_orientation_and_field_of_view_do_not_matter(tmp_path):
    """Copies with reversed and with swapped axes, and one breast alone: the same mask in space."""
    source = nibabel.load(SAMPLE)
    (tmp_path / "in").mkdir()
    nibabel.save(source, tmp_path / "in" / "first.nii.gz")
    start = nibabel.io_orientation(source.affine)
    for name, codes in (("reversed", "RPS"), ("coronal", "SRA")):
        turn = nibabel.orientations.ornt_transform(start, nibabel.orientations.axcodes2ornt(codes))
        nibabel.save(source.as_reoriented(turn), tmp_path / "in" / f"{name}.nii.gz")
    lps = np.asarray(source.dataobj, np.float32)[:, ::-1]  # the sample is stored LAS
    first, end = breast_sides(lps, (2.65, 2.65, 4.0))["R"]
    nibabel.save(source.slicer[first:end], tmp_path / "in" / "breast.nii.gz")
    segment(tmp_path / "out", input=tmp_path / "in", bias_correction=False)
    whole = mask(tmp_path / "out", "first").get_fdata() > 0
    assert whole[first:end].any()
    for name in ("reversed", "coronal"):
        stored, written = nibabel.load(tmp_path / "in" / f"{name}.nii.gz"), mask(tmp_path / "out", name)
        assert written.shape == stored.shape
        assert np.allclose(written.affine, stored.affine, atol=1e-4)
        back = nibabel.orientations.ornt_transform(nibabel.io_orientation(written.affine), start)
        assert dice(written.as_reoriented(back).get_fdata() > 0, whole) >= 0.999
    assert dice(mask(tmp_path / "out", "breast").get_fdata() > 0, whole[first:end]) >= 0.999


class AboveMean(torch.nn.Module):
    """Tumour where a normalised image is above its mean."""

    def forward(self, image):
        return torch.cat([-image, image], 1)


@pytest.mark.parametrize("crop", ["breast", "none"])
def test_crop_decides_over_what_an_image_is_normalised(crop):
    stored = nibabel.load(SAMPLE)
    image = np.asarray(stored.dataobj, np.float32)[:, ::-1].copy()
    image[: image.shape[0] // 2] *= 3
    spacing = (2.6500000953674316, 2.6500000953674316, 4.0)
    volume = MetaTensor(
        torch.from_numpy(image)[None, None], affine=torch.diag(torch.tensor([-spacing[0], -spacing[1], 4, 1]))
    )
    inferer = NnunetInferer(PLANS, mirroring=False, crop=crop)
    found = inferer(volume, AboveMean())[0, 0].numpy()
    parts = [image] if crop == "none" else np.split(image, [breast_sides(image, spacing)["R"][1]])
    expected = np.concatenate([part > part.mean() for part in parts])
    assert (found != expected).mean() < 1e-4  # sums in another order may place a voxel on the other side
    other = np.concatenate([part > image.mean() for part in parts]) if crop == "breast" else None
    assert crop == "none" or (found != other).mean() > 0.01


def background_weights(path):
    """The shipped weights with a last layer that says background whatever it sees."""
    state = torch.load(WEIGHTS, weights_only=True)
    for key, value in state.items():
        if "seg_layers" in key:
            state[key] = torch.tensor([100.0, -100.0]) if key.endswith("bias") else torch.zeros_like(value)
    torch.save(state, path)
    return path


def test_nothing_found_is_an_empty_mask_and_a_warning(tmp_path):
    noise = np.random.default_rng(0).integers(1, 900, (48, 48, 12)).astype(np.int16)
    save_nifti(tmp_path / "noise.nii.gz", noise, np.diag([-2.65, -2.65, 4.0, 1.0]))
    weights = background_weights(tmp_path / "background.pt")
    result = segment(tmp_path / "out", input=tmp_path / "noise.nii.gz", weights=weights)
    assert "noise: no tumour was found" in result.stdout + result.stderr
    written = mask(tmp_path / "out", "noise")
    assert written.shape == noise.shape
    assert not np.asarray(written.dataobj).any()
    assert json.loads((tmp_path / "out" / "noise" / "provenance.json").read_text())["tumour_ml"] == 0


def test_no_dicom_segmentation_is_written_where_nothing_was_found(series, tmp_path):
    plan = CasePlan([{"case": "c", "image": str(series)}], str(tmp_path), {"bundle": "b", "version": "1"})
    volume = load_series(series)
    engine = SimpleNamespace(
        state=SimpleNamespace(
            batch=[{"case": "c", "source": volume}], output=[{"pred": MetaTensor(torch.zeros_like(volume))}]
        )
    )
    MaskWriter(plan, "dicom")(engine)
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["preview.png", "provenance.json"]


def as_model_folder(folder):
    """What nnU-Net itself would have left of the shipped model."""
    content, state = json.loads(PLANS.read_text()), torch.load(WEIGHTS, weights_only=True)
    for name, part in (("plans.json", content["plans"]), ("dataset.json", content["dataset_json"])):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps({"numTraining": 1, **part} if name == "dataset.json" else part))
    for fold in range(content["num_folds"]):
        prefix = f"folds.{fold}."
        home = folder / f"fold_{fold}"
        home.mkdir()
        torch.save(
            {
                "network_weights": {k[len(prefix) :]: v.float() for k, v in state.items() if k.startswith(prefix)},
                "init_args": {"configuration": content["configuration"]},
                "trainer_name": "nnUNetTrainer",
                "inference_allowed_mirroring_axes": content["mirror_axes"],
            },
            home / "checkpoint_final.pth",
        )
    return [str(fold) for fold in range(content["num_folds"])]


def test_mask_is_that_of_nnunets_own_command(made, tmp_path):
    source = nibabel.load(SAMPLE)
    truth = nibabel.load(SEGMENTATION / "sample" / "PhantomDCE_10004_mask.nii.gz").get_fdata() > 0
    centre = np.argwhere(truth & (mask(made).get_fdata() > 0)).mean(0)
    start = [int(np.clip(c - b // 2, 0, max(0, n - b))) for c, b, n in zip(centre, BLOCK, source.shape, strict=True)]
    block = source.slicer[tuple(slice(s, s + b) for s, b in zip(start, BLOCK, strict=True))]
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(block.affine), nibabel.orientations.axcodes2ornt("LPS")
    )
    block = block.as_reoriented(turn)
    (tmp_path / "in").mkdir()
    save_nifti(tmp_path / "in" / "block_0000.nii.gz", np.asarray(block.dataobj), block.affine)
    folds = as_model_folder(tmp_path / "model")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "nnUNet_def_n_proc": "1"}
    environment |= {f"nnUNet_{name}": str(tmp_path) for name in ("raw", "preprocessed", "results")}
    command = [Path(sys.executable).with_name("nnUNetv2_predict_from_modelfolder"), "-i", tmp_path / "in"]
    command += ["-o", tmp_path / "theirs", "-m", tmp_path / "model", "-f", *folds, "-device", "cpu", "--disable_tta"]
    command += ["-npp", "1", "-nps", "1"]
    result = subprocess.run(
        list(map(str, command)), env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    knobs = {"crop": "none", "bias_correction": False, "precision": "fp32"}
    segment(tmp_path / "ours", input=tmp_path / "in" / "block_0000.nii.gz", **knobs)
    theirs = nibabel.load(tmp_path / "theirs" / "block.nii.gz").get_fdata() > 0
    ours = mask(tmp_path / "ours", "block_0000").get_fdata() > 0
    assert theirs.any()
    assert dice(ours, theirs) >= 0.999


def test_real_dicom_series_keeps_its_grid(real_data, tmp_path):
    source = real_data / "breast_mri" / "duke_153" / "1_post1"
    segment(tmp_path, input=source)
    before, written = load_series(source), mask(tmp_path, "1_post1")
    assert written.shape == tuple(before.shape[1:]) == (448, 448, 24)
    assert np.allclose(written.affine, before.affine, atol=1e-3)
    assert set(np.unique(np.asarray(written.dataobj))) <= {0, 1}
    assert "Breast_MRI" not in (tmp_path / "1_post1" / "provenance.json").read_text()
