"""Lesions look as their BI-RADS class says, some examinations have none, and older phantoms stay as they were."""

import importlib.util
import json
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
from skimage.measure import label as connected
from skimage.measure import regionprops

from common.cohorts.duke_boxes import read_boxes
from common.errors import InputError
from common.io.dicom_headers import find_series
from common.io.dicom_series import load_series
from common.phantoms import birads_lesions
from common.phantoms.birads_lesions import EXAM_SHARES, LOOKS, MAX_LESIONS, add_birads_lesions, draw_classes
from common.phantoms.breast_dce import CURVES, make_breast_dce
from common.phantoms.write_breast_dce import write_boxes, write_case
from tests.conftest import error_line, run_script

GRID = ((96, 96, 16), (3.5, 3.5, 8.0))
SMALL = ((48, 48, 10), (7.0, 7.0, 12.0))
BLOCK = ((72, 72, 14), (1.5, 1.5, 5.0))
BASE, BACKGROUND = 0.3, 0.02
# Of phantom 3 on the grid SMALL, by the version that knew no classes.
OLD_SECONDS = (123.3, 255.4, 389.0)
OLD_SUM = 23380038
OLD_LESION = {
    "instance": 1, "visible": True, "visibility": "clear", "morphology": "irregular", "curve_type": "III",
    "necrotic": True, "peak": 1.7338, "curve": [1.0094, 0.8389, 0.6965], "radius_mm": 12.72,
    "centre_mm": [59.5, -17.5, 18.0],
}  # fmt: skip


@pytest.fixture(scope="module")
def phantoms():
    return [make_breast_dce(seed, *GRID, "birads") for seed in range(12)]


@pytest.fixture(scope="module")
def by_class():
    """For each class five lesions alone in a block of breast: first enhancement, outline in the projection, record."""
    shape, spacing = BLOCK
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    breast = np.zeros(shape, bool)
    breast[1:-1, 1:-1, 1:-1] = True
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for birads in LOOKS:
            patch.setattr(birads_lesions, "draw_classes", lambda rng, birads=birads: [birads])
            found[birads] = []
            for seed in range(5):
                base, gains, label, (lesion,) = add_birads_lesions(
                    np.random.default_rng(seed),
                    points,
                    spacing,
                    np.full(shape, BASE, np.float32),
                    np.full((3, *shape), BACKGROUND, np.float32),
                    breast,
                    0.28,
                    CURVES,
                )
                assert lesion["birads"] == birads
                assert base[label == 1].mean() == pytest.approx(0.28, abs=0.01)
                found[birads].append((gains, label == 1, lesion))
    return found


