"""Fixtures shared by all tests: phantom cohorts, real cases where there are any, bundles in processes of their own."""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from common.cohorts.prepare_brats import prepare_brats  # noqa: E402
from common.cohorts.prepare_dce import prepare_mama_mia  # noqa: E402
from common.cohorts.prepare_mips import prepare_mips  # noqa: E402
from common.cohorts.vindr import prepare_vindr  # noqa: E402
from common.phantoms import write_breast_dce, write_mammograms  # noqa: E402
from common.phantoms.write_brats import write_case  # noqa: E402
from tests.launcher import Launcher  # noqa: E402

BUNDLES = sorted(path for path in (ROOT / "bundles").iterdir() if path.is_dir())
BRAIN = ROOT / "bundles" / "brain_tumor_multicontrast_diffusion"
BREAST_DCE = ROOT / "bundles" / "breast_dce_contrast_gan"
BREAST_MIP = ROOT / "bundles" / "breast_mip_lesion_diffusion"
MAMMOGRAM = ROOT / "bundles" / "mammogram_stable_diffusion"
SEGMENTATION = ROOT / "bundles" / "breast_dce_tumor_segmentation"
REAL_DATA = "ONCOSYNTH_REAL_DATA"
COMMAND = (sys.executable, "-m")

# A network small enough to train for a few steps in a test; sizes only, everything else as shipped.
TINY = {
    "spatial_size": [32, 32, 16],
    "autoencoder_channels": [8, 16],
    "autoencoder_groups": 4,
    "conditioner_channels": [8, 8],
    "map_channels": 4,
    "token_channels": 8,
    "unet_channels": [8, 16, 16],
    "unet_head_channels": [0, 0, 8],
    "unet_groups": 4,
    "ssim_crop": 12,
}

# The same for the breast DCE bundle. fp32: bf16 gradients of the smallest grids are not reliable on CPUs.
TINY_DCE = {
    "spatial_size": [32, 32],
    "base_channels": 4,
    "num_blocks": 1,
    "discriminator_channels": 4,
    "slices_per_volume": 4,
    "validation_slices": 3,
    "precision": "fp32",
}

# The same for the breast MIP bundle.
TINY_MIP = {
    "spatial_size": [64, 64],
    "autoencoder_channels": [8, 16],
    "autoencoder_groups": 4,
    "num_embeddings": 32,
    "conditioner_channels": 8,
    "map_channels": 4,
    "unet_channels": [8, 16, 16],
    "unet_head_channels": [0, 8, 8],
    "unet_groups": 4,
    "precision": "fp32",
}


# The same for the mammogram bundle.
TINY_MAMMOGRAM = {
    "image_size": 64,
    "vae_channels": [8, 8, 8],
    "vae_groups": 4,
    "text_channels": 16,
    "text_layers": 1,
    "text_feed_forward": 16,
    "unet_channels": [8, 8, 16],
    "unet_groups": 4,
    "precision": "fp32",
}


@functools.cache
def launcher() -> Launcher:
    """One for all runs of a test session."""
    found = Launcher()
    atexit.register(found.close)
    return found


def run_bundle(
    config: str | list[str], *, cwd: Path | str = ROOT, bundle: Path = BRAIN, check: bool = True, prefix=(), **overrides
) -> subprocess.CompletedProcess:
    """`python -m monai.bundle run` in a process of its own; overrides become command-line options.

    With a `prefix` (`COMMAND` or torchrun's) by this very command line, without it by the `launcher`.
    """
    names = [config] if isinstance(config, str) else config
    files = [str(bundle / "configs" / name) for name in names]
    arguments = ["run", "--config_file", files[0] if len(files) == 1 else str(files)]
    for key, value in overrides.items():
        arguments += [f"--{key}", str(value)]
    if prefix:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [*prefix, "monai.bundle", *arguments]
        result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment, timeout=800)
    else:
        result = launcher().run(["-m", "monai.bundle", *arguments], cwd, timeout=800)
    if check and result.returncode:
        raise AssertionError(f"exit code {result.returncode}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}")
    return result


