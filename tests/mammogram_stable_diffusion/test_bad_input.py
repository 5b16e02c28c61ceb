"""Each mistake gives one line and leaves nothing half-written."""

import shutil

import numpy as np
import pydicom
import pytest
from PIL import Image

from common.errors import InputError
from common.sampling.mammogram_plan import find_paintings
from common.transforms.painting_items import PaintingReader
from tests.conftest import MAMMOGRAM, error_line, run_bundle

SAMPLE = MAMMOGRAM / "sample" / "PhantomMG_10004_mammogram.dcm"
MASK = MAMMOGRAM / "sample" / "PhantomMG_10004_mask.png"


def mask(folder, shape=(512, 448), box=(280, 320, 130, 170)):
    image = np.zeros(shape, np.uint8)
    image[box[0] : box[1], box[2] : box[3]] = 255
    Image.fromarray(image).save(folder / "m.png")
    return folder / "m.png"


def other_modality(folder):
    header = pydicom.dcmread(SAMPLE)
    header.Modality = "CR"
    header.save_as(folder / "x.dcm")
    return folder / "x.dcm"


def truncated(folder):
    (folder / "x.dcm").write_bytes(SAMPLE.read_bytes()[:200_000])
    return folder / "x.dcm"


def broken_mask(folder):
    (folder / "m.png").write_bytes(MASK.read_bytes()[:100])
    return folder / "m.png"


def incomplete_pipeline(folder):
    for name in ("vae", "unet", "tokenizer"):
        (folder / "w" / name).mkdir(parents=True)
    return folder / "w"


READING = [
    (lambda d: (d / "absent.dcm", MASK), ("absent.dcm", "no such file")),
    (lambda d: (SAMPLE, d / "absent.png"), ("absent.png", "no such file")),
    (lambda d: (SAMPLE, None), ("--mask",)),
    (lambda d: (d, None), ("folder", "--mask")),
    (lambda d: (truncated(d), MASK), ("x.dcm",)),
    (lambda d: (SAMPLE, broken_mask(d)), ("m.png", "cannot be read")),
    (lambda d: (SAMPLE, mask(d, (100, 90), (10, 20, 10, 20))), ("100 x 90", "512 x 448")),
    (lambda d: (SAMPLE, mask(d, box=(0, 0, 0, 0))), ("empty",)),
    (lambda d: (SAMPLE, mask(d, box=(5, 40, 400, 440))), ("outside the breast",)),
]


@pytest.mark.parametrize(("make", "words"), READING, ids=[str(i) for i in range(len(READING))])
def test_what_cannot_be_read_is_named(make, words, tmp_path):
    with pytest.raises(InputError) as caught:
        for item in find_paintings(*make(tmp_path)):
            PaintingReader(64)(item["image"], item["mask"])
    assert all(word in str(caught.value) for word in words), caught.value


PAINTING = [
    ({"input": other_modality, "mask": lambda d: MASK}, ("modality CR", "--any_modality True")),
    ({"weights": incomplete_pipeline}, ("has no folder text_encoder",)),
    ({"crop": lambda d: "yes"}, ("crop", "True or False")),
    ({"prompt": lambda d: " ".join(["mammogram"] * 80)}, ("80", "30")),
    ({"guidence_scale": lambda d: 3}, ("--guidance_scale",)),
]


@pytest.mark.parametrize(("knobs", "words"), PAINTING, ids=[str(i) for i in range(len(PAINTING))])
def test_painting_mistakes(knobs, words, tmp_path):
    options = {key: make(tmp_path) for key, make in knobs.items()}
    result = run_bundle("inference.json", bundle=MAMMOGRAM, output_dir=tmp_path / "out", check=False, num_steps=2,
                        device="cpu", **options)  # fmt: skip
    line = error_line(result)
    assert all(word in line for word in words), line
    assert not any((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"density": "hihg"}, ("hihg", "high")),
        ({"prompt": "absent.txt"}, ("absent.txt", "no such file")),
        ({"num_samples": 0}, ("num_samples", "at least 1")),
        ({"num_steps": 2000}, ("num_steps", "1000")),
    ],
)
def test_generation_mistakes(knobs, words, tmp_path):
    result = run_bundle("generate.json", bundle=MAMMOGRAM, output_dir=tmp_path, check=False, device="cpu", **knobs)
    line = error_line(result)
    assert all(word in line for word in words), line


def test_a_mistake_does_not_touch_earlier_results(tmp_path):
    options = {"bundle": MAMMOGRAM, "output_dir": tmp_path, "num_steps": 2, "device": "cpu"}
    run_bundle("inference.json", **options)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    error_line(run_bundle("inference.json", check=False, guidance_scale=5, **options))
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    shutil.rmtree(tmp_path)
