import itertools

import numpy as np
import pytest

from common.errors import InputError
from common.metrics.mammogram_attributes import (
    DensityScale,
    attribute_table,
    density_index,
    lesion_contrast,
    measured_attributes,
)
from common.phantoms.mammogram import make_mammogram
from common.transforms.breast_area import breast_mask
from common.transforms.mammogram_frame import MammogramFrame


def record(index, density, vendor="siemens"):
    return {"index": index, "density": density, "vendor": vendor}


SCALE = [record(*pair) for pair in ((0.1, "A"), (0.2, "A"), (0.9, "A"), (0.4, "B"), (0.6, "C"), (0.7, "D"))]


def box_breast():
    """100 x 60 pixels of tissue at the left edge of 120 x 120; the image's edge is no skin."""
    breast = np.zeros((120, 120), bool)
    breast[10:110, :60] = True
    return np.where(breast, 0.5, 0.0), breast


def test_density_index_leaves_out_the_edge_that_thins_and_nothing_at_the_chest_wall():
    image, breast = box_breast()
    # sqrt(6000) / 10 = 7.7 pixels: the 7 outermost are left out.
    image[10:17], image[103:110], image[:, 53:60] = 0.0, 0.0, 0.0
    assert density_index(image, breast, "CC") == 0.5
    image[17, 30] = 1.0
    assert density_index(image, breast, "CC") == pytest.approx(0.5 + 0.5 / (86 * 53))
    image[17:103, 0] = 1.0
    assert density_index(image, breast, "CC") > 0.505


def test_density_index_leaves_out_the_pectoral_corner_in_all_views_but_cc():
    image, breast = box_breast()
    y, x = np.indices(image.shape)
    corner = (y + 0.5 - 10) / 75 + (x + 0.5) / 36 <= 1
    assert corner[10, 0] and corner[83, 0] and not corner[84, 0] and corner[10, 35] and not corner[10, 36]
    image[corner & breast] = 1.0
    assert all(density_index(image, breast, view) == 0.5 for view in ("MLO", "LM", "ML", None))
    assert density_index(image, breast, "CC") > 0.6


def test_density_index_of_no_breast_is_refused():
    image, breast = box_breast()
    with pytest.raises(InputError, match="nothing of the breast is left"):
        density_index(image, np.zeros_like(breast), "CC")
    with pytest.raises(InputError, match="another shape"):
        density_index(image, breast[:50], "CC")


def test_cut_points_lie_between_the_medians_of_neighbours():
    scale = DensityScale.fit(SCALE)
    assert scale.cuts["siemens"] == pytest.approx((0.3, 0.5, 0.65))
    assert scale.counts["siemens"] == (3, 1, 1, 1)
    letters = [scale.classify(index, "siemens") for index in (0.0, 0.29, 0.31, 0.49, 0.6, 0.66, 9)]
    assert letters == ["A", "A", "B", "B", "C", "D", "D"]
    assert DensityScale({"ge": (0.25, 0.5, 0.75)}, {}).classify(0.5, "ge") == "C"


def test_each_vendor_has_cut_points_of_its_own_and_no_vendor_is_one():
    other = [record(0.1 + entry["index"], entry["density"], None) for entry in SCALE]
    scale = DensityScale.fit(SCALE + other)
    assert scale.cuts["unknown"] == pytest.approx((0.4, 0.6, 0.75))
    assert (scale.classify(0.35, "siemens"), scale.classify(0.35, None)) == ("B", "A")
    with pytest.raises(InputError, match="no cut points for vendor hologic, only for siemens, unknown"):
        scale.classify(0.5, "hologic")


def test_scale_that_cannot_be_fitted_is_refused():
    with pytest.raises(InputError, match="vendor siemens has no image of density C"):
        DensityScale.fit([entry for entry in SCALE if entry["density"] != "C"])
    with pytest.raises(InputError, match="vendor ge has no image of density A, B, D"):
        DensityScale.fit([*SCALE, record(0.5, "C", "ge")])
    with pytest.raises(InputError, match="does not rise with density"):
        DensityScale.fit([*SCALE, *[record(0.3, "C")] * 2])
    with pytest.raises(InputError, match="letter from A to D"):
        DensityScale.fit([record(0.3, "high")])
    with pytest.raises(InputError, match="no image with a known density"):
        DensityScale.fit([])


def test_scale_is_saved_and_loaded(tmp_path):
    scale = DensityScale.fit(SCALE)
    scale.save(tmp_path / "scale.json")
    assert DensityScale.load(tmp_path / "scale.json") == scale
    wrong = tmp_path / "wrong.json"
    for text in (
        "[1]",
        "{",
        '{"siemens": {"cuts": [1, 2], "counts": [1]}}',
        '{"ge": {"cuts": [3, 2, 1], "counts": []}}',
    ):
        wrong.write_text(text)
        with pytest.raises(InputError, match="is no density scale"):
            DensityScale.load(wrong)
    with pytest.raises(InputError, match="cannot be read"):
        DensityScale.load(tmp_path / "missing.json")


def lesion_image():
    image, breast = np.full((60, 60), 0.3), np.ones((60, 60), bool)
    mask = np.zeros((60, 60), np.uint8)
    mask[20:40, 20:40] = 1
    image[mask > 0] = 0.7
    return image, mask, breast


