import numpy as np
import pytest

from common.cohorts.mammogram_lesions import draw_mark, place_lesions
from common.cohorts.mammogram_records import (
    LesionMark,
    MammogramRecord,
    birads_number,
    check_unique,
    density_letter,
    findings_of,
    kind_word,
    pathology_word,
    section_word,
)
from common.cohorts.mammogram_splits import sections_of_records
from common.errors import InputError
from common.transforms.mammogram_frame import MammogramFrame


@pytest.mark.parametrize(
    ("value", "letter"),
    [("A", "A"), ("c", "C"), ("DENSITY D", "D"), ("density_b", "B"), (1, "A"), ("4", "D"), ("3.0", "C")]
    + [("very low", "A"), ("High", "C"), ("very_high", "D"), ("low", "B"), ("", None), (None, None), ("nan", None)],
)
def test_densities_are_letters_numbers_or_words(value, letter):
    assert density_letter(value) == letter


@pytest.mark.parametrize(("value", "nearest"), [("hgh", "high"), ("E", "A"), ("verylow", "very low"), ("5", "1")])
def test_unknown_densities_name_the_nearest(value, nearest):
    with pytest.raises(InputError, match="did you mean") as error:
        density_letter(value)
    assert nearest in str(error.value)


@pytest.mark.parametrize(
    ("value", "number"), [("BI-RADS 4", 4), ("4a", 4), ("birads_2", 2), (5, 5), ("3.0", 3), ("", None), ("0", 0)]
)
def test_birads_categories(value, number):
    assert birads_number(value) == number


def test_what_is_no_category_is_refused():
    for value in ("7", "high", "4.5", "-1"):
        with pytest.raises(InputError, match="birads"):
            birads_number(value)


def test_pathology_is_what_is_said_else_what_the_category_suspects():
    assert [pathology_word(None, n) for n in (None, 0, 1, 2, 3, 4, 5, 6)] == [None] * 3 + ["benign"] * 2 + [
        "malignant"
    ] * 3
    assert pathology_word("Benign", 5) == "benign"
    with pytest.raises(InputError, match="malignant"):
        pathology_word("malign", None)


def test_words_of_kinds_sections_and_findings():
    assert [kind_word(v) for v in ("Mass", "calcifications", "", "other")] == [
        "mass",
        "calcification",
        "lesion",
        "other",
    ]
    assert [section_word(v) for v in ("train", "Test", "val", "")] == ["training", "test", "validation", None]
    assert findings_of("mass,calcification") == findings_of(("mass", "calcification")) == ("mass", "calcification")
    assert findings_of("all") == ("mass", "calcification", "lesion", "other")
    for read in (kind_word, section_word, findings_of):
        with pytest.raises(InputError, match="did you mean"):
            read("spiculated thing")


def test_circles_from_the_bottom_and_from_the_top():
    top = draw_mark(LesionMark("mass", circle=(10, 5, 3)), (40, 30))
    bottom = draw_mark(LesionMark("mass", circle=(10, 34, 3), from_bottom=True), (40, 30))
    np.testing.assert_array_equal(top, bottom)
    rows, columns = np.nonzero(top)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 8, 7, 13)
    assert top.sum() == 29  # of 49: a disc
    assert draw_mark(LesionMark("mass", circle=(10, 5, 0.1)), (40, 30)).sum() == 1


def test_boxes_touch_every_pixel_they_cover_and_are_cut_at_the_image():
    drawn = draw_mark(LesionMark("mass", box=(2.5, 3, 5.2, 6)), (10, 10))
    assert drawn[3:6, 2:6].all() and drawn.sum() == 12
    drawn = draw_mark(LesionMark("mass", box=(-4, -4, 2, 3)), (10, 10))
    assert drawn[:3, :2].all() and drawn.sum() == 6
    ellipse = draw_mark(LesionMark("mass", box=(0, 0, 10, 6)), (10, 10), "ellipse")
    assert 0.7 < ellipse.sum() / 60 < 0.85 and ellipse[3, 5] and not ellipse[0, 0]
    assert draw_mark(LesionMark("mass", box=(4, 4, 5, 5)), (10, 10), "ellipse").sum() == 1


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (7, 5, 4, 9), (10, 0, 14, 5), (-9, -9, 0, 0)])
def test_empty_boxes_and_those_beside_the_image_are_refused(box):
    with pytest.raises(InputError, match="box"):
        draw_mark(LesionMark("mass", box=box), (10, 10))


def test_a_small_lesion_in_a_large_one_keeps_its_number():
    marks = [LesionMark("mass", box=(0, 0, 40, 40)), LesionMark("calcification", box=(10, 10, 20, 20))]
    for order in (marks, marks[::-1]):
        placed = place_lesions(order, MammogramFrame((64, 64), 32, flip=False))
        assert np.unique(placed.label).tolist() == [0, 1, 2]
        assert [entry["number"] for entry in placed.entries] == [1, 2] and placed.lost == []


def test_a_lesion_without_a_place_is_known_and_not_drawn():
    placed = place_lesions([LesionMark("calcification", 4, "malignant")], MammogramFrame((64, 64), 32, flip=False))
    assert placed.label is None
    assert placed.entries == [
        {"number": 1, "type": "calcification", "birads": 4, "pathology": "malignant", "box": None}
    ]


def test_what_the_frame_leaves_out_is_not_drawn_at_its_edge():
    frame = MammogramFrame((100, 64), 32, flip=False, fit="crop")  # shows rows 18 to 81
    placed = place_lesions([LesionMark("mass", box=(5, 4, 15, 18))], frame)
    assert placed.label is None and placed.entries == []
    assert placed.lost == [{"number": 1, "type": "mass", "shown": 0.0}]


def records(*sections_of_patients):
    return [
        MammogramRecord(name=f"{patient}_{k}", path=f"{patient}_{k}", patient=patient, section=section)
        for k, (patient, section) in enumerate(sections_of_patients)
    ]


def test_own_divisions_do_not_leak_and_lend_validation():
    several = records(("a", "training"), ("a", "test"), *((f"p{k}", "training") for k in range(8)))
    sections = sections_of_records(several, "own", (0.6, 0.2, 0.2), 0)
    assert sections["a"] == "test"
    assert sorted(sections.values()).count("validation") == 2 and sorted(sections.values()).count("training") == 6
    told = records(("a", "training"), ("b", "validation"), ("c", "test"))
    assert sections_of_records(told, "own", (0.8, 0.1, 0.1), 0) == {"a": "training", "b": "validation", "c": "test"}
    with pytest.raises(InputError, match="no section for b_0"):
        sections_of_records(records(("b", None)), "own", (0.8, 0.1, 0.1), 0)


def test_names_are_unique():
    with pytest.raises(InputError, match="one name"):
        check_unique([MammogramRecord("a", "x/a.png", "a"), MammogramRecord("a", "y/a.png", "a")], "source")
