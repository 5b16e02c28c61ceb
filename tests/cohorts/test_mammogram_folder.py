import json
import pickle
import shutil

import nibabel
import numpy as np
import pytest
from PIL import Image

from common.cohorts.datalist import load_datalist
from common.cohorts.mammogram_folder import all_images, prepare_folder, read_table
from common.errors import InputError
from common.io.mammograms import NO_SPACING
from common.phantoms.mammogram import make_mammogram
from common.transforms.mammogram_frame import MammogramFrame
from tests.conftest import run_script

SHAPE, SIZE = (256, 224), 128


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four phantoms as 16-bit PNG, 8-bit PGM, 16-bit TIFF and NIfTI, and a mask of one of them."""
    home = tmp_path_factory.mktemp("folder")
    for number, (name, view, laterality) in enumerate(
        [("a.png", "CC", "L"), ("b.pgm", "MLO", "R"), ("c.tif", "CC", "R"), ("deep/d.nii.gz", "MLO", "L")]
    ):
        phantom = make_mammogram(number, view, laterality, shape=SHAPE, spacing_mm=1.0)
        path = home / name
        path.parent.mkdir(exist_ok=True)
        if name.endswith(".nii.gz"):
            stored = np.rint(phantom.image * 4095).astype(np.uint16)
            nibabel.save(nibabel.Nifti1Image(stored.T[..., None], np.diag([-0.5, -0.5, 1, 1])), path)
        else:
            white, kind = (255, np.uint8) if name.endswith(".pgm") else (65535, np.uint16)
            pixels = np.rint(phantom.image / phantom.image.max() * white).astype(kind)
            Image.fromarray(pixels).save(path)
    mask = np.zeros(SHAPE, np.uint8)
    mask[95:135, 55:85] = 100  # soft at its border
    mask[100:130, 60:80] = 255
    Image.fromarray(mask).save(home / "a_mask.png")
    return home


def pixels(path):
    return nibabel.load(path).get_fdata()[..., 0].T


def table(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


def prepare(folder, tmp_path, text, **options):
    options = {"size": SIZE, "workers": 1, **options}
    path = prepare_folder(folder, tmp_path / "out", str(table(tmp_path, text)), **options)
    return {item["case"]: item for item in load_datalist(path)}, json.loads(path.read_text())


def test_a_folder_alone_is_taken_as_it_is(folder, tmp_path, capsys):
    path = prepare_folder(folder, tmp_path, size=SIZE, workers=1)
    items = {item["case"]: item for item in load_datalist(path)}
    assert set(items) == {"a", "b", "c", "d"} and {item["patient"] for item in items.values()} == set(items)
    content = json.loads(path.read_text())
    assert content["left_out"] == {"files named as masks": 1}
    assert content["guessed"] == {"laterality": 4, "view": 4} and content["warnings"] == {NO_SPACING: 3}
    told = capsys.readouterr().out
    assert "each image counts as a patient" in told and "4 of 4 images is a guess from pixels" in told
    views = {"a": "CC", "b": "MLO", "c": "CC", "d": "MLO"}
    sides = {"a": "L", "b": "R", "c": "R", "d": "L"}
    for name, item in items.items():
        assert item["guessed"] == ["laterality", "view"] and item["laterality"] == sides[name]
        assert item["view"] == views[name]
        assert item["findings_known"] is False and item["lesions"] == [] and "lesion" not in item["prompt"]
        assert (item["spacing"] is None) == (name != "d")
    np.testing.assert_allclose(items["d"]["spacing"], [1.0, 1.0])


def test_a_table_says_all_that_is_known(folder, tmp_path):
    text = (
        "image;Patient;laterality;view;density;vendor;split;spacing_mm;x0;y0;x1;y1;x;y;radius;mask;type;birads;pathology\n"
        "a.png;P1;L;CC;very high;hologic;training;0.5;;;;;;;;a_mask.png;mass;5;\n"
        "b.pgm;P2;R;MLO;2;;test;;100;120;130;150;;;;;calcification;2;\n"
        "b.pgm;P2;R;MLO;2;;test;;;;;;140;90;6;;mass;;malignant\n"
        "c.tif;P3;R;CC;;;validation;;;;;;;;;;;;\n"
    )
    items, content = prepare(folder, tmp_path, text, split="own")
    a, b, c = items["a"], items["b"], items["c"]
    assert a["prompt"].startswith("a hologic mammogram in CC view with ") and "very high density" in a["prompt"]
    assert a["prompt"].endswith(", with a malignant mass") and a["spacing"] == [1.0, 1.0]
    frame = MammogramFrame(SHAPE, SIZE, flip=False)
    assert a["lesions"][0]["box"] == [30, 50, 40, 65] == [round(v) for v in frame.box_to_network(60, 100, 80, 130)]
    assert [(e["number"], e["type"], e["pathology"]) for e in b["lesions"]] == [
        (1, "mass", "malignant"),
        (2, "calcification", "benign"),
    ]
    label = pixels(b["label"])
    mirrored = MammogramFrame(SHAPE, SIZE, flip=True)
    for number, box in ((1, (134, 84, 147, 97)), (2, (100, 120, 130, 150))):
        rows, columns = np.nonzero(label == number)
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        np.testing.assert_allclose(found, mirrored.box_to_network(*box), atol=1)
    assert c["prompt"].endswith("without a lesion") and c["density"] is None and "findings_known" not in c
    assert content["left_out"] == {"files that the table does not name": 1}
    sections = {name: [item["case"] for item in content[name]] for name in ("training", "validation", "test")}
    assert sections == {"training": ["a"], "validation": ["c"], "test": ["b"]}


def test_without_columns_of_lesions_no_one_said_and_healthy_is_a_word(folder, tmp_path):
    items, _ = prepare(folder, tmp_path, "image,density\na.png,D\n")
    assert items["a"]["findings_known"] is False
    items, _ = prepare(folder, tmp_path, "image,type,birads\na.png,healthy,\nb.pgm,,1\nc.tif,,4\n")
    assert items["a"]["prompt"].endswith("without a lesion") and items["b"]["prompt"].endswith("without a lesion")
    assert items["c"]["lesions"] == [
        {"number": 1, "type": "lesion", "birads": 4, "pathology": "malignant", "box": None}
    ]
    assert "label" not in items["c"] and items["c"]["prompt"].endswith("with a malignant lesion")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("image,lateralty\na.png,L\n", "did you mean laterality"),
        ("file\na.png\n", "did you mean"),
        ("patient\nP1\n", "no column image"),
        ("image\n", "no row"),
        ("image\nnone.png\n", "no such file"),
        ("image,density\na.png,hgh\n", "did you mean high"),
        ("image,view\na.png,MLX\n", "did you mean ML"),
        ("image,laterality\na.png,X\n", "laterality"),
        ("image,x0,y0,x1,y1\na.png,1,2,3,\n", "without y1"),
        ("image,x0,y0,x1,y1\na.png,1,2,three,4\n", "no number"),
        ("image,x,y,radius\na.png,10,10,0\n", "radius 0"),
        ("image,x,y,radius,mask\na.png,10,10,4,a_mask.png\n", "more than one"),
        ("image,type\na.png,mas\n", "did you mean mass"),
        ("image,birads\na.png,9\n", "birads"),
        ("image,view,x,y,radius\na.png,CC,1,1,2\na.png,MLO,5,5,2\n", "several values of view"),
        ("image,spacing_mm\na.png,-1\n", "spacing_mm"),
        ("image,patient\n,P1\n", "without image"),
    ],
)
def test_mistakes_in_tables_are_said_in_one_line(folder, tmp_path, text, told):
    path = table(tmp_path, text)
    with pytest.raises(InputError, match=told) as error:
        read_table(path, folder)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_masks_of_another_size_and_missing_ones_are_skipped_and_named(folder, tmp_path):
    home = shutil.copytree(folder, tmp_path / "copy")
    Image.fromarray(np.full((40, 40), 255, np.uint8)).save(home / "small.png")
    text = "image,mask\na.png,small.png\nb.pgm,none.png\nc.tif,\n"
    items, content = prepare(home, tmp_path, text)
    reasons = {entry["case"]: entry["reason"] for entry in content["skipped"]}
    assert set(items) == {"c"} and set(reasons) == {"a", "b"}
    assert "40 x 40" in reasons["a"] and "no such file" in reasons["b"]


def test_equal_names_in_several_folders_are_told_apart(folder, tmp_path):
    home = shutil.copytree(folder, tmp_path / "copy")
    shutil.copy(home / "a.png", home / "deep" / "a.png")
    records, _ = all_images(home)
    assert sorted(record.name for record in records) == ["a_png", "b", "c", "d", "deep_a_png"]


def test_sides_that_pixels_contradict_are_mirrored_by_pixels_and_said(folder, tmp_path):
    items, content = prepare(folder, tmp_path, "image,laterality\na.png,R\n")
    assert items["a"]["laterality"] == "R" and "the pixels decide" in items["a"]["warnings"][-1]
    assert pixels(items["a"]["image"])[:, :20].mean() > 4 * pixels(items["a"]["image"])[:, -20:].mean()
    assert any("laterality R" in told for told in content["warnings"])


def test_folders_without_mammograms_and_contradicting_arguments_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(InputError, match="holds no DICOM"):
        all_images(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        prepare_folder(tmp_path / "none", tmp_path / "out")
    with pytest.raises(InputError, match="give one of them"):
        prepare_folder(tmp_path, tmp_path / "out", "a.csv", "b.txt")
    with pytest.raises(InputError, match="any_modality=1"):
        prepare_folder(tmp_path, tmp_path / "out", any_modality=1)


def test_the_command_works_and_its_cases_can_go_to_other_processes(folder, tmp_path):
    path = table(tmp_path, "image,x,y,radius\na.png,60,100,8\nb.pgm,,,\n")
    arguments = ("--source", folder, "--output", tmp_path / "out", "--table", path, "--size", 64, "--workers", 1)
    done = run_script("prepare_data.py", "mammograms", *arguments)
    assert "2 cases read" in done.stdout and len(load_datalist(tmp_path / "out" / "datalist.json")) == 2
    records, _ = read_table(path, folder)
    assert pickle.loads(pickle.dumps(records)) == records


MIAS = """Some words about the database
mdb001 G CIRC B 60 {y} 12
mdb002 D NORM
mdb003 G CALC M *NOTE 3*
mdb004 F ARCH B 50 60 10
"""


def test_mini_mias_counts_from_the_bottom(tmp_path):
    phantom = make_mammogram(0, "MLO", "R", shape=SHAPE, spacing_mm=1.0)
    for number in range(1, 6):
        image = phantom.image if number % 2 else phantom.image[:, ::-1]
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(tmp_path / f"mdb{number:03d}.pgm")
    info = tmp_path / "Info.txt"
    info.write_text(MIAS.format(y=SHAPE[0] - 1 - 100))
    path = prepare_folder(tmp_path, tmp_path / "out", mias=str(info), size=SIZE, workers=1)
    items = {item["case"]: item for item in load_datalist(path)}
    assert set(items) == {"mdb001", "mdb002", "mdb003"}
    assert json.loads(path.read_text())["left_out"] == {
        "films that the Info file does not name": 1,
        "findings of other kinds alone": 1,
    }
    one, two, three = (items[f"mdb00{k}"] for k in (1, 2, 3))
    assert (one["laterality"], two["laterality"], one["view"]) == ("R", "L", "MLO")
    assert one["patient"] == two["patient"] == "mias001" != three["patient"]
    assert one["spacing"] == [0.4, 0.4] and "warnings" not in one and one["density"] is None
    frame = MammogramFrame(SHAPE, SIZE, flip=True)
    np.testing.assert_allclose(one["lesions"][0]["box"], frame.box_to_network(48, 88, 73, 113), atol=1)
    assert (one["lesions"][0]["pathology"], two["lesions"]) == ("benign", [])
    assert three["lesions"][0] == {
        "number": 1,
        "type": "calcification",
        "birads": None,
        "pathology": "malignant",
        "box": None,
    }


def test_info_files_without_films_are_refused(tmp_path):
    info = tmp_path / "Info.txt"
    info.write_text("nothing")
    with pytest.raises(InputError, match="has no line such as"):
        prepare_folder(tmp_path, tmp_path / "out", mias=str(info))
    info.write_text("mdb001 G BLOB B 1 2 3")
    with pytest.raises(InputError, match="class BLOB"):
        prepare_folder(tmp_path, tmp_path / "out", mias=str(info))


def contrast(item):
    """Mean in the lesion's label minus mean in a ring around it, display units."""
    from scipy import ndimage

    image, label = pixels(item["image"]) / 65535, pixels(item["label"]) > 0
    ring = ndimage.binary_dilation(label, iterations=10) & ~ndimage.binary_dilation(label, iterations=3)
    return image[label].mean() - image[ring].mean()


