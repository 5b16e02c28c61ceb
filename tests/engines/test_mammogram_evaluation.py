import csv
import json

import numpy as np
import pytest
import torch

from common.cohorts.mammogram_prompts import parse
from common.cohorts.prompt_attributes import words
from common.engines.mammogram_evaluation import MammogramEvaluation
from common.engines.mammogram_guidance import MammogramGuidance
from common.engines.mammogram_judge import MammogramJudge
from common.errors import InputError
from common.io.mammogram_pictures import save_mammogram
from common.io.volumes import save_nifti
from common.metrics.features import RandomConvolutionFeatures
from common.networks.mammogram_reader import MammogramReader
from common.networks.prompt_tokenizer import make_tokenizer
from common.transforms.breast_area import area_ratio
from common.transforms.lesion_transplant import move_lesion

SIZE = 64
TISSUE = {"A": 0.25, "B": 0.4, "C": 0.55, "D": 0.7}
WIDTHS = {"small": 32, "medium": 46, "big": 60}
LESION = 0.25  # how much brighter a real lesion is
CLASSES = {"view": ["CC", "MLO"], "vendor": ["hologic", "siemens"], "density": [*"ABCD"]}
TOKENIZER = make_tokenizer(words(), 32)


def breast_of(area):
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    return ((x / WIDTHS[area]) ** 2 + ((y - SIZE / 2) / 31) ** 2) < 1


def mammogram(asked, rng=None, lesion=None):
    """A half ellipse at the left edge, as bright as its density."""
    image = np.where(breast_of(asked["area"]), TISSUE[asked["density"]], 0.0)
    if lesion is not None:
        image[lesion] += LESION
    noise = 0 if rng is None else rng.normal(0, 0.004, image.shape)
    return np.clip(image + noise, 0, 1).astype(np.float32)


class Reader(torch.nn.Module):
    """Knows the density by brightness; takes every image for a CC view of a Hologic device."""

    def forward(self, image):
        inside = image[0, 0, 20:44, 2:14].mean() / 2 + 0.5
        levels = torch.tensor(list(TISSUE.values()))
        first = torch.tensor([[1.0, 0.0]])
        return {"view": first, "vendor": first, "density": -((inside - levels) ** 2)[None]}


class Network(torch.nn.Module):
    image_size = SIZE


class Sampler:
    """Draws what is asked for; into a mask, a lesion where the prompt speaks of one, tissue else."""

    def __init__(self, keeps_word=True, always_big=False):
        self.guidance_scale, self.keeps_word, self.always_big, self.calls = 1.0, keeps_word, always_big, 0

    def __call__(self, inputs, network, seeds, token_ids, negative_ids):
        Sampler.total += len(inputs)
        found = []
        for (image, mask), seed, ids in zip(inputs, seeds, token_ids, strict=True):
            prompt = parse(TOKENIZER.decode(ids, skip_special_tokens=True))
            rng = np.random.default_rng(int(seed) % 2**32)
            if bool((mask > 0).all()):
                asked = {"area": "big" if self.always_big else prompt.area, "density": prompt.density}
                drawn = torch.from_numpy(mammogram(asked, rng))
            else:
                tissue = float(image[(mask == 0) & (image > -0.9)].median()) / 2 + 0.5
                lesion = prompt.lesion != "none" or not self.keeps_word
                drawn = torch.where(mask > 0, tissue + LESION * lesion, image / 2 + 0.5)
            found.append(drawn.float()[None] * 2 - 1)
        return torch.stack(found)


def judge_of(sampler):
    torch.manual_seed(0)
    cad = MammogramReader({"malignant": 2}, channels=[8, 8], downsamplings=2, groups=4)
    extractors = {"random_convolutions": RandomConvolutionFeatures(spatial_dims=2)}
    return MammogramJudge(Network(), sampler, TOKENIZER, Reader(), cad, CLASSES, extractors, soft_edge=0.0)


