"""Sampling with the shipped weights, as users run it: real processes, real files."""

import json

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from common.io.mammograms import load_mammogram
from tests.conftest import COMMAND, MAMMOGRAM, error_line, run_bundle

FAST = {"num_steps": 3, "device": "cpu"}
SAMPLE = MAMMOGRAM / "sample" / "PhantomMG_10004_mammogram.dcm"
MASK = MAMMOGRAM / "sample" / "PhantomMG_10004_mask.png"


def paint(folder, **options):
    return run_bundle("inference.json", bundle=MAMMOGRAM, output_dir=folder, **{**FAST, **options})


def draw(folder, **options):
    return run_bundle("generate.json", bundle=MAMMOGRAM, output_dir=folder, **{**FAST, **options})


def marked():
    return np.asarray(Image.open(MASK)) > 0


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("painted")
    paint(folder, prefix=COMMAND, num_samples=2, batch_size=1)
    return folder


def test_dicom_in_dicom_out_and_nothing_outside_the_mask_changes(painted):
    before = load_mammogram(SAMPLE)
    path = painted / "PhantomMG_10004_mammogram_sample0" / "PhantomMG_10004_mammogram_sample0_mammogram.dcm"
    after = load_mammogram(path)
    outside = ~marked()
    assert np.array_equal(before.pixels[outside], after.pixels[outside])
    assert (before.pixels != after.pixels)[marked()].mean() > 0.8
    assert after.photometric == before.photometric == "MONOCHROME1"
    assert np.array_equal(after.display()[outside], before.display()[outside])
    header, source = pydicom.dcmread(path), pydicom.dcmread(SAMPLE)
    assert header.Modality == "MG" and header.PresentationIntentType == "FOR PRESENTATION"
    assert "SYNTHETIC" in header.ImageType and header.SeriesDescription.startswith("SYNTHETIC")
    assert header.PatientID == "SYNTHETIC" and header.PatientID != source.PatientID
    assert header.SOPInstanceUID != source.SOPInstanceUID and header.StudyInstanceUID != source.StudyInstanceUID
    assert (header.ViewPosition, header.ImageLaterality) == ("MLO", "L")


def test_samples_differ_and_say_what_made_them(painted):
    folders = sorted(path for path in painted.iterdir() if path.is_dir())
    images = [load_mammogram(next(folder.glob("*_mammogram.dcm")), quiet=True).pixels for folder in folders]
    assert len(images) == 2 and not np.array_equal(*images)
    record = json.loads((folders[0] / "provenance.json").read_text())
    assert record["synthetic"] and record["prompt"] == "a mammogram with a mass"
    assert record["painted_pixels"] == marked().sum()
    assert {"weights_sha256", "input_sha256", "mask_sha256", "seed", "guidance_scale"} <= record.keys()
    with Image.open(folders[0] / "preview.png") as preview:
        assert "SYNTHETIC" in preview.info["Description"]
    assert (painted / "samples.png").is_file()


def test_the_same_command_gives_the_same_bytes_and_goes_on_where_it_was_stopped(painted, tmp_path):
    paint(tmp_path, num_samples=1, batch_size=1)
    name = "PhantomMG_10004_mammogram_sample0"
    for file in sorted((tmp_path / name).iterdir()):
        assert file.read_bytes() == (painted / name / file.name).read_bytes(), file.name
    stamp = (tmp_path / name / "preview.png").stat().st_mtime_ns
    result = paint(tmp_path, num_samples=2, batch_size=1)
    assert "1 of 2 samples exist already" in result.stdout + result.stderr
    assert (tmp_path / name / "preview.png").stat().st_mtime_ns == stamp
    assert (tmp_path / "PhantomMG_10004_mammogram_sample1").is_dir()
    assert "seed" in error_line(paint(tmp_path, num_samples=1, batch_size=1, seed=1, check=False))


@pytest.mark.parametrize("kind", ["png", "nifti"])
def test_other_files_keep_their_depth_and_values(kind, tmp_path):
    before = load_mammogram(SAMPLE, quiet=True)
    values = (before.window.display(before.pixels) * 4095).round().astype(np.uint16)
    source = tmp_path / ("image.png" if kind == "png" else "image.nii.gz")
    if kind == "png":
        Image.fromarray(values).save(source)
    else:
        affine = np.diag([-0.07, -0.07, 1.0, 1.0])
        nibabel.save(nibabel.Nifti1Image(values.T[..., None], affine), source)
    paint(tmp_path / "out", input=source, mask=MASK, crop=True)
    (folder,) = (path for path in (tmp_path / "out").iterdir() if path.is_dir())
    suffix = ".png" if kind == "png" else ".nii.gz"
    result = folder / f"image_sample0_mammogram{suffix}"
    if kind == "png":
        after = np.asarray(Image.open(result))
        assert after.dtype == np.uint16
    else:
        image = nibabel.load(result)
        assert np.allclose(image.affine, affine)
        after = np.asarray(image.dataobj)[..., 0].T
    assert np.array_equal(after[~marked()], values[~marked()])
    assert (after != values)[marked()].mean() > 0.8
    assert "close_up" in json.loads((folder / "provenance.json").read_text())


