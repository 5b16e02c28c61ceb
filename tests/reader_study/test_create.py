"""A blinded set: what is in it, and that no file tells what it is."""

import csv
import json
import os
import re

import nibabel
import numpy as np
import pytest
from PIL import Image
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common.errors import InputError
from common.io.dicom_pixels import read_dicom, stored_pixels
from common.reader_study.giveaways import file_facts, strongest_giveaway
from common.reader_study.source_images import find_cases, load_plane
from common.reader_study.study_files import read_key, read_study
from common.reader_study.study_maker import make_study
from tests.conftest import error_line, run_script
from tests.reader_study.pictures import blob_image, write_floats, write_real, write_synthetic

COUNT = 24


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return write_real(tmp_path_factory.mktemp("real") / "images", COUNT)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return write_synthetic(tmp_path_factory.mktemp("synthetic") / "images", COUNT + 2)


@pytest.fixture(scope="module")
def made(real, synthetic, tmp_path_factory):
    return make_study(real, synthetic, tmp_path_factory.mktemp("made") / "study", seed=3)


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def key_rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def pixels_of(path):
    if path.suffix == ".dcm":
        return stored_pixels(read_dicom(path), path)
    if path.suffix == ".gz":
        return np.asarray(nibabel.load(path).dataobj)[..., 0].T
    with Image.open(path) as picture:
        return np.asarray(picture)


def facts_of(paths):
    return [file_facts(path.read_bytes(), os.stat(path).st_mtime, pixels_of(path)) for path in paths]


def crossvalidated(facts, synthetic, penalty=1.0):
    """AUC of a logistic regression on all facts, on images that it has not seen."""
    values = np.array([list(row.values()) for row in facts], float)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=2000))
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    score = cross_val_predict(model, values, synthetic, cv=folds, method="decision_function")
    synthetic = np.asarray(synthetic)
    wins = stats.mannwhitneyu(score[synthetic], score[~synthetic]).statistic
    return wins / (synthetic.sum() * (~synthetic).sum())


def chance_bound(n_each):
    """What an AUC without any information stays below in 995 of 1000 sets: normal limit of Mann and Whitney."""
    return 0.5 + stats.norm.ppf(0.995) * np.sqrt((2 * n_each + 1) / (12 * n_each * n_each))


def test_files_tell_nothing_where_the_sources_tell_all(made, real, synthetic):
    rows = key_rows(made.key)
    truth = [row["truth"] == "synthetic" for row in rows]
    sources = facts_of([type(real)(row["source"]) for row in rows])
    assert crossvalidated(sources, truth) > 0.9
    found = strongest_giveaway(sources, truth)
    assert found.auc == 1 and found.p < 0.01

    blinded = facts_of([made.folder / "images" / f"{row['image']}.png" for row in rows])
    assert crossvalidated(blinded, truth) < chance_bound(COUNT)
    assert strongest_giveaway(blinded, truth).p > 0.05
    assert made.giveaway.p > 0.05
    # These do not only fail to tell the two apart, they are one.
    for name in ("file size", "time of modification", "height", "width", "smallest value", "largest value"):
        assert len({row[name] for row in blinded}) == 1, name
    assert {row["corners"] for row in blinded} == {0}


@pytest.mark.parametrize("write", [write_real, write_floats])
def test_eight_bits_beside_many_levels(write, tmp_path):
    """Also where no image is resampled, which would hide the steps of 8 bits."""
    many = write(tmp_path / "many", COUNT)
    few = write_synthetic(tmp_path / "few", COUNT, size=96, samples=1)
    made = make_study(many, few, tmp_path / "study")
    rows = key_rows(made.key)
    distinct = {truth: [] for truth in ("real", "synthetic")}
    for row in rows:
        image = pixels_of(made.folder / "images" / f"{row['image']}.png")
        distinct[row["truth"]].append(len(np.unique(image)))
        # All values lie on the same even steps.
        steps = image / 65535 * (made.form.levels - 1)
        assert np.abs(steps - np.rint(steps)).max() < 0.01
    assert made.form.levels == 64  # 141 levels in the sources, 80 or more between the percentiles
    assert min(np.mean(numbers) for numbers in distinct.values()) > made.form.levels * 0.9
    assert stats.mannwhitneyu(distinct["real"], distinct["synthetic"]).pvalue > 0.05
    assert made.giveaway.p > 0.05