def run_script(name: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    """One of the repository's command-line scripts, in a process of its own, by the `launcher`."""
    result = launcher().run([str(ROOT / "scripts" / name), *map(str, arguments)], "/", timeout=800)
    if check and result.returncode:
        raise AssertionError(f"exit code {result.returncode}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}")
    return result


def error_line(result: subprocess.CompletedProcess) -> str:
    """The one line that a user sees; fails where there is a traceback or a success."""
    assert result.returncode == 1, result.stdout[-2000:]
    assert "Traceback" not in result.stderr + result.stdout, result.stderr[-3000:]
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr[-2000:]
    return lines[0]


@pytest.fixture(scope="session")
def raw_cohort(tmp_path_factory) -> Path:
    """Six phantom patients at 5 mm in BraTS 2021 naming."""
    folder = tmp_path_factory.mktemp("raw")
    for seed in range(6):
        write_case(folder, seed, spacing_mm=5.0)
    return folder


@pytest.fixture(scope="session")
def datalist(raw_cohort, tmp_path_factory) -> Path:
    """Their datalist: two thirds training, one validation, one test."""
    return prepare_brats(
        str(raw_cohort), str(tmp_path_factory.mktemp("cohort")), fractions=(4 / 6, 1 / 6, 1 / 6), workers=1
    )


@pytest.fixture(scope="session")
def dce_datalist(tmp_path_factory) -> Path:
    """Six breast DCE phantoms of 64 x 64 x 12 voxels as NIfTI: four for training, one for validation, one for test."""
    folder = tmp_path_factory.mktemp("dce")
    for seed in range(6):
        write_breast_dce.write_case(folder / "raw", seed, "nifti", (64, 64, 12), (5.3, 5.3, 9.0))
    return prepare_mama_mia(str(folder / "raw"), str(folder / "cohort"), fractions=(4 / 6, 1 / 6, 1 / 6), workers=1)


@pytest.fixture(scope="session")
def mip_cohort(tmp_path_factory) -> Path:
    """Six breast DCE phantoms with BI-RADS classes, 96 x 96 x 16 voxels and one phase, as NIfTI."""
    folder = tmp_path_factory.mktemp("mips")
    for seed in range(6):
        write_breast_dce.write_case(folder, seed, "nifti", (96, 96, 16), (3.5333, 3.5333, 8.0), "birads", 1)
    return folder


@pytest.fixture(scope="session")
def mip_datalist(mip_cohort, tmp_path_factory) -> Path:
    """Their exams, 64 x 64 pixels: four for training, one for validation, one for test."""
    options = {"size": 64, "fractions": (4 / 6, 1 / 6, 1 / 6), "workers": 1}
    return prepare_mips(str(mip_cohort), str(tmp_path_factory.mktemp("exams")), **options)


@pytest.fixture(scope="session")
def mammogram_cohort(tmp_path_factory) -> Path:
    """Five phantom patients with mammograms of 128 x 112 pixels, as VinDr-Mammo is downloaded; three have a lesion."""
    folder = tmp_path_factory.mktemp("mammograms")
    for seed in (0, 1, 3, 4, 6):
        write_mammograms.write_patient(folder, seed, shape=(128, 112), spacing_mm=2.0)
    write_mammograms.write_tables(folder)
    return folder


@pytest.fixture(scope="session")
def mammogram_datalist(mammogram_cohort, tmp_path_factory) -> Path:
    """Their images on 64 x 64 pixels: three patients for training, one for validation, one for test."""
    options = {"size": 64, "split": "leak_free", "fractions": (0.6, 0.2, 0.2), "workers": 1}
    return prepare_vindr(str(mammogram_cohort), str(tmp_path_factory.mktemp("prepared")), **options)


@pytest.fixture(scope="session")
def sample_mask() -> Path:
    """The mask that the bundle ships as its default input."""
    return BRAIN / "sample" / "PhantomBraTS_10008_seg.nii.gz"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real cases; skips where there is none."""
    folder = os.environ.get(REAL_DATA)
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"{REAL_DATA} is not set to a folder of real cases")
    return Path(folder)
