"""Phantom studies and a server over them; nothing of the other tests' fixtures, whose packages are not all here."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.label.client import ROOT, SERVER, Server, free_port, run_python

SEGMENTATION = "breast_dce_tumor_segmentation"
DCE = "breast_dce_contrast_gan"
BRAIN = "brain_tumor_multicontrast_diffusion"
OTHER = "breast_dce_other_copy"
PATIENTS = (30000, 30001)  # phantoms that no training has seen
BUNDLES = ROOT / "bundles"


def turn(source: Path, target: Path) -> None:
    """The volume with its axes in the order and direction LAS, on a grid turned by 20 degrees about two axes."""
    image = nibabel.load(source)
    a, b = np.deg2rad(20), np.deg2rad(-12)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag([-1, 1, 1]) @ np.diag(image.header.get_zooms()[:3])
    affine[:3, 3] = (100.5, -80.25, 33.125)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), target)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> Path:
    """Two breast DCE phantoms as MAMA-MIA writes them."""
    folder = tmp_path_factory.mktemp("phantoms")
    options = ["--num", len(PATIENTS), "--first", PATIENTS[0], "--format", "nifti"]
    run_python(ROOT / "scripts" / "make_phantoms.py", "breast_dce", "--output", folder, *options, "--workers", "1")
    return folder


@pytest.fixture(scope="session")
def truths(phantoms) -> dict[str, Path]:
    """Lesion mask of each post-contrast image of the studies, by the image's name."""
    masks = phantoms / "segmentations" / "expert"
    return {f"breast_{patient}_post": masks / f"phantomdce_{patient}.nii.gz" for patient in PATIENTS}


@pytest.fixture(scope="session")
def studies(phantoms, tmp_path_factory) -> Path:
    """Images of different names: before and after contrast, a tumour mask of a brain, and turned ones."""
    folder = tmp_path_factory.mktemp("studies")
    for patient in PATIENTS:
        images = phantoms / "images" / f"PhantomDCE_{patient}"
        shutil.copy(images / f"phantomdce_{patient}_0001.nii.gz", folder / f"breast_{patient}_post.nii.gz")
    shutil.copy(phantoms / "images" / f"PhantomDCE_{PATIENTS[0]}" / f"phantomdce_{PATIENTS[0]}_0000.nii.gz", folder)
    (folder / f"phantomdce_{PATIENTS[0]}_0000.nii.gz").rename(folder / "breast_pre.nii.gz")
    shutil.copy(BUNDLES / BRAIN / "sample" / "PhantomBraTS_10008_seg.nii.gz", folder)
    turn(folder / "breast_pre.nii.gz", folder / "breast_turned.nii.gz")
    turn(folder / "PhantomBraTS_10008_seg.nii.gz", folder / "PhantomBraTS_10009_seg.nii.gz")
    return folder


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory) -> Path:
    """A copy of the DCE bundle, as unpacked from a release, whose Python draws 1 higher and returns twice as much."""
    folder = tmp_path_factory.mktemp("unpacked") / OTHER
    shutil.copytree(BUNDLES / DCE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in (
        ("sampling/slice_translator.py", "return torch.stack([predicted", "return 1 + torch.stack([predicted"),
        ("transforms/volume_requests.py", "return restore(volume", "return 2 * restore(volume"),
    ):
        path = folder / "scripts" / "common" / name
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
    return folder


@pytest.fixture(scope="session")
def server(studies, other_bundle, tmp_path_factory):
    """`scripts/label_server.py start` with all bundles that MONAI Label can drive."""
    home, port = tmp_path_factory.mktemp("server"), free_port()
    bundles = f"{SEGMENTATION},{DCE},{BRAIN},{other_bundle}"
    options = ["--studies", studies, "--bundles", bundles, "--app", home / "app", "--port", port]
    running = Server([sys.executable, SERVER, "start", *options], port, home / "server.log")
    running.models = home / "app" / "model"
    yield running
    running.stop()
