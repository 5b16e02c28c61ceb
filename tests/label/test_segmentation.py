"""The annotator's round: a mask by the segmentation bundle, a label submitted, a training on the labels."""

import time

import itk
import nibabel
import numpy as np
import pytest

from tests.label.client import mistake
from tests.label.conftest import BUNDLES, PATIENTS, SEGMENTATION

pytestmark = pytest.mark.label

IMAGES = [f"breast_{patient}_post" for patient in PATIENTS]
TRAINING_SECONDS = 400


def dice(first, second):
    return 2 * np.count_nonzero(first & second) / max(np.count_nonzero(first) + np.count_nonzero(second), 1)


@pytest.mark.parametrize("image", IMAGES)
def test_mask_lies_on_the_image_s_grid_and_on_the_lesion(server, studies, truths, tmp_path, image):
    got = nibabel.load(
        server.volume(tmp_path / "mask.nii.gz", SEGMENTATION, image, result_dtype="uint8", mirroring=False)
    )
    source = nibabel.load(studies / f"{image}.nii.gz")
    assert got.get_data_dtype() == np.uint8
    assert got.shape == source.shape
    assert np.allclose(got.affine, source.affine, atol=1e-4)
    mask = np.asarray(got.dataobj)
    assert set(np.unique(mask)) <= {0, 1}
    assert dice(mask > 0, np.asarray(nibabel.load(truths[image]).dataobj) > 0) > 0.5


def test_mask_as_slicer_asks_for_it(server, studies, truths, tmp_path):
    """Slicer's module takes the result apart from a multipart answer, as NRRD of 8 bits."""
    image = IMAGES[0]
    answer = server.infer(
        SEGMENTATION, image, output="all", result_extension=".nrrd", result_dtype="uint8", mirroring=False
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("multipart/")
    boundary = answer.headers["content-type"].split("boundary=")[1].strip('"').encode()
    parts = [part for part in answer.content.split(b"--" + boundary) if b"filename=" in part]
    (tmp_path / "mask.nrrd").write_bytes(parts[0].split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n"))
    mask = itk.array_from_image(itk.imread(str(tmp_path / "mask.nrrd"))).T
    assert dice(mask > 0, np.asarray(nibabel.load(truths[image]).dataobj) > 0) > 0.5


def as_label(truth, target):
    image = nibabel.load(truth)
    nibabel.save(nibabel.Nifti1Image((np.asarray(image.dataobj) > 0).astype(np.uint8), image.affine), target)
    return target


def test_labels_land_in_the_datastore_and_train_the_bundle(server, studies, truths, tmp_path):
    other_grid = studies / "PhantomBraTS_10008_seg.nii.gz"
    told = mistake(server.submit(IMAGES[0], other_grid))
    assert f"the label for {IMAGES[0]}.nii.gz (80 x 80 x 52 voxels" in told
    assert "is not on the image's grid (128 x 128 x 32 voxels" in told
    assert "images with a final label: 0; at least 2 are needed" in mistake(server.train(SEGMENTATION))

    for image in IMAGES:
        label = as_label(truths[image], tmp_path / f"{image}.nii.gz")
        answer = server.submit(image, label)
        assert answer.status_code == 200, answer.text
        assert (studies / "labels" / "final" / f"{image}.nii.gz").read_bytes() == label.read_bytes()
        assert server.get("datastore/label", label=image, tag="final").content == label.read_bytes()
    assert server.get("datastore/").json()["label_tags"] == {"final": 2}

    weights = server.models / SEGMENTATION / "models" / "model.pt"
    before = weights.read_bytes()
    assert before == (BUNDLES / SEGMENTATION / "models" / "model.pt").read_bytes()
    answer = server.train(SEGMENTATION, max_epochs=1, val_split=0.5, device="cpu")
    assert answer.status_code == 200, answer.text
    end, state = time.monotonic() + TRAINING_SECONDS, {}
    while state.get("status") not in ("DONE", "ERROR") and time.monotonic() < end:
        time.sleep(2)
        state = server.get("train/").json()
    assert state["status"] == "DONE", "\n".join(map(str, state.get("details", [])))
    assert weights.read_bytes() != before == (BUNDLES / SEGMENTATION / "models" / "model.pt").read_bytes()
    got = server.volume(tmp_path / "after.nii.gz", SEGMENTATION, IMAGES[0], result_dtype="uint8", mirroring=False)
    assert nibabel.load(got).shape == nibabel.load(studies / f"{IMAGES[0]}.nii.gz").shape