@pytest.fixture(scope="module")
def command_line():
    """The script as a module; a process for each wrong option would take too long."""
    scripts = Path(__file__).parents[2] / "scripts"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(scripts))
        spec = importlib.util.spec_from_file_location("make_phantoms", scripts / "make_phantoms.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def test_same_seed_same_voxels():
    first, second = (make_breast_dce(5, *SMALL, "birads") for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.label, second.label)
    assert first.lesions == second.lesions
    assert not np.array_equal(first.image, make_breast_dce(6, *SMALL, "birads").image)


def test_phantoms_with_kinetics_are_what_they_were_before_there_were_classes():
    phantom = make_breast_dce(3, *SMALL)
    assert phantom.seconds == OLD_SECONDS
    assert phantom.lesions == [OLD_LESION]
    assert float(phantom.image.sum(dtype=float)) == pytest.approx(OLD_SUM, rel=1e-6)
    explicit = make_breast_dce(3, *SMALL, findings="kinetics")
    assert np.array_equal(explicit.image, phantom.image)
    with pytest.raises(InputError, match="findings=masses: use kinetics or birads"):
        make_breast_dce(3, *SMALL, findings="masses")


def test_examinations_have_the_highest_class_as_often_as_the_table_says():
    rng = np.random.default_rng(0)
    exams = [draw_classes(rng) for _ in range(4000)]
    shares = Counter(max(classes, default=1) for classes in exams)
    for birads, share in EXAM_SHARES.items():
        # Four standard deviations of a binomial draw.
        assert shares[birads] / 4000 == pytest.approx(share, abs=4 * (share * (1 - share) / 4000) ** 0.5)
    assert sum(EXAM_SHARES.values()) == pytest.approx(1)
    assert {len(classes) for classes in exams} == set(range(MAX_LESIONS + 1))
    assert all(classes == sorted(classes, reverse=True) and set(classes) <= set(LOOKS) for classes in exams)


def test_lesions_lie_in_the_breasts_and_apart_in_the_projection(phantoms):
    classes = Counter()
    for phantom in phantoms:
        assert set(np.unique(phantom.label)) - {0} == {lesion["instance"] for lesion in phantom.lesions}
        covered = np.zeros(phantom.label.shape[:2], int)
        for lesion in phantom.lesions:
            voxels = phantom.label == lesion["instance"]
            assert phantom.breast[voxels].all()
            covered += voxels.any(axis=2)
            classes[lesion["birads"]] += 1
            centre = np.array(lesion["centre_mm"][:2]) / phantom.spacing[0] + (phantom.label.shape[0] - 1) / 2
            outline = np.argwhere(voxels.any(axis=2))
            assert np.abs(outline.mean(0) - centre).max() * phantom.spacing[0] < 0.5 * lesion["radius_mm"]
        assert covered.max(initial=0) <= 1
        # Not even touching: each is a component of its own.
        assert connected(covered).max() == len(phantom.lesions)
    assert len(classes) >= 4
    assert any(not phantom.lesions and not phantom.label.any() for phantom in phantoms)
    assert any(len(phantom.lesions) > 1 for phantom in phantoms)


def test_first_enhancement_rises_with_the_class(by_class, phantoms):
    means = []
    for birads, drawn in by_class.items():
        solid = []
        for gains, voxels, lesion in drawn:
            # Without soft edges and the core of class 6.
            values = gains[0][voxels]
            solid.append(float(np.median(values[values > 0.6 * np.percentile(values, 90)])))
            low, high = LOOKS[birads].gain
            assert 0.8 * low < solid[-1] < 1.2 * high
            assert 0.94 * low <= lesion["peak"] * CURVES[lesion["curve_type"]][0] <= 1.06 * high
        means.append(np.mean(solid))
    assert means == sorted(means)
    assert means[-1] > 2 * means[0]
    # In whole phantoms, relative to the breast before contrast.
    by_grade = {"low": [], "high": []}
    for phantom in phantoms:
        gain = phantom.clean[1] - phantom.clean[0]
        for lesion in phantom.lesions:
            voxels = phantom.label == lesion["instance"]
            grade = "low" if lesion["birads"] < 4 else "high"
            by_grade[grade].append(float(np.percentile(gain[voxels], 75) / phantom.clean[0][phantom.breast].mean()))
    assert np.mean(by_grade["high"]) > 1.4 * np.mean(by_grade["low"])


def test_later_phases_follow_the_curve_of_the_class(by_class):
    for birads, drawn in by_class.items():
        for gains, voxels, lesion in drawn:
            assert lesion["curve_type"] == LOOKS[birads].curve_type
            first, _, last = (float(phase[voxels].mean()) for phase in gains)
            expected = CURVES[lesion["curve_type"]][2] / CURVES[lesion["curve_type"]][0]
            assert last / first == pytest.approx(expected, rel=0.08)


def test_suspicious_lesions_have_less_regular_outlines(by_class):
    solidity = {
        birads: [regionprops(voxels.any(axis=2).astype(int))[0].solidity for _, voxels, _ in drawn]
        for birads, drawn in by_class.items()
    }
    assert min(solidity[2] + solidity[3]) > np.percentile(solidity[5] + solidity[6], 90)
    smooth, bumpy, spiculated = (np.mean([solidity[c] for c in classes]) for classes in ((2, 3), (4,), (5, 6)))
    assert smooth > bumpy > spiculated + 0.08
    morphologies = {birads: {lesion["morphology"] for _, _, lesion in drawn} for birads, drawn in by_class.items()}
    assert morphologies == {b: {"smooth" if b < 4 else "irregular"} for b in LOOKS}


def test_class_6_is_hollow_in_the_projection_and_no_other_is(by_class):
    for birads, drawn in by_class.items():
        for gains, voxels, lesion in drawn:
            x, y = (np.array(lesion["centre_mm"][:2]) / BLOCK[1][0] + 35.5).astype(int)
            mip = gains[0].max(axis=2)
            centre, rim = mip[x - 1 : x + 3, y - 1 : y + 3].mean(), np.percentile(mip[voxels.any(axis=2)], 80)
            if birads == 6:
                assert centre < 0.4 * rim
            else:
                assert centre > 0.6 * rim
            assert lesion["necrotic"] == (birads == 6)


def test_a_duke_cohort_with_a_healthy_examination(tmp_path):
    healthy = next(seed for seed in range(30) if not make_breast_dce(seed, *SMALL, "birads").lesions)
    diseased = next(seed for seed in range(30) if make_breast_dce(seed, *SMALL, "birads").label.any())
    for seed in (healthy, diseased):
        write_case(tmp_path, seed, "duke", *SMALL, findings="birads", num_phases=1)
    write_boxes(tmp_path)
    assert list(read_boxes(tmp_path / "Annotation_Boxes.csv")) == [f"Breast_MRI_{diseased:03d}"]
    assert read_boxes(tmp_path / "Annotation_Boxes.xlsx") == read_boxes(tmp_path / "Annotation_Boxes.csv")
    for seed in (healthy, diseased):
        phantom = make_breast_dce(seed, *SMALL, "birads")
        series = find_series(tmp_path / f"Breast_MRI_{seed:03d}")
        assert [entry.description for entry in series] == ["SYNTHETIC ax dyn pre", "SYNTHETIC ax dyn 1st pass"]
        for phase, entry in zip(phantom.image, series, strict=False):
            volume = load_series(entry)
            image = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume[0].numpy(), volume.affine.numpy()))
            np.testing.assert_array_equal(np.asarray(image.dataobj), phase)
        facts = json.loads((tmp_path / "masks" / f"Breast_MRI_{seed:03d}.json").read_text())
        assert facts["lesions"] == phantom.lesions
        assert ("annotation" in facts) == (seed == diseased)
    mask = nibabel.load(tmp_path / "masks" / f"Breast_MRI_{healthy:03d}.nii.gz")
    assert not np.asarray(mask.dataobj).any()