def test_text_gives_images_of_sixteen_bits(tmp_path):
    result = draw(tmp_path, num_samples=2, laterality="R", vendor="hologic", density="A", area="big", view="CC")
    assert "written" in result.stdout
    folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    assert [folder.name for folder in folders] == [f"hologic_cc_big_area_very_low_density_sample{k}" for k in (0, 1)]
    image = np.asarray(Image.open(folders[0] / f"{folders[0].name}_mammogram.png"))
    assert image.dtype == np.uint16 and image.shape == (256, 256)
    assert image[:, 128:].mean() > image[:, :128].mean()  # right: the chest wall is on the right
    record = json.loads((folders[0] / "provenance.json").read_text())
    assert record["prompt"] == "a hologic mammogram in CC view with big area and very low density"


def test_prompts_from_a_file_as_dicom(tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a siemens mammogram in CC view\na mammogram in MLO view with a lesion\n")
    draw(tmp_path / "out", prompt=prompts, num_samples=1, output_format="dicom", negative_prompt="a hologic mammogram")
    files = sorted((tmp_path / "out").glob("*/*.dcm"))
    assert [file.parent.name for file in files] == ["mlo_lesion_sample0", "siemens_cc_sample0"]
    header = pydicom.dcmread(files[1])
    assert (header.Modality, header.ViewPosition, header.PatientID) == ("MG", "CC", "SYNTHETIC")
    assert header.pixel_array.shape == (256, 256)


def test_runs_from_any_folder_with_relative_paths(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray((np.asarray(Image.open(MASK)) > 0).astype(np.uint8) * 255).save(tmp_path / "in" / "m.png")
    (tmp_path / "in" / "x.dcm").write_bytes(SAMPLE.read_bytes())
    paint("out", input="in/x.dcm", mask="in/m.png", cwd=tmp_path)
    assert (tmp_path / "out" / "x_sample0").is_dir()


@pytest.mark.parametrize("case", ["nyu_gmic_exam0/0_R-CC", "mini_mias/mdb028", "dicom/WG04_MG1_J2KI"])
def test_real_mammograms_at_their_full_resolution(case, real_data, tmp_path):
    """A 16-bit PNG with its expert's mask, a film scan of mini-MIAS with its circle, a compressed DICOM film scan."""
    folder = real_data / "mammography"
    options, mask = {}, tmp_path / "mask.png"
    if case.startswith("nyu"):
        path, mask = folder / f"{case}.png", folder / f"{case}_benign_mask.png"
    elif case.startswith("mini"):
        path = folder / f"{case}.pgm"
        rows, columns = np.ogrid[:1024, :1024]
        circle = (rows - (1024 - 314)) ** 2 + (columns - 338) ** 2 <= 56**2  # y counts from the bottom
        Image.fromarray(circle.astype(np.uint8) * 255).save(mask)
    else:
        path, options = folder / f"{case}.dcm", {"any_modality": True, "output_format": "png"}
        shape = load_mammogram(path, any_modality=True, quiet=True).pixels.shape
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        spot = (rows - 0.45 * shape[0]) ** 2 + (columns - 0.6 * shape[1]) ** 2 <= (0.03 * shape[0]) ** 2
        Image.fromarray(spot.astype(np.uint8) * 255).save(mask)
    result = paint(tmp_path / "out", input=path, mask=mask, crop=True, num_steps=4, **options)
    assert "written" in result.stdout
    before = load_mammogram(path, any_modality=True, quiet=True)
    after = load_mammogram(next((tmp_path / "out").glob("*/*_mammogram.*")), any_modality=True, quiet=True)
    inside = np.asarray(Image.open(mask)) > 0
    assert after.pixels.shape == before.pixels.shape
    if after.photometric == before.photometric and not before.window.inverted:
        assert np.array_equal(after.pixels[~inside], before.pixels[~inside])
    assert (after.pixels != before.pixels)[inside].mean() > 0.5