def test_a_shape_that_tells_is_told(real, tmp_path):
    """One folder square, the other cut: padding cannot hide it, so the maker hears of it."""
    (tmp_path / "cut").mkdir()
    for seed in range(10):
        picture = (blob_image(seed + 50, 96)[30:66] * 255).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / "cut" / f"{seed}.png")
    made = make_study(real, tmp_path / "cut", tmp_path / "study")
    assert made.giveaway.auc == 1 and made.giveaway.p < 0.01
    assert any(line.startswith("warning: a program tells real from synthetic") for line in made.lines())


def test_what_a_study_holds(made, real, synthetic):
    described = json.loads((made.folder / "study.json").read_text())
    study = read_study(made.folder)
    assert study.images == tuple(f"{number:04d}" for number in range(1, 2 * COUNT + 1))
    assert [task.id for task in study.tasks] == ["birads", "synthetic", "anatomy", "realism"]
    assert described["size"] == [80, 80] and described["protocol"] == "kapsner"
    assert sorted(files_of(made.folder)) == [*(f"images/{name}.png" for name in study.images), "study.json"]
    key = read_key(made.key, study)
    assert [entry.truth for entry in key.values()].count("real") == COUNT
    assert made.available == {"real": COUNT, "synthetic": COUNT + 2}
    rows = key_rows(made.key)
    # One sample a case, and cases of both folders stay pairs.
    for truth in ("real", "synthetic"):
        assert sorted(row["case"] for row in rows if row["truth"] == truth) == [f"case{n:03d}" for n in range(COUNT)]
    assert {re.search(r"_sample(\d)_mip", row["source"])[1] for row in rows if row["truth"] == "synthetic"} == {
        "0",
        "1",
    }
    order = "".join(row["truth"][0] for row in rows)
    assert 10 < sum(a != b for a, b in zip(order, order[1:], strict=False)) < 40
    folder = made.folder / "images"
    for word in (b"case", b"sample", b"tEXt", b"tIME", b"eXIf", b"real"):
        assert not any(word in path.read_bytes() for path in folder.iterdir())
    with Image.open(folder / "0001.png") as picture:
        assert picture.mode == "I;16" and picture.info == {}


def test_images_show_what_their_sources_show(made):
    """The right way round and up, in the right brightness: rank correlation with the source."""
    for row in key_rows(made.key)[:12]:
        image = pixels_of(made.folder / "images" / f"{row['image']}.png")
        seed = int(row["case"][4:])
        sample = re.search(r"_sample(\d)", row["source"])
        shown = blob_image(1000 * int(sample[1]) + 500 + seed if sample else seed, 80 if sample else 96)
        small = np.asarray(Image.fromarray(shown.astype(np.float32)).resize((80, 80), Image.Resampling.BICUBIC))
        assert np.corrcoef(image.ravel(), small.ravel())[0, 1] > 0.96  # half a pixel apart


def test_the_same_seed_gives_the_same_bytes(made, real, synthetic, tmp_path):
    again = make_study(real, synthetic, tmp_path / "study", seed=3)
    assert files_of(again.folder) == files_of(made.folder)
    assert again.key.read_bytes() == made.key.read_bytes()
    other = make_study(real, synthetic, tmp_path / "other", seed=4)
    assert [row["source"] for row in key_rows(other.key)] != [row["source"] for row in key_rows(made.key)]


def test_the_order_does_not_follow_from_what_a_study_tells(real, synthetic, tmp_path):
    """The seed and the number of images stand in the study; other files with both have another order."""
    moved = write_real(tmp_path / "real", COUNT, first=200)
    orders = []
    for number, folder in enumerate((real, moved)):
        made = make_study(folder, synthetic, tmp_path / f"study{number}", seed=3)
        orders.append([row["truth"] for row in key_rows(made.key)])
    assert orders[0] != orders[1]


