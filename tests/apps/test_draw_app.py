"""The drawing tool in a real browser: own mammograms in, painted ones out, identical outside the strokes."""

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from scipy import ndimage

from common.io.mammogram_dicom import write_mammogram_dicom
from common.phantoms.mammogram import make_mammogram
from tests.apps.conftest import Page, serve, wait_for

SECRET = "DOE^JANE^SECRET"


@pytest.fixture(scope="module")
def server(random_weights, tmp_path_factory):
    with serve("draw", random_weights, tmp_path_factory.mktemp("served")) as running:
        yield running
    assert SECRET not in "".join(running.printed) and "secret" not in "".join(running.printed)


@pytest.fixture
def page(chromium, server):
    found = Page(chromium, server)
    found.fill("steps", "10")
    yield found
    assert found.strangers() == []
    found.page.close()
    # Nothing of the patient, nor the patient's mammogram, stays when the page is closed.
    wait_for(lambda: not is_told_in_files(server))


@pytest.fixture(scope="module")
def pixels():
    """Stored values, 12 bits, of a phantom of 600 x 525 pixels (H, W)."""
    display = make_mammogram(3, shape=(600, 525), spacing_mm=256 / 600).image
    return np.rint(np.clip(display, 0, 1) * 4095).astype(np.uint16)


def files_of(server):
    return [path for path in server.folder.rglob("*") if path.is_file()]


def is_told_in_files(server):
    try:
        return any(SECRET.encode() in path.read_bytes() for path in files_of(server))
    except FileNotFoundError:
        return True  # one was deleted just then: look again


def write_dicom(path, pixels, **more):
    options = {"laterality": "L", "view": "MLO", "uid_root_text": "x", "spacing": (0.4, 0.4), "bits_stored": 12}
    window = {"window": (2048, 4096), "patient_id": SECRET, "patient_name": SECRET}
    return write_mammogram_dicom(path, pixels, **options, **window, **more)


def load(page, path, told):
    with page.page.expect_file_chooser() as chooser:
        page.page.click("#load")
    chooser.value.set_files(path)
    page.page.wait_for_selector(f"text={told}")


