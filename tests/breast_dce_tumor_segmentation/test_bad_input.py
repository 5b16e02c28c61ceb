"""Each mistake gives one line that names the file and what to do; runs leave nothing half-written."""

import json

import nibabel
import numpy as np
import pytest
import torch

from common.engines.mask_evaluation import MaskEvaluation
from common.errors import InputError
from common.knobs import check_choice, check_knob
from common.networks.nnunet import NnunetEnsemble
from common.sampling.case_plan import find_phase
from common.segmentation.nnunet_inferer import NnunetInferer
from common.segmentation.plans_file import read_plans
from common.segmentation.training_items import initialize_fold, labelled_phase, single_fold
from common.transforms.load_mri import LoadMrid
from common.transforms.nnunet_case import LoadTumourMaskd
from common.weights import load_weights
from tests.conftest import SEGMENTATION, error_line, run_bundle

AFFINE = np.diag([-3.0, -3.0, 4.0, 1.0])
WEIGHTS, PLANS = SEGMENTATION / "models" / "model.pt", SEGMENTATION / "models" / "nnunet.json"
SAMPLE = SEGMENTATION / "sample" / "datalist.json"


def content():
    return json.loads(PLANS.read_text())


def nifti(path, array, affine=AFFINE):
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def zeros(folder):
    return nifti(folder / "x.nii.gz", np.zeros((32, 32, 8), np.int16))


def text(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def smaller_plans(folder):
    changed = content()
    configuration = changed["plans"]["configurations"][changed["configuration"]]
    architecture = configuration["architecture"]["arch_kwargs"]
    architecture["features_per_stage"] = [4 for _ in architecture["features_per_stage"]]
    return text(folder / "smaller.json", changed)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda d: {"input": d / "absent.nii.gz"}, ("absent.nii.gz", "no such file", "give a volume")),
        (lambda d: {"input": zeros(d)}, ("x.nii.gz", "every voxel is 0", "check the file")),
        (lambda d: {"weights": d / "absent.pt"}, ("absent.pt", "--weights")),
        (lambda d: {"plans": smaller_plans(d)}, ("model.pt", "do not fit the network", "use the config")),
        (lambda d: {"plans": text(d / "p.json", {"plans": 1})}, ("p.json", "nnunet.json", "export")),
        (lambda d: {"tile_step_sise": 0.5}, ("--tile_step_sise", "did you mean --tile_step_size")),
        (lambda d: {"output_format": "png"}, ("output_format=png", "nifti or nrrd or seg.nrrd or dicom")),
        (lambda d: {"tile_step_size": 0}, ("tile_step_size=0", "above 0")),
        (lambda d: {"input": SAMPLE, "phase": 2}, ("PhantomDCE_10004", "no phase 2", "--phase")),
    ],
    ids=["absent", "zero", "weights", "other plans", "foreign plans", "typing", "format", "step", "phase"],
)
def test_run_ends_with_one_line(tmp_path, make, words):
    out = tmp_path / "out"
    options = {"output_dir": out, "device": "cpu", "mirroring": False, **make(tmp_path)}
    line = error_line(run_bundle("inference.json", bundle=SEGMENTATION, check=False, **options))
    assert all(word in line for word in words), line
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones((32, 32), np.int16), "three-dimensional"),
        (np.ones((32, 32, 8, 3), np.int16), "three-dimensional"),
        (np.full((32, 32, 8), np.nan, np.float32), "NaN or infinite"),
    ],
    ids=["2D", "4D", "NaN"],
)
def test_volumes_of_another_kind_are_named(tmp_path, array, words):
    path = nifti(tmp_path / "odd.nii.gz", array)
    with pytest.raises(InputError, match=words) as caught:
        LoadMrid("image")({"image": str(path)})
    assert "odd.nii.gz" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "no such file; export a model"),
        ("{", "not valid JSON"),
        ([], "has no bias_correction, configuration"),
        ({"plans": {}}, "give the nnunet.json"),
        ({**content(), "configuration": "2d"}, "no configuration 2d"),
    ],
    ids=["absent", "truncated", "list", "foreign", "configuration"],
)
def test_plans_that_cannot_be_used(tmp_path, source, words):
    path = tmp_path / "p.json"
    if source is not None:
        text(path, source)
    with pytest.raises(InputError, match=words) as caught:
        read_plans(path)
    assert "p.json" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("tile_step_size", 2, "from 0 to 1"),
        ("phase", -1, "0 or more"),
        ("phase", "two", "whole number"),
        ("mirroring", 1, "True or False"),
        ("bias_correction", "no", "True or False"),
        ("plans", "a#b.json", "may not hold '#'"),
        ("foreground_share", 1.5, "from 0 to 1"),
        ("fold", -1, "0 or more"),
    ],
)
def test_knobs_out_of_range(name, value, words):
    """As the configs hand them to Preflight."""
    config = json.loads((SEGMENTATION / "configs" / "inference.json").read_text())
    config["knobs"] |= json.loads((SEGMENTATION / "configs" / "train.json").read_text())["knobs"]
    assert config["knobs"][name] == f"@{name}"
    with pytest.raises(InputError, match=words) as caught:
        check_knob(name, value)
    assert str(caught.value).startswith(f"{name}={value}")