def test_volume_files_are_shown_as_pictures_are(tmp_path):
    shown = blob_image(1, 40)[:, 4:36]
    Image.fromarray((shown * 65535).astype(np.uint16)).save(tmp_path / "a.png")
    ras = np.ascontiguousarray(shown[::-1, ::-1].T[..., None])
    nibabel.save(nibabel.Nifti1Image(ras, np.eye(4)), tmp_path / "b.nii.gz")
    lps = np.ascontiguousarray(shown.T[..., None])
    nibabel.save(nibabel.Nifti1Image(lps, np.diag([-1, -1, 1, 1])), tmp_path / "c.nii")
    flat = nibabel.Nifti1Image(np.ascontiguousarray(shown[::-1, ::-1].T), np.diag([2, 3, 1, 1]))
    nibabel.save(flat, tmp_path / "d.nii.gz")
    volume = np.stack([ras[..., 0] * 0 + np.arange(40), ras[..., 0], ras[..., 0] + 1], -1)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "e.nii.gz")
    planes = [load_plane(source, "middle") for (source,) in find_cases(tmp_path).values()]
    for plane in planes:
        assert np.allclose(plane.pixels / plane.pixels.max(), shown / shown.max(), atol=1e-4)
    assert [plane.aspect for plane in planes] == [1, 1, 1, 1.5, 1]


def test_pixels_become_square(tmp_path):
    for name, seeds in (("real", (0, 1)), ("synthetic", (2, 3))):
        (tmp_path / name).mkdir()
        for seed in seeds:
            ras = np.ascontiguousarray(blob_image(seed, 60).T[..., None])
            nibabel.save(nibabel.Nifti1Image(ras, np.diag([1, 2, 1, 1])), tmp_path / name / f"{seed}.nii.gz")
    made = make_study(tmp_path / "real", tmp_path / "synthetic", tmp_path / "study")
    assert made.form.size == (60, 30)


def test_cases_by_a_pattern(tmp_path):
    for name in ("p1/t1", "p1/t2", "p2/t1", "p2/t2"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.eye(4, dtype=np.uint8)).save(path)
    assert list(find_cases(tmp_path)) == ["p1/t1", "p1/t2", "p2/t1", "p2/t2"]
    found = find_cases(tmp_path, r"(p\d)/t1")
    assert {case: [source.path.name for source in sources] for case, sources in found.items()} == {
        "p1": ["t1.png"],
        "p2": ["t1.png"],
    }
    with pytest.raises(InputError, match="matches no image .* names are as 'p1/t1'"):
        find_cases(tmp_path, "x(.)")
    with pytest.raises(InputError, match="no regular expression"):
        find_cases(tmp_path, "(")


def test_references_go_into_the_key(real, synthetic, tmp_path):
    table = tmp_path / "classes.csv"
    table.write_text("case,reference\n" + "".join(f"case{n:03d},{1 + n % 5}\n" for n in range(COUNT)))
    made = make_study(real, synthetic, tmp_path / "study", references=table, num_each=5, protocol="mam_e")
    rows = key_rows(made.key)
    assert len(rows) == 10 and all(row["reference"] == str(1 + int(row["case"][4:]) % 5) for row in rows)
    table.write_text("case,reference\ncase000,7\n")
    with pytest.raises(InputError, match="line 2: reference '7': use BI-RADS 1 to 6"):
        make_study(real, synthetic, tmp_path / "other", references=table)
    table.write_text("case,reference\nnobody,2\n")
    with pytest.raises(InputError, match="names none of the cases"):
        make_study(real, synthetic, tmp_path / "other", references=table)