def test_circles_of_real_films_lie_on_bright_masses(real_data, tmp_path):
    source = real_data / "mammography" / "mini_mias"
    path = prepare_folder(source, tmp_path, mias=str(source / "labels_dev.txt"), workers=1)
    items = {item["case"]: item for item in load_datalist(path)}
    assert set(items) == {"mdb005", "mdb023", "mdb028"}
    assert len(items["mdb005"]["lesions"]) == 2 and len(items["mdb028"]["lesions"]) == 1
    assert (items["mdb005"]["laterality"], items["mdb028"]["laterality"]) == ("R", "L")
    for item in items.values():
        assert "warnings" not in item and contrast(item) > 0.04


def test_real_mammograms_with_masks_and_scanned_film(real_data, tmp_path):
    text = (
        "image,patient,laterality,view,mask,type\n"
        "nyu_bcc_exam1/1_L_CC.png,n1,L,CC,,\n"
        "nyu_gmic_exam0/0_L-CC.png,n0,L,CC,,\n"
        "nyu_gmic_exam0/0_R-CC.png,n0,R,CC,nyu_gmic_exam0/0_R-CC_benign_mask.png,lesion\n"
        "nyu_gmic_exam0/0_R-MLO.png,n0,R,MLO,nyu_gmic_exam0/0_R-MLO_benign_mask.png,lesion\n"
        "inbreast_crops/20586934_image.png,i1,,,inbreast_crops/20586934_mask.png,mass\n"
        "inbreast_crops/20586960_image.png,i2,,,inbreast_crops/20586960_mask.png,mass\n"
        "dicom/WG04_MG1_J2KI.dcm,f,,,,\n"
    )
    source = real_data / "mammography"
    items, content = prepare(source, tmp_path, text, size=512, any_modality=True)
    assert len(items) == 7 and content["skipped"] == []
    for case, mask in (("0_R-CC", "0_R-CC_benign_mask"), ("0_R-MLO", "0_R-MLO_benign_mask")):
        truth = np.asarray(Image.open(source / "nyu_gmic_exam0" / f"{mask}.png")) > 127
        rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
        # These right breasts are stored as left ones: nothing is mirrored, and it is said.
        frame = MammogramFrame(truth.shape, 512, flip=False)
        box = frame.box_to_network(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        np.testing.assert_allclose(items[case]["lesions"][0]["box"], box, atol=1)
        assert any("the pixels decide" in told for told in items[case]["warnings"])
    close_up = items["20586934_image"]
    assert close_up["area_ratio"] is None and close_up["view"] is None and "area" not in close_up["prompt"]
    assert contrast(close_up) > 0.03
    film = items["WG04_MG1_J2KI"]
    assert (film["laterality"], film["view"], film["spacing"]) == ("L", "MLO", None)
    assert prepare_folder(source, tmp_path / "plain", size=64, workers=1).is_file()
    skipped = json.loads((tmp_path / "plain" / "datalist.json").read_text())["skipped"]
    assert [entry["case"] for entry in skipped] == ["WG04_MG1_J2KI"] and "modality RG" in skipped[0]["reason"]