def square(row, column, side=8):
    mask = np.zeros((SIZE, SIZE), bool)
    mask[row : row + side, column : column + side] = True
    return mask


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Held-out images, three with a lesion, and training images that lack one combination (siemens, D, small)."""
    folder, rng, found = tmp_path_factory.mktemp("images"), np.random.default_rng(0), {"test": [], "training": []}
    every = [(v, d, a) for v in CLASSES["vendor"] for d in TISSUE for a in WIDTHS]
    for section, repeats in (("test", 1), ("training", 2)):
        for number, (vendor, density, area) in enumerate(every * repeats):
            if (vendor, density, area) == ("siemens", "D", "small"):
                continue
            name = f"{section}{number}"
            lesion = square(26, 8) if section == "test" and number in (4, 6, 8) else None
            image = mammogram({"area": area, "density": density}, rng, lesion)
            item = {"case": name, "patient": f"p{name}", "view": "CC" if number % 2 else "MLO", "vendor": vendor}
            item |= {"density": density, "area_ratio": area_ratio(breast_of(area)), "lesions": []}
            item |= {"image": str(folder / f"{name}.nii.gz"), "breast": str(folder / f"{name}_breast.nii.gz")}
            save_mammogram(item["image"], image, None)
            save_nifti(item["breast"], breast_of(area).T[..., None].astype(np.uint8), np.eye(4))
            if lesion is not None:
                item["label"] = str(folder / f"{name}_mask.nii.gz")
                save_nifti(item["label"], lesion.T[..., None].astype(np.uint8), np.eye(4))
                kind = "calcification" if number == 8 else "mass"
                item["lesions"] = [{"number": 1, "type": kind, "pathology": "malignant"}]
            found[section].append(item)
    return found


def evaluation(items, folder, sampler, **options):
    arguments = {"num_prompts": 10, "num_paintings": 8, "num_heat_maps": 1, "lesion_types": ["mass"]}
    sections = (items["test"], items["training"], items["training"], [])
    Sampler.total = 0
    return MammogramEvaluation(judge_of(sampler), *sections, output_dir=str(folder), **{**arguments, **options})


def tables_of(folder):
    return {name: table["rows"] for name, table in json.loads((folder / "report.json").read_text())["tables"].items()}


@pytest.fixture(scope="module")
def perfect(items, tmp_path_factory):
    folder = tmp_path_factory.mktemp("perfect")
    evaluation(items, folder, Sampler()).run()
    return folder


def shares(tables, group, attribute):
    return [row for row in tables["Attribute agreement"] if (row["images"], row["attribute"]) == (group, attribute)]


def test_a_model_that_draws_what_is_asked_agrees_wherever_instruments_do(perfect):
    tables = tables_of(perfect)
    for group in ("SYNTHETIC, seen combinations", "SYNTHETIC, unseen combinations"):
        for attribute in ("area", "density"):
            for row in shares(tables, group, attribute):
                assert row["share"]["mean"] == 1.0
                assert row["reached"] == "yes"
    seen = shares(tables, "SYNTHETIC, seen combinations", "area")[0]
    assert (seen["n"], seen["share"]["n"]) == (20, 10)  # two images a sentence; sentences are what varies
    # The reader calls everything a CC view: so many are right, in real images too.
    real = shares(tables, "real images", "view")[0]
    assert real["share"]["mean"] == pytest.approx(11 / 23)
    assert real["reached"] == ""
    assert shares(tables, "SYNTHETIC, unseen combinations", "view")[0]["share"]["mean"] == 0.5
    assert shares(tables, "SYNTHETIC, unseen combinations", "view")[0]["reached"] == "no"


def test_combinations_that_training_lacks_are_found_and_asked_for_in_every_view(perfect):
    rows = tables_of(perfect)["Combinations never seen"]
    assert [row["combination"] for row in rows] == ["siemens, density D, small area"]
    assert rows[0]["n"] == 20
    assert rows[0]["area"] == 1.0


def test_painted_lesions_are_compared_with_real_ones_and_with_their_absence(perfect, items, tmp_path):
    rows = {(r["network sees"], r["lesions"]): r for r in tables_of(perfect)["Contrast of painted lesions"]}
    assert {kind for _, kind in rows} == {"all", "mass", "calcification"}
    for row in rows.values():
        assert row["real"]["mean"] == pytest.approx(LESION, abs=0.02)
        assert row["with / real"]["mean"] == pytest.approx(1, abs=0.15)
        assert row["without / with"]["mean"] == pytest.approx(0, abs=0.15)
        assert (row["at least 0.7"], row["below 0.5"]) == ("yes", "yes")
    assert rows["whole view", "all"]["n"] == 8
    evaluation(items, tmp_path, Sampler(keeps_word=False)).run()
    for row in tables_of(tmp_path)["Contrast of painted lesions"]:
        assert row["without / with"]["mean"] == pytest.approx(1, abs=0.1)
        assert (row["at least 0.7"], row["below 0.5"]) == ("yes", "no")


def test_a_model_that_ignores_the_area_is_found_out(items, tmp_path):
    evaluation(items, tmp_path, Sampler(always_big=True), num_paintings=1).run()
    tables = tables_of(tmp_path)
    row = shares(tables, "SYNTHETIC, unseen combinations", "area")[0]
    assert (row["share"]["mean"], row["reached"]) == (0.0, "no")
    assert shares(tables, "real images", "area")[0]["share"]["mean"] == 1.0


def test_classifier_and_heat_maps_are_reported_for_the_types_that_it_knows(perfect):
    tables = tables_of(perfect)
    images = [row["images"] for row in tables["Classifier of malignancy"]]
    assert images[:3] == ["real, malignant calcification", "real, malignant mass", "real, healthy"]
    assert {f"painted, malignant mass, {seen}" for seen in ("whole view", "close-up")} < set(images)
    auc = tables["Classifier of malignancy"][1]["AUC"]
    assert 0 <= auc["low"] <= auc["mean"] <= auc["high"] <= 1
    looks = [(row["network sees"], row["method"]) for row in tables["Where the classifier looks"]]
    methods = ("grad_cam", "saliency", "occlusion")
    assert looks == [(seen, method) for seen in ("whole view", "close-up") for method in methods]
    assert {row["n"] for row in tables["Where the classifier looks"]} == {1}


def test_files_and_single_values(perfect):
    assert {"report.md", "samples.png", "cad_figure.png"} <= {path.name for path in perfect.iterdir()}
    cases = list(csv.DictReader((perfect / "cases.csv").open()))
    assert len(cases) == 23 + 20 + 20
    assert {row["asked_area"] == row["measured_area"] for row in cases} == {True}
    lesions = list(csv.DictReader((perfect / "lesions.csv").open()))
    assert len(lesions) == 8
    assert sum(bool(row["grad_cam_hit_with"]) for row in lesions) == 1
    assert "NaN" not in (perfect / "report.json").read_text()


def test_a_second_run_takes_the_records_and_gives_the_same_report(perfect, items):
    before = {name: (perfect / name).read_bytes() for name in ("report.json", "cases.csv", "cad_figure.png")}
    evaluation(items, perfect, Sampler()).run()
    assert Sampler.total == 6 + 4  # for the pictures alone
    assert {name: (perfect / name).read_bytes() for name in before} == before


def test_without_a_density_of_each_class_density_is_read_only(items, tmp_path):
    few = {**items, "training": [item for item in items["training"] if item["density"] != "B"]}
    evaluation(
        few, tmp_path, Sampler(), num_paintings=1, num_prompts=4, unseen=[["siemens", "very high", "small"]]
    ).run()
    tables = tables_of(tmp_path)
    assert not shares(tables, "real images", "density")
    assert shares(tables, "real images", "density, by the reader")[0]["share"]["mean"] == 1.0
    assert (
        "no scale could be fitted"
        in json.loads((tmp_path / "report.json").read_text())["tables"]["Attribute agreement"]["note"]
    )


@pytest.mark.parametrize(
    ("options", "words_of_error"),
    [
        ({"num_seeds": 1}, "at least 2 images a sentence"),
        ({"unseen": ["siemens"]}, "give lists of three"),
        ({"unseen": [["siemens", "hgh", "small"]]}, "did you mean high"),
    ],
)
def test_mistakes_are_said(items, tmp_path, options, words_of_error):
    with pytest.raises(InputError, match=words_of_error):
        evaluation(items, tmp_path, Sampler(), **options)


def test_guidance_is_compared_at_the_same_noise(items, tmp_path):
    sentence = "a siemens mammogram in MLO view with high density and small area"
    run = evaluation(items, tmp_path, Sampler(), num_prompts=5)
    MammogramGuidance(run, [1.0, 4.0], sentence, num_pairs=3).run()
    rows = tables_of(tmp_path)["Guidance"]
    assert [row["guidance"] for row in rows] == [1.0, 4.0, "other real images (floor)"]
    # The stub draws the same whatever the guidance.
    assert rows[0]["MS-SSIM"] == rows[1]["MS-SSIM"]
    assert rows[0]["MS-SSIM"]["n"] == 3
    assert rows[0]["KID, random_convolutions"] == rows[1]["KID, random_convolutions"]
    assert rows[0]["area"]["mean"] == 1.0
    table = list(csv.DictReader((tmp_path / "guidance.csv").open()))
    assert float(table[0]["MS-SSIM mean"]) == pytest.approx(rows[0]["MS-SSIM"]["mean"])
    assert (tmp_path / "guidance.png").is_file()


@pytest.mark.parametrize("values", [[], [2, 1], ["a"], 3])
def test_guidance_values_are_checked(items, tmp_path, values):
    with pytest.raises(InputError, match="rising numbers"):
        MammogramGuidance(evaluation(items, tmp_path, Sampler()), values, "a mammogram")


def test_a_moved_lesion_keeps_its_shape_and_lies_in_the_breast_at_the_like_place():
    big, small = breast_of("big"), breast_of("small")
    lesion = square(20, 30, 6)
    lesion[20, 30] = False
    moved = move_lesion(lesion, big, small)
    assert moved.sum() == lesion.sum() == 35
    assert not (moved & ~small).any()
    rows, columns = np.nonzero(moved)
    assert moved[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].shape == (6, 6)
    assert (rows.min(), columns.min()) == (20, 15)  # half as far from the chest wall, less half the lesion's width
    assert move_lesion(lesion, big, big)[lesion].all()


def test_a_lesion_without_room_is_not_moved_and_an_empty_one_is_refused():
    assert move_lesion(square(10, 10, 30), breast_of("big"), square(0, 0, 20)) is None
    with pytest.raises(InputError, match="empty"):
        move_lesion(np.zeros((SIZE, SIZE), bool), breast_of("big"), breast_of("big"))