def test_what_is_refused(real, synthetic, made, tmp_path):
    def refused(told, *folders, output=tmp_path / "study", **options):
        with pytest.raises(InputError, match=told) as raised:
            make_study(*folders, output, **options)
        assert "\n" not in str(raised.value)
        assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".", "study"))) == []

    (tmp_path / "empty").mkdir()
    refused("holds no image", tmp_path / "empty", synthetic)
    refused("no such folder", tmp_path / "none", synthetic)
    refused(f"there are only {COUNT} real cases", real, synthetic, num_each=COUNT + 1)
    refused("num_each=0", real, synthetic, num_each=0)
    refused("protocol=x: use kapsner or mam_e", real, synthetic, protocol="x")
    refused("exists already", real, synthetic, output=made.folder)
    refused("lies in the study's folder", real, synthetic, key=tmp_path / "study" / "key.csv")
    refused("the same image, in both folders", real, real)

    broken = tmp_path / "broken"
    broken.mkdir()
    nibabel.save(nibabel.Nifti1Image(np.full((9, 9, 1), np.nan), np.eye(4)), broken / "a.nii")
    refused("a.nii: 81 pixels are NaN", broken, synthetic)
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 9, 1)), np.eye(4)), broken / "a.nii")
    refused("a.nii: every pixel has the same value", broken, synthetic)
    nibabel.save(nibabel.Nifti1Image(np.random.rand(9, 9, 3), np.eye(4)), broken / "a.nii")
    refused("a volume of 9 x 9 x 3 voxels, not an image; give its maximum intensity projection", broken, synthetic)
    (broken / "a.nii").write_bytes(b"none")
    refused("a.nii: cannot be read as an image", broken, synthetic)
    Image.fromarray(np.eye(9, dtype=np.uint8) * 255).save(broken / "b.png")
    (broken / "a.nii").unlink()
    refused("b.png: has 1 grey values above black, at least 16 are needed", broken, synthetic)


def test_a_study_is_replaced_only_before_anybody_reads_it(real, synthetic, tmp_path):
    made = make_study(real, synthetic, tmp_path / "study", num_each=3)
    make_study(real, synthetic, tmp_path / "study", num_each=4, overwrite=True)
    assert len(read_study(made.folder).images) == 8
    (made.folder / "answers").mkdir()
    (made.folder / "answers" / "R1.csv").write_text("image,task,value\n")
    with pytest.raises(InputError, match="holds answers of 1 reader; name another folder"):
        make_study(real, synthetic, tmp_path / "study", overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="is no study"):
        make_study(real, synthetic, tmp_path / "mine", overwrite=True)


def test_the_command_line(real, synthetic, tmp_path):
    command = ["create", "--real", real, "--synthetic", synthetic, "--output", tmp_path / "2024"]
    lines = run_script("reader_study.py", *command, "--num_each", "4").stdout.splitlines()
    assert lines[0].startswith(f"4 real of {COUNT} cases and 4 synthetic of {COUNT + 2}, 80 x 80 pixels")
    assert lines[2].startswith("what tells most without looking: ")
    assert (tmp_path / "2024_key.csv").is_file() and (tmp_path / "2024_key.png").is_file()
    assert "exists already" in error_line(run_script("reader_study.py", *command, check=False))


def test_a_border_that_tells_is_cropped_away(tmp_path):
    """Synthetic images with a bright corner, as decoders make, are told apart by it unless borders are cut off."""
    real, synthetic = write_floats(tmp_path / "real", 12, 64), write_floats(tmp_path / "synthetic", 12, 64, first=100)
    for path in synthetic.rglob("*.nii.gz"):
        image = nibabel.load(path)
        values = image.get_fdata()
        values[:2, :2] = values.max()
        nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), image.affine), path)
    whole = make_study(real, synthetic, tmp_path / "whole", tmp_path / "whole.csv")
    cropped = make_study(real, synthetic, tmp_path / "cropped", tmp_path / "cropped.csv", crop=4)
    assert whole.giveaway.p < 0.05
    assert cropped.giveaway.p > 0.05
    assert cropped.form.size == (56, 56)
    with pytest.raises(InputError, match="crop=32: nothing is left"):
        make_study(real, synthetic, tmp_path / "none", tmp_path / "none.csv", crop=32)


def test_the_key_of_another_study_is_refused(tmp_path):
    """Images of all studies are called 0001 and so on: what tells studies apart is what the images are."""
    real, synthetic = write_floats(tmp_path / "real", 6, 64), write_floats(tmp_path / "synthetic", 6, 64, first=100)
    for seed in (0, 1):
        make_study(real, synthetic, tmp_path / f"study{seed}", tmp_path / f"key{seed}.csv", seed=seed)
    study = read_study(tmp_path / "study0")
    assert len(read_key(tmp_path / "key0.csv", study, tmp_path / "study0")) == 12
    with pytest.raises(InputError, match="was made for another image .*; give the key of this very study"):
        read_key(tmp_path / "key1.csv", study, tmp_path / "study0")
