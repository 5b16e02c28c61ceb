import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Compose
from PIL import Image
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from common.engines.mip_evaluation import MipEvaluation, similarity, unit_scale
from common.engines.mip_steps import MipSteps, place
from common.errors import InputError
from common.io.files import write_json
from common.io.volumes import save_nifti
from common.metrics.features import RandomConvolutionFeatures
from common.transforms.lesion_instances import LoadLesionInstancesd
from common.transforms.lesions import LesionChannelsd, LoadLesionsd, LoadMipd, class_map

SIZE = 64
LEVELS = {birads: 0.2 * birads - 0.3 for birads in (2, 3, 4, 5, 6)}  # how bright the stub's lesions are
BACKGROUND = -0.8
# Class of each lesion, and the class that it looks like in the real image: one of five does not look as annotated.
CASES = [[(4, 4)], [(2, 3), (6, 6)], [], [(5, 5)], [(3, 3)], []]


class StubNetwork(torch.nn.Module):
    """An autoencoder that keeps everything."""

    @property
    def autoencoder(self):
        return self

    def encode(self, image):
        return image, torch.zeros_like(image)

    def decode(self, latent):
        return latent


class StubReader(torch.nn.Module):
    """The level nearest to each pixel's brightness."""

    def forward(self, image):
        levels = torch.tensor([BACKGROUND, *LEVELS.values()]).view(1, -1, 1, 1)
        return -50 * (image - levels) ** 2


