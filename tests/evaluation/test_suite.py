"""The whole evaluation of small sets: what it finds, that it repeats itself, that it goes on where it was killed."""

import json

import jsonschema
import numpy as np
import pytest

from common.evaluation import feature_files, survey
from common.evaluation.extractor_names import parse_extractors
from common.evaluation.image_files import find_images
from common.evaluation.suite import Suite
from common.io.files import sha256_of_file
from common.metrics.distribution_scores import SCORES
from common.metrics.features import RandomConvolutionFeatures
from tests.conftest import ROOT

from .image_sets import save, texture, write_set

SCHEMA = json.loads((ROOT / "common" / "reports" / "report_schema.json").read_text())


def evaluate(folder, real, synthetic, extractors="random", **options):
    """The report as JSON; everything lies in `folder`."""
    Suite(str(real), str(synthetic), str(folder), extractors=parse_extractors(extractors), **options).run()
    content = json.loads((folder / "report.json").read_text(), parse_constant=pytest.fail)
    jsonschema.Draft202012Validator(SCHEMA).validate(content)
    return content


def score(content, name, place=0):
    """One distribution score; the row of all images is 0, that of the floor's numbers 1."""
    return content["tables"]["Distribution"]["rows"][place][name]


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    write_set(folder / "real", 30, 0)
    write_set(folder / "same", 24, 100, "other{:03d}.png")
    write_set(folder / "rough", 24, 200, "rough{:03d}.png", smooth=1.2, level=0.6)
    return folder


@pytest.fixture(scope="module")
def same(sets):
    return evaluate(sets / "out_same", sets / "real", sets / "same")


@pytest.fixture(scope="module")
def rough(sets):
    return evaluate(sets / "out_rough", sets / "real", sets / "rough")


class TestWholeRun:
    def test_one_distribution_scores_as_the_floor(self, same):
        rows = same["tables"]["Distribution"]["rows"]
        assert [(row["n real"], row["n synthetic"]) for row in rows] == [(30, 24), (15, 15)]
        for name in ("FD", "KID", "MMD"):
            found = score(same, name, 1)
            assert found["floor"]["low"] <= found["mean"] <= found["floor"]["high"], name
        assert score(same, "KID")["low"] < 0 < score(same, "KID")["high"]

    def test_another_distribution_scores_clearly_worse(self, rough):
        for name in ("FD", "KID", "MMD"):
            found = score(rough, name, 1)
            assert found["low"] > found["floor"]["high"], name
        assert score(rough, "precision")["mean"] < 0.3
        radiomics = rough["tables"]["Radiomics"]["rows"][1]["distance"]
        assert radiomics["low"] > radiomics["floor"]["high"]

    def test_tables_facts_and_warnings(self, same, sets):
        assert list(same["tables"]) == ["Distribution", "Radiomics", "Diversity"]
        assert same["facts"]["synthetic"] is True
        assert same["facts"]["real images"].startswith("30 of 40x36, fingerprint ")
        assert same["facts"]["resampled to"] == "nothing was resampled"
        assert "not pretrained" in same["facts"]["extractor random"]
        assert any("random convolutions are not pretrained" in text for text in same["warnings"])
        assert any("24 vectors are not more than 32 features" in text for text in same["warnings"])
        names = [figure["file"] for figure in same["figures"]]
        assert all(sha256_of_file(sets / "out_same" / f["file"]) == f["sha256"] for f in same["figures"])
        assert names == ["samples.png"]

    def test_diversity_of_images_without_conditions(self, same):
        rows = {row["pairs"]: row for row in same["tables"]["Diversity"]["rows"]}
        assert rows["synthetic, one condition"]["MS-SSIM"] == "not defined: no such pair"
        real, synthetic = rows["real, different cases"], rows["synthetic, different conditions"]
        assert real["n pairs"] == synthetic["n pairs"] == 200
        assert real["MS-SSIM"]["mean"] == pytest.approx(synthetic["MS-SSIM"]["mean"], abs=0.05)

    def test_the_same_command_gives_the_same_bytes(self, same, sets, tmp_path):
        evaluate(tmp_path / "again", sets / "real", sets / "same")
        for name in ("report.json", "report.md", "report.html"):
            assert (tmp_path / "again" / name).read_bytes() == (sets / "out_same" / name).read_bytes(), name
        other = evaluate(tmp_path / "seed", sets / "real", sets / "same", seed=1)
        assert score(other, "KID")["mean"] == score(same, "KID")["mean"]
        assert score(other, "KID")["high"] != score(same, "KID")["high"]


