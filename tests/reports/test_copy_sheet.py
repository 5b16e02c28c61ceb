"""The contact sheet shows the closest pairs on top of each other and says which are copies."""

import numpy as np
from PIL import Image
from scipy import ndimage

from common.metrics.copies import find_copies
from common.reports.copy_sheet import HEIGHT, align, copy_sheet, save_copy_sheet
from common.reports.pictures import CAPTION, MARGIN


def smooth(seed, shape=(48, 40)):
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.0)


def search(shape=(48, 40)):
    training = {f"t{s}": smooth(s, shape) for s in range(10)}
    moved, max_shift = ((2, -3), 3) if len(shape) == 2 else ((1, -1, 0), 1)
    copy = 3 * ndimage.shift(np.flip(training["t4"], 1), moved, order=1, mode="nearest") + 1
    synthetic = {"honest": smooth(77, shape), "copy": copy}
    return find_copies(synthetic.items(), training.items(), max_shift=max_shift), synthetic, training


def test_alignment_lays_the_copy_on_its_source():
    report, synthetic, training = search()
    match = report.matches[1]
    assert match.nearest == "t4" and match.pixel_copy
    moved = align(synthetic["copy"], match, (48, 40))
    inside = (slice(6, -6), slice(6, -6))
    assert np.corrcoef(moved[inside].ravel(), training["t4"][inside].ravel())[0, 1] > 0.9999


def test_sheet_has_the_closest_pair_first_with_an_even_gray_difference(tmp_path):
    report, synthetic, training = search()
    sheet = copy_sheet(report, synthetic.__getitem__, training.__getitem__)
    width = round(HEIGHT * 40 / 48)
    assert sheet.shape[0] == 2 * CAPTION + 2 * HEIGHT + 3 * MARGIN
    top = 2 * CAPTION + MARGIN
    columns = [MARGIN + number * (width + MARGIN) for number in range(3)]
    rows = [top, top + HEIGHT + MARGIN]

    def picture(row, column):
        return sheet[rows[row] + 24 : rows[row] + HEIGHT - 24, columns[column] + 24 : columns[column] + width - 24, 0]

    first, second = (picture(row, 2).astype(float) for row in (0, 1))
    assert np.abs(first - 127.5).max() < 4 and second.std() > 20
    assert np.abs(picture(0, 0).astype(float) - picture(0, 1)).max() < 6
    texts = sheet[:, columns[2] + width + MARGIN :]
    red = (texts[..., 0] > 200) & (texts[..., 2] < 120)
    assert red[rows[0] : rows[0] + HEIGHT].any() and not red[rows[1] : rows[1] + HEIGHT].any()  # COPY is written in red
    path = save_copy_sheet(tmp_path / "sheet.png", report, synthetic.__getitem__, training.__getitem__)
    assert np.array_equal(np.asarray(Image.open(path)), sheet)
    assert copy_sheet(report, synthetic.__getitem__, training.__getitem__, limit=1).shape[0] < sheet.shape[0]


def test_volumes_show_their_middle_slice():
    report, synthetic, training = search((24, 20, 16))
    assert report.matches[1].pixel_copy
    sheet = copy_sheet(report, synthetic.__getitem__, training.__getitem__)
    assert sheet.shape[0] == 2 * CAPTION + 2 * HEIGHT + 3 * MARGIN


def test_only_the_images_of_the_sheet_are_asked_for():
    report, synthetic, training = search()
    asked = []
    copy_sheet(report, synthetic.__getitem__, lambda name: asked.append(name) or training[name], limit=1)
    assert asked == ["t4"]