def stroke(page, row=0.0, column=0.0, reach=12):
    """A stroke about a place of the picture, counted in screen pixels from its middle."""
    page.page.wait_for_timeout(800)  # the editor takes a new picture over
    box = page.page.locator("#canvas canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2 + column, box["y"] + box["height"] / 2 + row
    page.page.mouse.move(x - reach, y)
    page.page.mouse.down()
    page.page.mouse.move(x + reach, y, steps=6)
    page.page.mouse.up()
    page.page.wait_for_timeout(300)


def middle_of(changed):
    return np.array(ndimage.center_of_mass(changed)) / changed.shape


def test_the_example_waits_with_the_defaults_of_the_original(chromium, server):
    page = Page(chromium, server)
    page.page.wait_for_selector("text=/512 x 448 pixels/")
    fields = {"guidance": "3", "steps": "24", "seed": "1337", "lesion": "mass", "prompt": "a mammogram with a mass"}
    assert {name: page.value(name) for name in fields} == fields
    assert page.page.locator("#breast_only input").is_checked()
    page.choose("lesion", "calcification")
    page.choose("pathology", "benign")
    page.page.locator("#crop input").check()
    wait_for(lambda: page.value("prompt") == "a magnified mammogram with benign calcifications")
    assert "nothing is painted" in page.run()
    assert page.page.evaluate("document.documentElement.scrollWidth") == 1280
    page.page.close()


def test_only_what_was_painted_changes(page, server, pixels, tmp_path):
    load(page, write_dicom(tmp_path / "jane_secret.dcm", pixels), "600 x 525 pixels, 12 bits, L, MLO")
    assert not [path for path in files_of(server) if "secret" in path.name.lower()]
    stroke(page, column=-60)
    told = page.run()
    assert "of 315000 pixels painted" in told and "mm²" in told and page.value("used") == "1337"

    painted = Image.open(page.download(".png", tmp_path))
    assert painted.mode == "I;16"
    after = np.asarray(painted)
    changed = after != pixels
    # A stroke of 28 + 24 by 28 screen pixels, on a picture of 700 pixels for 600 that is shown at about nine tenths.
    extent = ndimage.find_objects(changed.astype(int))[0]
    height, width = (side.stop - side.start for side in extent)
    assert 0.5 * 28 < height < 70 and height + 10 < width < 110
    row, column = middle_of(changed)
    assert row == pytest.approx(0.5, abs=0.02) and 0.3 < column < 0.45
    assert changed[extent].mean() > 0.5
    count = int(told.split(" of ")[0])
    assert 0.8 * count < changed.sum() <= count

    header = pydicom.dcmread(page.download(".dcm", tmp_path))
    assert np.array_equal(header.pixel_array, after)
    assert header.PatientID == "SYNTHETIC" and SECRET not in str(header)
    assert SECRET not in page.page.content() and "jane" not in page.page.content()
    for name in ("before", "after", "difference"):
        assert max(page.picture(name).shape) == 700
    difference = page.picture("difference").astype(int)
    colored = np.abs(difference[..., 0] - difference[..., 2]) > 20
    assert colored.any() and np.abs(middle_of(colored) - (row, column)).max() < 0.03

    page.run()
    again = np.asarray(Image.open(page.download(".png", tmp_path)))
    assert np.array_equal(again, after)  # the same seed


def test_strokes_outside_the_breast_are_dropped_and_all_can_be_cleared(page, pixels, tmp_path):
    load(page, write_dicom(tmp_path / "a.dcm", pixels), "600 x 525 pixels")
    stroke(page, column=270, reach=8)  # at the picture's right edge, in air
    assert "every stroke lies outside the breast" in page.run()
    page.page.click("#clear")
    stroke(page, column=-60)
    told = page.run()
    assert "pixels painted" in told and "outside the breast" not in told


@pytest.mark.slow  # a race that a busy machine loses now and then
def test_cancel_paints_nothing(page, pixels, tmp_path):
    load(page, write_dicom(tmp_path / "a.dcm", pixels), "600 x 525 pixels")
    stroke(page, column=-60)
    page.fill("steps", "50")
    page.run(wait=False)
    page.page.click("#cancel")
    assert page.end() == "Cancelled; nothing was painted."
    assert page.page.locator("#after img").count() == 0 and page.page.is_disabled("#cancel")


@pytest.mark.slow
def test_scanned_film_needs_a_word(page, pixels, tmp_path):
    film = write_dicom(tmp_path / "film.dcm", pixels[:300], extra_tags={"Modality": "CR"})
    load(page, film, "tick 'Any modality'")
    assert "film" not in page.status().replace("scanned film", "")
    page.page.locator("#any_modality input").check()
    load(page, film, "300 x 525 pixels")
    page.page.locator("#any_modality input").uncheck()
    damaged = tmp_path / "x.png"
    damaged.write_bytes(b"no picture")
    load(page, damaged, "Not loaded")
    assert "x.png" not in page.status() and "\n" not in page.status()


def test_another_format_keeps_its_values_and_its_grid(page, pixels, tmp_path):
    nibabel.save(nibabel.Nifti1Image(pixels.T[..., None], np.diag([-0.4, -0.4, 1, 1])), tmp_path / "a.nii.gz")
    load(page, tmp_path / "a.nii.gz", "600 x 525 pixels, 12 bits")
    page.page.locator("#crop input").check()
    stroke(page, column=-60)
    page.run()
    volume = nibabel.load(page.download(".nii.gz", tmp_path))
    found = np.asarray(volume.dataobj)[..., 0].T
    assert np.array_equal(found, np.asarray(Image.open(page.download("1337.png", tmp_path))))
    assert 0 < (found != pixels).mean() < 0.05
    assert np.allclose(np.diag(volume.affine), [-0.4, -0.4, 1, 1])