def test_nifti_with_one_phase(command_line, tmp_path):
    options = {"findings": "birads", "num_phases": 1, "matrix": 48, "num_slices": 8}
    command_line.breast_dce(str(tmp_path), num=2, format="nifti", workers=1, **options)
    for seed in (0, 1):
        phantom = make_breast_dce(seed, (48, 48, 8), (7.0667, 7.0667, 4.0), "birads")
        files = sorted((tmp_path / "images" / f"PhantomDCE_{seed:05d}").iterdir())
        assert [file.name[-11:] for file in files] == ["0000.nii.gz", "0001.nii.gz"]
        images = [nibabel.as_closest_canonical(nibabel.load(file)) for file in files]
        np.testing.assert_array_equal([np.asarray(image.dataobj) for image in images], phantom.image[:2])
        np.testing.assert_allclose(images[0].header.get_zooms(), (339.2 / 48, 339.2 / 48, 4), atol=1e-3)
        facts = json.loads((tmp_path / "segmentations" / "expert" / f"phantomdce_{seed:05d}.json").read_text())
        assert facts == {"seconds": list(phantom.seconds[:1]), "lesions": phantom.lesions}


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("findings", "masses", "findings=masses: use kinetics or birads"),
        ("num_phases", 0, "num_phases=0: give 1, 2 or 3"),
        ("matrix", 8, "matrix=8: give 32 or more voxels"),
    ],
)
def test_wrong_options_are_refused(command_line, tmp_path, option, value, message):
    with pytest.raises(InputError, match=message):
        command_line.breast_dce(str(tmp_path), **{option: value})


def test_a_wrong_option_is_one_line_on_the_command_line(tmp_path):
    options = ["breast_dce", "--output", tmp_path, "--num_phases", "4"]
    assert "num_phases=4: give 1, 2 or 3" in error_line(run_script("make_phantoms.py", *options, check=False))