class TestResuming:
    @pytest.fixture
    def small_chunks(self, monkeypatch):
        monkeypatch.setattr(feature_files, "CHUNK", 8)

    def test_a_killed_run_goes_on_where_it_stopped(self, sets, same, tmp_path, monkeypatch, small_chunks):
        calls = []
        plain = RandomConvolutionFeatures.__call__

        def killed_at_the_third(self, images):
            calls.append(len(images))
            if len(calls) == 3:
                raise KeyboardInterrupt
            return plain(self, images)

        monkeypatch.setattr(RandomConvolutionFeatures, "__call__", killed_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            evaluate(tmp_path, sets / "real", sets / "same")
        kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "records").rglob("*.npy")}
        assert len(kept) == 2
        assert not (tmp_path / "report.json").exists()
        calls.clear()
        monkeypatch.setattr(survey, "_look", lambda file: pytest.fail(f"{file.name} was read again"))
        monkeypatch.setattr(RandomConvolutionFeatures, "__call__", lambda s, x: calls.append(len(x)) or plain(s, x))
        assert evaluate(tmp_path, sets / "real", sets / "same") == same
        assert calls == [8, 6, 8, 8, 8]
        assert {path: path.stat().st_mtime_ns for path in kept} == kept

    def test_what_was_changed_is_read_again(self, tmp_path, monkeypatch):
        files = find_images(write_set(tmp_path / "set", 5, 0))
        before = survey.survey("real", files, tmp_path / "records")
        save(tmp_path / "set" / "image002.png", texture(77))
        looked = []
        look = survey._look
        monkeypatch.setattr(survey, "_look", lambda file: looked.append(file.name) or look(file))
        after = survey.survey("real", files, tmp_path / "records")
        assert looked == ["image002"]
        assert after.sha256 != before.sha256
        assert [a == b for a, b in zip(after.looks, before.looks, strict=True)] == [True, True, False, True, True]


