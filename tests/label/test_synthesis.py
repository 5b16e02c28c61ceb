"""Synthetic volumes over REST are the volumes that `monai.bundle run` writes, on the image's own grid."""

import itk
import nibabel
import numpy as np
import pytest

from common.io.dicom_series import load_series
from common.phantoms import write_breast_dce
from tests.label.client import mistake, run_python
from tests.label.conftest import BRAIN, BUNDLES, DCE, OTHER

pytestmark = pytest.mark.label

CONTRASTS = ("T1", "T1C", "T2", "FLAIR")
PRE, TURNED = "breast_pre", "breast_turned"
MASK, TURNED_MASK = "PhantomBraTS_10008_seg", "PhantomBraTS_10009_seg"


@pytest.fixture(scope="module")
def written(studies, tmp_path_factory):
    """What the bundles themselves write for the same images and seeds, by image, then by phase or contrast."""
    folder, volumes = tmp_path_factory.mktemp("written"), {}
    for bundle, image, options in (
        (DCE, PRE, []),
        (DCE, TURNED, []),
        (BRAIN, MASK, ["--seed", "7", "--num_samples", "2"]),
        (BRAIN, TURNED_MASK, []),
    ):
        config, source = BUNDLES / bundle / "configs" / "inference.json", studies / f"{image}.nii.gz"
        arguments = ["run", "--config_file", config, "--input", source, "--output_dir", folder / image, *options]
        run_python("-m", "monai.bundle", *arguments, "--device", "cpu")
        volumes[image] = {path.name.split("_")[-1].split(".")[0]: path for path in (folder / image).rglob("*.nii.gz")}
        if bundle == BRAIN:
            volumes[image] = {
                (sample, contrast): next((folder / image).rglob(f"*sample{sample}_{contrast}.nii.gz"))
                for sample in (0, 1)[: 2 if options else 1]
                for contrast in CONTRASTS
            }
    return volumes


def assert_same_volume(got, expected):
    got, expected = nibabel.load(got), nibabel.load(expected)
    assert got.get_data_dtype() == np.float32
    assert got.shape == expected.shape
    assert np.allclose(got.affine, expected.affine, atol=1e-4)
    difference = np.abs(got.get_fdata() - expected.get_fdata()).max()
    assert difference <= 1e-3 * np.abs(expected.get_fdata()).max()


@pytest.mark.parametrize("image", [PRE, TURNED])
def test_every_phase_is_the_one_that_the_bundle_writes(server, written, tmp_path, image):
    for phase in (1, 2, 3):
        got = server.volume(tmp_path / f"{phase}.nii.gz", DCE, image, phase=phase)
        assert_same_volume(got, written[image][f"phase{phase}"])
    first, last = (nibabel.load(tmp_path / f"{phase}.nii.gz").get_fdata() for phase in (1, 3))
    assert np.abs(first - last).max() > 0.01 * first.max()


def test_every_contrast_is_the_one_that_the_bundle_writes(server, written, tmp_path):
    for contrast in CONTRASTS:
        got = server.volume(tmp_path / f"{contrast}.nii.gz", BRAIN, MASK, contrast=contrast, seed=7)
        assert_same_volume(got, written[MASK][0, contrast])
    got = server.volume(tmp_path / "second.nii.gz", BRAIN, MASK, contrast="FLAIR", seed=7, sample=1)
    assert_same_volume(got, written[MASK][1, "FLAIR"])


def test_turned_mask_gives_a_turned_volume(server, written, tmp_path):
    got = server.volume(tmp_path / "turned.nii.gz", BRAIN, TURNED_MASK, contrast="t2")
    assert_same_volume(got, written[TURNED_MASK][0, "T2"])


def test_without_parameters_the_first_channel_comes(server, written, tmp_path):
    assert_same_volume(server.volume(tmp_path / "phase.nii.gz", DCE, PRE), written[PRE]["phase1"])
    # The samplers' defaults are the bundle's own again after a request that changed them.
    server.volume(tmp_path / "fast.nii.gz", BRAIN, TURNED_MASK, num_steps=2, guidance_scale=1.0, seed=3)
    assert_same_volume(server.volume(tmp_path / "T1.nii.gz", BRAIN, TURNED_MASK), written[TURNED_MASK][0, "T1"])


def test_nrrd_has_the_geometry_of_the_image(server, studies, tmp_path):
    path = server.volume(tmp_path / "phase.nrrd", DCE, TURNED, phase=2, result_extension=".nrrd")
    got, image = itk.imread(str(path)), itk.imread(str(studies / f"{TURNED}.nii.gz"))
    assert itk.size(got) == itk.size(image)
    for kind in ("GetSpacing", "GetOrigin"):
        assert np.allclose(getattr(got, kind)(), getattr(image, kind)(), atol=1e-4)
    assert np.allclose(
        itk.array_from_matrix(got.GetDirection()), itk.array_from_matrix(image.GetDirection()), atol=1e-5
    )
    assert itk.array_from_image(got).dtype == np.float32


def test_uploaded_file_and_path_on_the_server_are_taken_too(server, studies, written, tmp_path):
    path = studies / f"{PRE}.nii.gz"
    for name, options in (("path", {"image": str(path)}), ("upload", {"file": path})):
        answer = server.infer(DCE, phase=1, result_extension=".nii.gz", result_dtype="float32", **options)
        assert answer.status_code == 200, answer.text
        (tmp_path / f"{name}.nii.gz").write_bytes(answer.content)
        assert_same_volume(tmp_path / f"{name}.nii.gz", written[PRE]["phase1"])


def test_a_folder_of_dicom_is_taken_by_its_path(server, tmp_path):
    write_breast_dce.write_case(tmp_path / "cohort", 30002, "duke", (64, 64, 12), (5.3, 5.3, 9.0), num_phases=1)
    folders = {path.parent for path in (tmp_path / "cohort").rglob("*.dcm")}
    folder = min(folders)
    got = nibabel.load(server.volume(tmp_path / "phase.nii.gz", DCE, str(folder)))
    expected = load_series(folder)
    assert got.shape == tuple(expected.shape[1:])
    assert np.allclose(got.affine, expected.affine, atol=1e-4)


def test_two_bundles_do_not_mix_their_code(server, tmp_path):
    """The copy's network output is 1 higher and its volume twice as much; asked in turns, each keeps to its own."""
    ours, theirs = [], []
    for turn in range(2):
        ours.append(nibabel.load(server.volume(tmp_path / f"ours{turn}.nii.gz", DCE, PRE)).get_fdata())
        server.volume(tmp_path / "brain.nii.gz", BRAIN, MASK, num_steps=2)
        theirs.append(nibabel.load(server.volume(tmp_path / f"theirs{turn}.nii.gz", OTHER, PRE)).get_fdata())
    assert np.array_equal(ours[0], ours[1])
    assert np.array_equal(theirs[0], theirs[1])
    step = theirs[0] / 2 - ours[0]
    assert step.min() > 0.01 * ours[0].max()
    assert np.ptp(step) < 1e-3 * step.mean()


def test_unknown_channel_and_number_are_named(server):
    assert "phase=7: use 1 or 2 or 3" in mistake(server.infer(DCE, PRE, phase=7))
    assert "contrast=T9: use T1 or T1C or T2 or FLAIR" in mistake(server.infer(BRAIN, MASK, contrast="T9"))
    assert "num_steps=many: give a whole number" in mistake(server.infer(BRAIN, MASK, num_steps="many"))