def test_unknown_crop_is_refused():
    choices = json.loads((SEGMENTATION / "configs" / "inference.json").read_text())["choices"]
    with pytest.raises(InputError, match="crop=left: use breast or none"):
        check_choice("crop", "left", choices["crop"][1:])
    with pytest.raises(InputError, match="crop=left"):
        NnunetInferer(PLANS, crop="left")


def test_weights_of_another_network_are_named(tmp_path):
    other = torch.nn.Linear(2, 2)
    torch.save(other.state_dict(), tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other\.pt: do not fit the network.*use the config"):
        load_weights(NnunetEnsemble(PLANS), tmp_path / "other.pt")


def datalist(folder, **changes):
    item = {"case": "c", "patient": "c", "image": "pre.nii.gz", "phases": ["post.nii.gz"], "label": "label.nii.gz"}
    item = {key: value for key, value in {**item, **changes}.items() if value is not None}
    for name in ("pre", "post", "label"):
        nifti(folder / f"{name}.nii.gz", np.ones((8, 8, 8), np.uint8))
    return text(folder / "datalist.json", {"training": [item], "test": [item]})


def test_datalist_without_the_phase(tmp_path):
    path = datalist(tmp_path)
    assert find_phase(path, 1, ["test"])[0]["image"].endswith("post.nii.gz")
    assert labelled_phase(path, 0, "training")[0]["image"].endswith("pre.nii.gz")
    for ask in (lambda: find_phase(path, 2, ["test"]), lambda: labelled_phase(path, 2, "training")):
        with pytest.raises(InputError, match=r"datalist\.json: case c has no phase 2; choose another --phase"):
            ask()


def test_datalist_without_labels(tmp_path):
    path = datalist(tmp_path, label=None)
    with pytest.raises(InputError, match="holds no case with label"):
        labelled_phase(path, 1, "training")
    with pytest.raises(InputError, match=r"datalist\.json: case c has no label"):
        MaskEvaluation(path, ["test"], None)


@pytest.mark.parametrize(
    ("array", "affine", "words"),
    [
        (np.ones((8, 8, 6), np.uint8), AFFINE, "not on the grid of its image .*resample it"),
        (np.ones((8, 8, 8), np.uint8), np.diag([-3.0, -3.0, 5.0, 1.0]), "not on the grid of its image .*resample it"),
        (np.zeros((8, 8, 8), np.uint8), AFFINE, "the mask is empty; leave the case out"),
    ],
    ids=["shape", "spacing", "empty"],
)
def test_label_that_cannot_be_trained_on(tmp_path, array, affine, words):
    image = LoadMrid("image")({"image": nifti(tmp_path / "x.nii.gz", np.ones((8, 8, 8), np.uint8))})
    label = nifti(tmp_path / "label.nii.gz", array, affine)
    with pytest.raises(InputError, match=words) as caught:
        LoadTumourMaskd("label")({**image, "label": str(label)})
    assert "label.nii.gz" in str(caught.value)


def test_fold_that_is_not_there():
    with pytest.raises(InputError, match=r"model\.pt: has no fold 77; choose another --fold"):
        initialize_fold(NnunetEnsemble(single_fold(PLANS)), str(WEIGHTS), 77)


@pytest.mark.parametrize("patch", [[15, 48, 48], [16, 44, 48], [16, 48], 48, [0, 48, 48], ["a", 48, 48]])
def test_patch_that_the_network_cannot_halve(patch):
    with pytest.raises(InputError, match="patch_size=.*multiples of"):
        single_fold(PLANS, patch)