class TestVolumes:
    @pytest.fixture(scope="class")
    def volumes(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("volumes")
        for name, seed in (("real", 0), ("synthetic", 50)):
            write_set(folder / name, 8, seed, f"{name}_{{:03d}}.nii.gz", shape=(20, 18, 16))
        return folder

    def test_slices_across_three_axes_and_features_of_whole_volumes(self, volumes, tmp_path):
        found = evaluate(tmp_path, volumes / "real", volumes / "synthetic", ["random", "random@3d"], slices=3)
        rows = found["tables"]["Distribution"]["rows"]
        places = list(dict.fromkeys((row["extractor"], row["plane"]) for row in rows))
        assert places == [("random", p) for p in ("sagittal", "coronal", "axial")] + [("random@3d", "whole")]
        assert "random convolutions 3D" in found["facts"]["extractor random@3d"]
        assert [row["n real"] for row in rows] == [8, 4] * 4
        assert score(found, "FD", 0)["mean"] != score(found, "FD", 2)["mean"]
        assert found["facts"]["real images"].startswith("8 of 20x18x16")

    def test_slices_are_taken_from_what_shows_something(self, volumes):
        taken = []

        def extractor(batch):
            taken.append(batch)
            return batch.flatten(1)[:, :2]

        extractor.name = "first pixels"
        image = np.zeros((10, 4, 4), np.float32)
        image[3:8] = np.arange(3, 8)[:, None, None] / 10
        feature_files._slices(feature_files.torch.from_numpy(image), 0, 3, extractor)
        assert taken[0][:, 0, 0, 0].tolist() == pytest.approx([0.4, 0.5, 0.6])


class TestPairsAndMasks:
    @pytest.fixture(scope="class")
    def paired(self, tmp_path_factory):
        """Ten cases; two samples of each, near to the real image outside of its lesion, and two further real images."""
        folder = tmp_path_factory.mktemp("paired")
        for case in range(12):
            real = texture(case)
            mask = np.zeros(real.shape, bool)
            mask[10:20, 8 + case : 20 + case] = True
            save(folder / "real" / f"case_{case:02d}_t1c.png", np.where(mask, 0.9, 0.8 * real))
            if case < 10:
                save(folder / "masks" / f"case_{case:02d}_mask.png", mask.astype(float))
                for sample in range(2):
                    noise = np.random.default_rng([case, sample]).normal(0, 0.02, real.shape)
                    image = np.where(mask, 0.7, 0.8 * real) + noise
                    save(folder / "synthetic" / f"case_{case:02d}" / f"sample{sample}.png", np.clip(image, 0, 1))
        return folder

    @pytest.fixture(scope="class")
    def found(self, paired):
        return evaluate(
            paired / "out",
            paired / "real",
            paired / "synthetic",
            masks=str(paired / "masks"),
            case_pattern=r"(case_\d+)",
            scale=[0, 255],
        )

    def test_pairs_by_region(self, found, paired):
        rows = {row["region"]: row for row in found["tables"]["Pairs"]["rows"]}
        assert {region: row["n cases"] for region, row in rows.items()} == {"image": 10, "body": 10, "lesion": 10}
        assert rows["lesion"]["MAE"]["mean"] == pytest.approx(0.2, abs=0.01)
        assert rows["image"]["MAE"]["mean"] < 0.05
        assert 0 < rows["lesion"]["SSIM"]["mean"] < rows["image"]["SSIM"]["mean"] < 1
        assert "2 real cases have no synthetic image" in found["tables"]["Pairs"]["note"]
        lines = (paired / "out" / "cases.csv").read_text().splitlines()
        assert len(lines) == 21
        assert "case_03,case_03/sample1" in "\n".join(lines)

    def test_radiomics_are_those_of_the_masks(self, found):
        row = found["tables"]["Radiomics"]["rows"][0]
        assert (row["region"], row["n real"], row["n synthetic"]) == ("masks", 10, 20)
        # Lesions alone: every real one is of one grey value, so that no texture is left to compare.
        assert "glcm" in found["tables"]["Radiomics"]["note"]

    def test_samples_of_one_condition_are_alike(self, found):
        rows = {row["pairs"]: row for row in found["tables"]["Diversity"]["rows"]}
        within, between = rows["synthetic, one condition"], rows["synthetic, different conditions"]
        assert within["n pairs"] == 10
        assert within["MS-SSIM"]["mean"] > 0.9 > between["MS-SSIM"]["mean"] + 0.2
        assert within["distance of features"]["mean"] < between["distance of features"]["mean"]

    def test_pairs_can_be_left_out(self, paired, tmp_path):
        found = evaluate(
            tmp_path, paired / "real", paired / "synthetic", "random", case_pattern=r"(case_\d+)", paired=False
        )
        assert "Pairs" not in found["tables"]


class TestUndefined:
    def test_one_image_in_a_set(self, sets, tmp_path):
        for title, sizes in (("real", (1, 9)), ("synthetic", (9, 1))):
            folder = tmp_path / title
            write_set(folder / "real", sizes[0], 0)
            write_set(folder / "synthetic", sizes[1], 50, "other{:03d}.png")
            found = evaluate(folder / "out", folder / "real", folder / "synthetic")
            row = found["tables"]["Distribution"]["rows"][0]
            assert {row[name] for name in SCORES} == {"not defined: needs at least 2 images in each set"}
            assert found["tables"]["Radiomics"]["rows"][0]["distance"] == "not defined"
            diversity = {row["pairs"]: row["MS-SSIM"] for row in found["tables"]["Diversity"]["rows"]}
            alone = "real, different cases" if title == "real" else "synthetic, different conditions"
            assert diversity.pop(alone) == "not defined: no such pair"
            assert any(isinstance(value, dict) for value in diversity.values())

    def test_constant_synthetic_images(self, sets, tmp_path):
        for number in range(8):
            save(tmp_path / "flat" / f"{number}.png", np.full((40, 36), 0.5))
        found = evaluate(tmp_path / "out", sets / "real", tmp_path / "flat")
        assert any(text.startswith("8 synthetic images are constant: 0, 1, 2, ...") for text in found["warnings"])
        assert any("7 synthetic images are copies of others in the set" in text for text in found["warnings"])
        assert score(found, "FD", 1)["low"] > score(found, "FD", 1)["floor"]["high"]

    def test_constant_real_images_on_their_own_scale(self, sets, tmp_path):
        for number in range(8):
            save(tmp_path / "flat" / f"{number}.png", np.full((40, 36), number / 10))
        found = evaluate(tmp_path / "out", tmp_path / "flat", sets / "same", scale="image")
        assert any("8 real images are constant" in text for text in found["warnings"])
        assert found["tables"]["Diversity"]["rows"][2]["MS-SSIM"]["mean"] == 1

    def test_images_with_nan_are_left_out(self, tmp_path):
        write_set(tmp_path / "real", 7, 0, "{:03d}.nii", shape=(20, 18, 1))
        write_set(tmp_path / "synthetic", 7, 50, "s{:03d}.nii", shape=(20, 18, 1))
        spoilt = texture(99, (20, 18, 1))
        spoilt[3, 4] = np.nan
        save(tmp_path / "synthetic" / "bad.nii", spoilt)
        found = evaluate(tmp_path / "out", tmp_path / "real", tmp_path / "synthetic")
        assert "1 synthetic images hold NaN or infinite values and are left out: bad" in found["warnings"]
        assert found["facts"]["synthetic images"].startswith("7 of 18x20")

    def test_duplicates_and_a_synthetic_set_that_is_the_real_one(self, sets, tmp_path):
        write_set(tmp_path / "real", 8, 0)
        save(tmp_path / "real" / "twin.png", texture(3))
        found = evaluate(tmp_path / "out", tmp_path / "real", tmp_path / "real")
        assert "1 real images are copies of others in the set, such as twin of image003" in found["warnings"]
        assert any(
            text.startswith("9 synthetic images equal real ones to the last value, such as image000")
            for text in found["warnings"]
        )
        assert score(found, "FD")["mean"] == pytest.approx(0, abs=1e-6)
        assert score(found, "coverage")["mean"] == 1
        assert score(found, "MiFD").startswith("not defined: every synthetic image has the features of")
        assert found["tables"]["Pairs"]["rows"][0]["MAE"]["mean"] == 0
        assert found["tables"]["Pairs"]["rows"][0]["PSNR"]["mean"] is None

    def test_another_scale_is_said(self, sets, tmp_path):
        for number in range(8):
            save(tmp_path / "dark" / f"{number}.png", texture(number) / 4)
        found = evaluate(tmp_path / "out", sets / "real", tmp_path / "dark")
        assert any(text.startswith("intensities differ: real images reach from") for text in found["warnings"])
        found = evaluate(tmp_path / "own", sets / "real", tmp_path / "dark", scale="image")
        assert not any("intensities differ" in text for text in found["warnings"])


class TestReviewedTraps:
    def test_layers_of_one_network_are_not_mixed_up(self, sets, tmp_path):
        """Two extractors with the same weights keep their features apart."""

        class Half(RandomConvolutionFeatures):
            def __init__(self):
                super().__init__(2)
                self.name = "half"

            def __call__(self, images):
                return super().__call__(images)[:, :16]

        both = {"whole": RandomConvolutionFeatures(2), "half": Half()}
        assert both["whole"].sha256 == both["half"].sha256
        Suite(str(sets / "real"), str(sets / "same"), str(tmp_path), extractors=both).run()
        rows = json.loads((tmp_path / "report.json").read_text())["tables"]["Distribution"]["rows"]
        values = {row["extractor"]: row["FD"]["mean"] for row in rows if row["n real"] == 30}
        assert values["whole"] != values["half"]

    def test_a_case_with_two_real_images_leaves_pairs_out_and_the_rest_in(self, tmp_path):
        write_set(tmp_path / "real", 8, 0, "case{:03d}_a.png")
        write_set(tmp_path / "more", 8, 50, "case{:03d}_b.png")
        for path in (tmp_path / "more").iterdir():
            path.rename(tmp_path / "real" / path.name)
        write_set(tmp_path / "made", 8, 100, "case{:03d}_a.png")
        found = evaluate(tmp_path / "out", tmp_path / "real", tmp_path / "made", case_pattern=r"(case\d+)")
        assert "Pairs" not in found["tables"]
        assert any("has several real images" in warning for warning in found["warnings"])
        row = found["tables"]["Distribution"]["rows"][0]
        assert (row["n real"], row["n synthetic"]) == (8, 8)  # cases, not images
        assert found["tables"]["Diversity"]["rows"][2]["n pairs"] > 0

    def test_masks_and_previews_beside_images_are_left_out(self, tmp_path):
        write_set(tmp_path / "real", 6, 0)
        write_set(tmp_path / "made", 6, 100, "sample{:03d}.png")
        write_set(tmp_path / "made", 6, 200, "sample{:03d}_mask.png")
        save(tmp_path / "made" / "preview.png", texture(5))
        found = evaluate(tmp_path / "out", tmp_path / "real", tmp_path / "made")
        assert found["facts"]["synthetic images"].startswith("6 of")

    def test_another_folder_with_equal_names_is_read_anew(self, tmp_path):
        real, one, two = (write_set(tmp_path / name, 6, seed) for name, seed in (("r", 0), ("a/s", 50), ("b/s", 90)))
        first, second = (evaluate(tmp_path / "out", real, made) for made in (one, two))
        assert first["facts"]["synthetic images"] != second["facts"]["synthetic images"]


def test_lists_with_an_at_sign_arrive_as_text():
    assert list(parse_extractors("[random@3d, random]")) == ["random@3d", "random"]
    assert list(parse_extractors("['random']")) == ["random"]
