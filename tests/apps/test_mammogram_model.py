"""The model behind the graphical tools: what the command line draws, and what it refuses."""

import json
import subprocess
import sys

import numpy as np
import pydicom
from PIL import Image

from common.cohorts.mammogram_prompts import words
from common.networks.diffusers_folder import save_pipeline
from common.networks.prompt_tokenizer import make_tokenizer
from tests.apps.conftest import environment
from tests.conftest import MAMMOGRAM, run_bundle
from tests.networks.test_text_diffusion import composite

PROMPT = "a hologic mammogram in CC view with big area and low density"

# `common` and the bundle's own package must not meet in one process.
HEAD = """
import json, sys
sys.path.insert(0, {bundle!r})
import numpy as np
from scripts.common.apps.mammogram_model import MammogramModel
from scripts.common.errors import InputError
assert "common" not in sys.modules
model = MammogramModel({bundle!r}, {weights!r}, device="cpu")
"""


def in_bundle(weights, code, *arguments):
    """Run code that knows a `model`, in the bundle's package; what it prints, as JSON."""
    head = HEAD.format(bundle=str(MAMMOGRAM), weights=str(weights))
    command = [sys.executable, "-c", head + code, *map(str, arguments)]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd="/", env=environment(), timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


def only(folder, pattern):
    found = list(folder.rglob(pattern))
    assert len(found) == 1, found
    return found[0]


def test_the_seed_of_a_sample_draws_what_the_command_line_drew(random_weights, tmp_path):
    knobs = {"weights": random_weights, "num_samples": 1, "num_steps": 4, "seed": 5, "device": "cpu"}
    drawn, painted = tmp_path / "drawn", tmp_path / "painted"
    run_bundle("generate.json", bundle=MAMMOGRAM, prompt=PROMPT, laterality="R", output_dir=drawn, **knobs)
    run_bundle("inference.json", bundle=MAMMOGRAM, output_dir=painted, crop=True, guidance_scale=3.0, **knobs)
    seeds = [json.loads(only(folder, "provenance.json").read_text())["seed"] for folder in (drawn, painted)]
    code = """
from scripts.common.io.mammograms import load_mammogram
from scripts.common.io.mammogram_masks import load_mask
display = model.generate(sys.argv[1], num_steps=4, seed=int(sys.argv[2]), laterality="R")
mask = load_mask(str(model.example).replace("mammogram.dcm", "mask.png"))
prompt = "a magnified mammogram with a mass"
done = model.paint(load_mammogram(model.example), mask, prompt, "", 3.0, 4, int(sys.argv[3]), crop=True)
np.savez(sys.argv[4], display=display, pixels=done.pixels, after=done.after, mask=done.painting.mask)
print(json.dumps([model.is_shipped, model.is_pipeline, model.guidance_scale, model.name, *model.software]))
"""
    facts = in_bundle(random_weights, code, PROMPT, *seeds, tmp_path / "found.npz")
    assert facts[:5] == [False, False, 1.5, "random_weights.pt", "mammogram_stable_diffusion"]
    found = np.load(tmp_path / "found.npz")
    display = found["display"]
    assert display.dtype == np.float32 and display.shape == (256, 256) and 0 <= display.min() < display.max() <= 1
    written = np.asarray(Image.open(only(drawn, "*_mammogram.png")))
    assert np.array_equal(np.rint(display * 65535).astype(np.uint16), written)
    header = pydicom.dcmread(only(painted, "*_mammogram.dcm"))
    assert np.array_equal(header.pixel_array, found["pixels"])
    original = pydicom.dcmread(MAMMOGRAM / "sample" / "PhantomMG_10004_mammogram.dcm").pixel_array
    changed = found["pixels"] != original
    assert changed.any() and not changed[~found["mask"]].any()


def test_sampling_stops_where_its_listener_raises(random_weights):
    code = """
seen, told = [], []
class Enough(Exception): pass
def listen(done, total):
    seen.append([done, total])
    if done == 3: raise Enough
try:
    model.generate("a mammogram", num_steps=10, on_step=listen)
except Enough:
    told.append("stopped")
for options in ({"seed": -1}, {"seed": 2**63}, {"num_steps": 0}, {"laterality": "left"}, {"prompt": "a cat"}):
    try:
        model.generate(**{"prompt": "a mammogram", "num_steps": 10, **options})
    except InputError as error:
        told.append(str(error))
guided = [model.generate("a mammogram in CC view", "a mammogram", g, 2, 1).tolist() for g in (0, 1, 4)]
print(json.dumps([seen, told, guided[0] == guided[1], guided[1] == guided[2]]))
"""
    seen, told, *same = in_bundle(random_weights, code)
    assert seen == [[1, 10], [2, 10], [3, 10]]
    wanted = ("stopped", "seed=-1", "seed=9223372036854775808", "num_steps=0", "laterality=left", "did you mean")
    assert len(told) == len(wanted) and all(word in line for word, line in zip(wanted, told, strict=True))
    assert same == [False, False]


def test_a_folder_of_weights_of_any_size_is_taken(tmp_path):
    """Its own network decides the image's size; one that only generates says so when it is asked to paint."""
    tokenizer = make_tokenizer(words(), 32)
    for channels in (4, 9):
        save_pipeline(composite(tokenizer, channels=channels), tokenizer, tmp_path / str(channels))
    code = """
from scripts.common.io.mammograms import load_mammogram
mammogram = load_mammogram(model.example)
mask = np.zeros(mammogram.pixels.shape)
mask[250:280, 120:150] = 1
told = []
for model in (model, MammogramModel(sys.argv[1], sys.argv[2], device="cpu")):
    display = model.generate("a siemens mammogram", num_steps=2)
    assert display.shape == (16, 16) and model.is_pipeline
    try:
        done = model.paint(mammogram, mask, "a mammogram with a lesion", num_steps=2)
        told.append(int((done.pixels != mammogram.pixels)[mask == 0].sum()))
    except InputError as error:
        told.append(str(error))
print(json.dumps(told))
"""
    refused, changed_outside = in_bundle(tmp_path / "4", code, MAMMOGRAM, tmp_path / "9")
    assert "not inpaint" in refused and changed_outside == 0