def test_lesion_contrast_by_hand():
    image, mask, breast = lesion_image()
    assert lesion_contrast(image, mask, breast) == pytest.approx(0.4)
    assert lesion_contrast(image, mask.astype(bool), breast) == pytest.approx(0.4)
    # A disc of 400 pixels has a diameter of 22.6: the ring lies 2.3 to 13.5 pixels away.
    image[30, 41:43], image[30, 54] = 1.0, 1.0
    assert lesion_contrast(image, mask, breast) < 0.4
    image[30, 42:] = 0.3
    assert lesion_contrast(image, mask, breast) == pytest.approx(0.4)
    image[30, 53:55] = 1.0
    assert lesion_contrast(image, mask, breast) == pytest.approx(0.4)
    image[30, 52] = 1.0
    assert lesion_contrast(image, mask, breast) < 0.4


def test_ring_holds_neither_air_nor_other_lesions():
    image, mask, breast = lesion_image()
    image[:, :15], breast[:, :15] = 0.0, False
    image[10:16] = 0.9
    others = np.zeros_like(mask)
    others[10:16] = 2
    assert lesion_contrast(image, mask, breast, others) == pytest.approx(0.4)
    assert lesion_contrast(image, mask, breast) < 0.4
    assert np.isnan(lesion_contrast(image, mask, mask > 0))


def test_lesion_of_a_single_pixel_has_a_ring_and_none_is_refused():
    image, mask, breast = np.zeros((9, 9)), np.zeros((9, 9), np.uint8), np.ones((9, 9), bool)
    image[4, 4] = mask[4, 4] = 1
    assert lesion_contrast(image, mask, breast) == 1.0
    with pytest.raises(InputError, match="empty"):
        lesion_contrast(image, np.zeros_like(mask), breast)
    with pytest.raises(InputError, match="breast mask"):
        lesion_contrast(image, mask, breast[1:])


def test_agreement_by_hand():
    def entry(group, asked, measured):
        return {"group": group, "asked": asked, "measured": measured}

    records = [
        entry("real", {"area": "big", "density": "A", "view": "CC"}, {"area": "big", "density": "A", "view": "CC"}),
        entry(
            "synthetic", {"area": "big", "density": "A", "view": None}, {"area": "small", "density": "B", "view": "CC"}
        ),
        entry("synthetic", {"area": "small", "density": "D"}, {"area": "small", "density": "B"}),
        entry("synthetic", {"area": "small"}, {"area": "small", "density": "B"}),
        entry("synthetic", {"density": "C", "vendor": "ge"}, {"density": None, "vendor": "ge"}),
    ]
    rows = {(row["group"], row["attribute"], row["agreement"]): row for row in attribute_table(records)}
    found = {key: (row["mean"], row["n"]) for key, row in rows.items()}
    assert found == {
        ("real", "area", "exact"): (1.0, 1),
        ("real", "density", "exact"): (1.0, 1),
        ("real", "density", "within one class"): (1.0, 1),
        ("real", "view", "exact"): (1.0, 1),
        ("synthetic", "area", "exact"): (pytest.approx(2 / 3), 3),
        ("synthetic", "density", "exact"): (0.0, 3),
        ("synthetic", "density", "within one class"): (pytest.approx(1 / 3), 3),
        ("synthetic", "vendor", "exact"): (1.0, 1),
    }
    assert list(rows)[0][0] == "real" and list(rows)[-1] == ("synthetic", "vendor", "exact")
    row = rows["synthetic", "area", "exact"]
    assert row["low"] < 2 / 3 < row["high"]
    assert attribute_table([]) == []
    # One image alone proves little, even where it agrees.
    assert rows["real", "area", "exact"]["low"] < 0.3


def test_phantoms_of_other_seeds_are_measured_as_what_they_are():
    def measured(seed, view, vendor, density, area):
        phantom = make_mammogram(seed, view, "L", vendor, density, area, shape=(256, 224), spacing_mm=1.0)
        image = MammogramFrame(phantom.image.shape, 256, False).to_network(phantom.image)
        return image, breast_mask(image)

    plans = list(itertools.product(("CC", "MLO"), ("siemens", "hologic"), "ABCD", ("small", "big")))
    known = []
    for seed, (view, vendor, density, area) in enumerate(plans):
        image, breast = measured(seed, view, vendor, density, area)
        known.append(record(density_index(image, breast, view), density, vendor))
    scale = DensityScale.fit(known)
    records = []
    for seed, (view, vendor, density, area) in enumerate(plans, 1000):
        image, breast = measured(seed, view, vendor, density, area)
        told = measured_attributes(image, breast, view, vendor, scale)
        records.append({"group": "phantoms", "asked": {"area": area, "density": density}, "measured": told})
    shares = [row["mean"] for row in attribute_table(records)]
    assert shares[0] == 1.0 and shares[1] >= 0.9 and shares[2] == 1.0


def test_contrast_of_the_core_leaves_out_what_a_box_has_beside_the_lesion():
    image, breast, box = np.full((40, 40), 0.2), np.ones((40, 40), bool), np.zeros((40, 40), bool)
    box[10:22, 10:22] = True
    image[13:19, 13:19] = 0.6
    assert lesion_contrast(image, box, breast) == pytest.approx(0.4 * 36 / 144)
    assert lesion_contrast(image, box, breast, core=0.6) == pytest.approx(0.4)


def test_images_of_one_case_go_together_in_the_interval():
    asked = {"area": "small"}
    records = [
        {"group": "g", "case": case, "asked": asked, "measured": {"area": area}}
        for case, area in [("a", "small"), ("a", "small"), ("a", "small"), ("b", "big")]
    ]
    row = attribute_table(records)[0]
    assert (row["images"], row["n"], row["mean"]) == (4, 2, 0.75)
    assert (row["low"], row["high"]) == (0.0, 1.0)