def noise(seeds):
    draws = [torch.randn(1, SIZE, SIZE, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
    return 0.02 * torch.stack(draws)


def echo(real):
    """A sampler that returns the real image of each condition."""

    def sample(inputs, network, seeds):
        found = [next(r["image"] for r in real if torch.equal(r["label"], condition)) for condition in inputs]
        return torch.stack(found) + noise(seeds)

    return sample


def textbook(inputs, network, seeds):
    """A sampler whose lesions all look exactly like their class."""
    image = torch.full((len(inputs), 1, SIZE, SIZE), BACKGROUND)
    for birads, level in LEVELS.items():
        image[class_map(inputs)[:, None] == birads] = level
    return image + noise(seeds)


def blank(inputs, network, seeds):
    return torch.full((len(inputs), 1, SIZE, SIZE), BACKGROUND)


def preprocessing():
    size = (SIZE, SIZE)
    return Compose(
        [
            LoadMipd("image", size),
            LoadLesionInstancesd("label", size),
            LoadLesionsd("label", size, required=False),
            LesionChannelsd("label"),
        ]
    )


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Six annotated cases, two of them healthy, and six unlabelled ones."""
    folder, found = tmp_path_factory.mktemp("mips"), []
    rng = np.random.default_rng(0)
    for number, lesions in enumerate([*CASES, *[[]] * len(CASES)]):
        image = BACKGROUND + rng.normal(0, 0.02, (SIZE, SIZE, 1)).astype(np.float32)
        instances = np.zeros((SIZE, SIZE, 1), np.uint8)
        for k, (_, looks_like) in enumerate(lesions, 1):
            x, y = 8 + 4 * number, 30 * k - 20
            instances[x : x + 8, y : y + 7] = k
            image[x : x + 8, y : y + 7] = LEVELS[looks_like]
        item = {"case": f"case{number}", "image": str(folder / f"case{number}_mip.nii.gz")}
        save_nifti(item["image"], image, np.eye(4))
        if number < len(CASES):
            item["label"] = str(folder / f"case{number}_mask.nii.gz")
            save_nifti(item["label"], instances, np.eye(4))
            classes = {str(k): birads for k, (birads, _) in enumerate(lesions, 1)}
            write_json(folder / f"case{number}_mask.json", {"instances": classes})
        found.append(item)
    return found


def evaluation(cases, folder, sampler, **options):
    arguments = {
        "items": cases[: len(CASES)],
        "floor_items": cases[len(CASES) :],
        "training_items": cases[len(CASES) :],
        "preprocessing": preprocessing(),
        "network": StubNetwork(),
        "reader": StubReader(),
        "sampler": sampler,
        "extractors": {"random_convolutions": RandomConvolutionFeatures(spatial_dims=2)},
        "output_dir": str(folder),
        "num_samples": 2,
        "batch_size": 3,
    }
    return MipEvaluation(**{**arguments, **options})


@pytest.fixture(scope="module")
def echoed(items, tmp_path_factory):
    folder = tmp_path_factory.mktemp("echo")
    real = [preprocessing()(dict(item)) for item in items[: len(CASES)]]
    evaluation(items, folder, echo(real)).run()
    return folder


def tables_of(folder: Path):
    return {name: table["rows"] for name, table in json.loads((folder / "report.json").read_text())["tables"].items()}


def run(items, folder, sampler):
    evaluation(items, folder, sampler).run()
    return tables_of(folder)


def test_real_images_as_samples_score_what_real_images_score(echoed):
    tables = tables_of(echoed)
    everything = tables["Adherence to the mask"][-1]
    assert everything["class"] == "all"
    assert everything["lesions"] == 5
    assert everything["found, samples"]["mean"] == everything["found, real"]["mean"] == 1.0
    assert everything["found, samples"]["low"] < 1.0
    assert everything["Dice, samples"]["mean"] == pytest.approx(1.0)
    agreements = {row["images"]: row for row in tables["Class agreement"]}
    assert agreements["real"]["agreement of found"]["mean"] == pytest.approx(4 / 5)
    assert agreements["samples"]["agreement of found"]["mean"] == pytest.approx(4 / 5)
    assert agreements["samples"]["lesions"] == 10
    found = tables["Class agreement of samples against real images"][0]
    assert found["samples / real"]["mean"] == pytest.approx(1.0)
    assert found["at least 0.8"] == "yes"
    assert "no difference" in found["meaning"]
    assert tables["Confusion of classes, samples"][0]["read 3"] == 2
    pairs = {row["pair"]: row["MS-SSIM"]["mean"] for row in tables["MS-SSIM"]}
    assert pairs["real and its reconstruction"] == pytest.approx(1.0)
    assert pairs["real images of different cases"] < pairs["real and samples of its mask (the paper's)"] < 1
    healthy = tables["Lesions that nobody asked for"][1]
    assert healthy["n"] == 2
    assert healthy["free of lesions, samples"]["mean"] == healthy["free of lesions, real"]["mean"] == 1.0


def test_blank_samples_are_found_nowhere(items, tmp_path):
    tables = run(items, tmp_path, blank)
    everything = tables["Adherence to the mask"][-1]
    assert everything["found, samples"]["mean"] == 0.0
    assert everything["found, samples"]["high"] > 0.0
    assert everything["found, real"]["mean"] == 1.0
    assert [row["missed"] for row in tables["Confusion of classes, samples"]] == [2, 2, 2, 2, 2]
    found, whole = tables["Class agreement of samples against real images"]
    assert found["samples / real"]["mean"] is None
    assert found["meaning"] == "no lesion to compare"
    assert (whole["samples / real"]["mean"], whole["at least 0.8"]) == (0.0, "no")


def test_textbook_lesions_are_called_so(items, tmp_path):
    tables = run(items, tmp_path, textbook)
    assert tables["Class agreement"][0]["agreement of found"]["mean"] == 1.0
    row = tables["Class agreement of samples against real images"][0]
    assert row["samples - real"]["mean"] == pytest.approx(1 / 5)
    assert row["samples / real"]["mean"] == pytest.approx(1 / 0.8)
    # One lesion of five is no proof: cases drawn again without it show no difference.
    assert "no difference" in row["meaning"]
    wrong = [{**item, "case": f"{item['case']}_{k}"} for k in range(6) for item in items[:2]]
    evaluation(wrong, tmp_path / "many", textbook, items=wrong, floor_items=[]).run()
    row = tables_of(tmp_path / "many")["Class agreement of samples against real images"][0]
    assert "textbook effect" in row["meaning"]


def test_distribution_names_extractor_counts_and_floor(echoed):
    report = json.loads((echoed / "report.json").read_text())
    first, every = report["tables"]["Distribution"]["rows"]
    assert (first["samples"], every["samples"]) == ("the first of each mask", "all of each mask")
    assert (first["n real"], first["n synthetic"]) == (6, 6)
    assert first["KID"]["low"] <= first["KID"]["mean"] <= first["KID"]["high"]
    # The other cases have no lesions.
    assert abs(first["KID"]["mean"]) < abs(first["KID"]["floor"]["mean"])
    assert every["KID"]["mean"] != first["KID"]["mean"]
    assert any("6 vectors are not more than 32 features" in warning for warning in report["warnings"])
    assert any("not pretrained" in warning for warning in report["warnings"])
    assert "sha256" in report["facts"]["extractor random_convolutions"]
    # Here the further real images were trained on: what they score as copies of themselves is no floor.
    assert "floor" not in first["MiFD"] and "floor" in first["FD"]


def test_copies_of_training_images_are_found(items, tmp_path):
    own = [{**item, "case": f"training_{item['case']}"} for item in items[: len(CASES)]]
    options = {"training_items": own, "items": items[: len(CASES)]}
    real = [preprocessing()(dict(item)) for item in items[: len(CASES)]]
    evaluation(items, tmp_path, echo(real), **options).run()
    report = json.loads((tmp_path / "report.json").read_text())
    pairs = list(csv.DictReader((tmp_path / "copies.csv").open()))
    distances = {row["name"]: float(row["pixel_distance"]) for row in pairs}
    assert all(distances[f"case{k}"] < 0.1 for k, lesions in enumerate(CASES) if lesions)
    assert "case0" not in (tmp_path / "report.md").read_text()
    assert report["facts"]["memorisation"].startswith("not defined")  # every honest image lies in the training set
    assert (tmp_path / "closest_pairs.png").is_file()


def test_files_and_figures_are_there_and_say_synthetic(echoed):
    lesions = list(csv.DictReader((echoed / "lesions.csv").open()))
    assert len(lesions) == 5 * (2 + 1 + 1)
    sample = next(row for row in lesions if row["case"] == "case1" and row["images"] == "samples")
    assert (sample["sample"], sample["instance"], sample["birads"], sample["read"]) == ("0", "1", "2", "3")
    cases = list(csv.DictReader((echoed / "cases.csv").open()))
    assert [row["birads"] for row in cases] == ["4", "6", "1", "5", "3", "1"]
    for name in ("confusion.png", "samples.png"):
        with Image.open(echoed / name) as picture:
            assert "SYNTHETIC" in picture.info["Description"]
            assert min(picture.size) > 200
    markdown = (echoed / "report.md").read_text()
    assert "| class | lesions | found, samples |" in markdown
    assert "nan" not in (echoed / "report.json").read_text().lower()


def test_second_run_reuses_the_records_and_another_dilation_does_not(items, tmp_path):
    calls = []

    def counting(inputs, network, seeds):
        calls.append(len(inputs))
        return blank(inputs, network, seeds)

    few = items[:2]
    evaluation(items, tmp_path, counting, items=few).run()
    assert sum(calls) == 4
    before = (tmp_path / "report.json").read_bytes()
    evaluation(items, tmp_path, counting, items=few).run()
    assert sum(calls) == 4
    assert (tmp_path / "report.json").read_bytes() == before
    evaluation(items, tmp_path, counting, items=few, dilation_px=2).run()
    assert sum(calls) == 8


def test_mistakes_are_refused(items, tmp_path):
    with pytest.raises(InputError, match="no case"):
        evaluation(items, tmp_path, blank, items=[])
    with pytest.raises(InputError, match="at least 2 samples"):
        evaluation(items, tmp_path, blank, num_samples=1)
    with pytest.raises(InputError, match="case6 has no lesion mask"):
        evaluation(items, tmp_path, blank, items=items)
    with pytest.raises(InputError, match="dilation_px=-1"):
        evaluation(items, tmp_path, blank, dilation_px=-1)


class StubSampler:
    """Textbook samples, the brighter all over the fewer the steps of a scheduler named `poor`."""

    scheduler, num_steps, progress = "good", 20, True

    def __call__(self, inputs, network, seeds):
        images = textbook(inputs, network, seeds)
        return images + 0.3 / self.num_steps if self.scheduler == "poor" else images


def test_steps_are_placed_in_the_references_spread(items, tmp_path):
    settings = [("slow", 200), ("fast", 20), ("fast", 2)]
    base = evaluation(items, tmp_path, StubSampler())
    schedulers = {"slow": "good", "fast": "good"}
    tables = MipSteps(base, schedulers, settings, num_seeds=3).run() and tables_of(tmp_path)
    rows = tables["KID, random_convolutions"]
    assert [row["against the reference"] for row in rows] == ["the reference", "within", "within"]
    assert rows[0]["SD"] > 0
    assert [row["found"] for row in tables["Lesions"]] == [1.0, 1.0, 1.0]
    assert tables["FD, random_convolutions"][0]["FD"] == "n at most 32 features"

    other = evaluation(items, tmp_path / "poor", StubSampler())
    MipSteps(other, {"slow": "good", "fast": "poor"}, [("slow", 200), ("fast", 1)], num_seeds=3).run()
    assert tables_of(tmp_path / "poor")["KID, random_convolutions"][1]["against the reference"] == "above"


def test_steps_refuse_what_has_no_spread_or_sampler(items, tmp_path):
    base = evaluation(items, tmp_path, StubSampler())
    with pytest.raises(InputError, match="at least 2 seeds"):
        MipSteps(base, {"dpm": "good"}, [("dpm", 5)], num_seeds=1)
    with pytest.raises(InputError, match="step_settings"):
        MipSteps(base, {"dpm": "good"}, [("euler", 5)])


def test_a_distance_is_placed_in_the_range_of_the_references():
    placed = {0.9: "below", 1.0: "within", 1.5: "within", 2.0: "within", 2.1: "above"}
    assert {value: place(value, (2.0, 1.0, 1.5)) for value in placed} == placed


def test_similarity_is_torchmetrics_with_its_defaults():
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(1, 256, 256, generator=generator) * 2 - 1
    second = (first + 0.3 * torch.randn(1, 256, 256, generator=generator)).clamp(-1, 1)
    pair = unit_scale(second[None]), unit_scale(first[None])
    theirs = multiscale_structural_similarity_index_measure(*pair, data_range=1.0)
    assert similarity(first, second) == pytest.approx(float(theirs), abs=1e-3)
