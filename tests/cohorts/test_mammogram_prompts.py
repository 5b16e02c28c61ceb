import itertools
from dataclasses import replace

import pytest
import torch

from common.cohorts.mammogram_prompts import (
    FORMS,
    PRIORITIES,
    MammogramAttributes,
    attributes_from_knobs,
    check_attributes,
    compose,
    density_word,
    parse,
    random_prompt,
    said,
    words,
)
from common.errors import InputError

LESIONS = [(None, None), ("none", None)]
LESIONS += list(itertools.product(("mass", "calcification", "lesion"), (None, "benign", "malignant")))


def all_attributes():
    """The whole product of values."""
    views, areas = (None, "CC", "MLO", "LM", "ML"), (None, "small", "medium", "big")
    vendors, densities = (None, "hologic", "siemens"), (None, "A", "B", "C", "D")
    for view, vendor, density, area, (lesion, pathology), magnified in itertools.product(
        views, vendors, densities, areas, LESIONS, (False, True)
    ):
        yield MammogramAttributes(view, vendor, density, area, lesion, pathology, magnified)


def sentences():
    """Every sentence that the grammar can write, with what it says."""
    for attributes in all_attributes():
        for form, priority in [(form, "area") for form in FORMS] + [("fused", other) for other in PRIORITIES[1:]]:
            try:
                told = said(attributes, priority, form)
            except InputError:
                continue
            yield compose(attributes, priority, form), told


def test_every_sentence_is_read_back_as_what_it_says():
    read, count = {}, 0
    for prompt, told in sentences():
        read.setdefault(prompt, told)
        assert read[prompt] == told, prompt
        count += 1
    assert all(parse(prompt) == told for prompt, told in read.items())
    assert count > 20000
    # The fused form in its two orders loses nothing, so that no two sets of attributes share a sentence.
    assert len(read) >= sum(1 for _ in all_attributes())


def test_fused_form_with_nothing_left_out_says_all():
    assert all(said(attributes) == attributes for attributes in all_attributes())


ALL = MammogramAttributes("MLO", "siemens", "C", "small")


@pytest.mark.parametrize(
    ("attributes", "priority", "form", "prompt"),
    [
        (ALL, "density", "fused", "a siemens mammogram in MLO view with high density and small area"),
        (ALL, "area", "fused", "a siemens mammogram in MLO view with small area and high density"),
        (ALL, "only area", "fused", "a siemens mammogram in MLO view with small area"),
        (ALL, "only density", "fused", "a siemens mammogram in MLO view with high density"),
        (replace(ALL, density=None), "area", "fused", "a siemens mammogram in MLO view with small area"),
        (replace(ALL, vendor="hologic"), "area", "area", "a mammogram in MLO view with small area"),
        (replace(ALL, density="A"), "area", "density", "a mammogram in MLO view with very low density"),
        (replace(ALL, view="LM"), "area", "view", "a mammogram in LM view"),
        (ALL, "area", "comma", "mammogram, MLO view, small size"),
        (replace(ALL, lesion="none"), "area", "comma", "mammogram, MLO view, small size, healthy"),
        (replace(ALL, lesion="mass"), "area", "comma", "mammogram, MLO view, small size, with lesion"),
        (MammogramAttributes("CC", lesion="mass"), "area", "comma", "mammogram, CC view"),
        (replace(ALL, lesion="mass"), "area", "inpainting", "a mammogram with a lesion"),
        (MammogramAttributes(lesion="lesion"), "area", "fused", "a mammogram with a lesion"),
        (replace(ALL, lesion="mass"), "area", "patch", "magnification of a lesion"),
        (MammogramAttributes(), "area", "fused", "a mammogram"),
        (MammogramAttributes(vendor="hologic"), "density", "fused", "a hologic mammogram"),
        (MammogramAttributes("CC", lesion="mass", pathology="benign"), "area", "fused", None),
        (
            replace(ALL, lesion="calcification", pathology="malignant"),
            "density",
            "fused",
            "a siemens mammogram in MLO view with high density and small area, with malignant calcifications",
        ),
        (
            MammogramAttributes(vendor="siemens", density="D", lesion="none", magnified=True),
            "area",
            "fused",
            "a magnified siemens mammogram with very high density, without a lesion",
        ),
    ],
)
def test_sentences_word_for_word(attributes, priority, form, prompt):
    expected = prompt or "a mammogram in CC view with a benign mass"
    assert compose(attributes, priority, form) == expected
    assert parse(expected) == said(attributes, priority, form)


def test_reading_forgives_case_spaces_full_stops_and_commas():
    told = MammogramAttributes("MLO", "siemens", "D", "big", "mass", "benign")
    assert parse("  A Siemens mammogram in mlo VIEW  with very  HIGH density and big area with a benign mass. ") == told
    assert parse("a mammogram, with a mass") == parse("a mammogram with a mass") == MammogramAttributes(lesion="mass")
    assert parse("a zeiss mammogram", vendors=("zeiss",)).vendor == "zeiss"


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a mammogram in MLO view with hgh density", "density word 'hgh': did you mean high?"),
        ("a mammogram in MLO view with hihg density and small area", "did you mean high?"),
        ("a mammogram with smal area", "area word 'smal': did you mean small?"),
        ("a mammogram with high area", "area word 'high'"),
        ("a mammogram in MLOO view", "view word 'mloo': did you mean MLO?"),
        ("a simens mammogram", "vendor word 'simens': did you mean siemens?"),
        ("a mamogram in MLO view", "did you mean mammogram?"),
        ("a mammogram with a benign mas", "lesion word 'mas': did you mean mass?"),
        ("a mammogram with malignant calcification", "did you mean calcifications?"),
        ("a mammogram with benign benign calcifications", "pathology twice"),
        ("a mammogram with high density and low density", "says the density twice"),
        ("a mammogram with high", "neither area nor density"),
        ("a mammogram in MLO", "it ends where 'view' is expected"),
        ("a mammogram in", "view word ''"),
        ("a mammogram with a mass with high density", "nothing is expected from 'with' on"),
        ("mammogram, MLO view, tiny size", "size word 'tiny'"),
        ("an x-ray", "'an' where 'a' is expected"),
        (" ", "is empty"),
    ],
)
def test_what_is_no_sentence_is_refused_with_the_nearest_word(prompt, told):
    with pytest.raises(InputError, match=".") as refused:
        parse(prompt)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_knobs_take_letters_and_words_in_any_case():
    wanted = MammogramAttributes("MLO", "siemens", "D", "big", "calcification", "benign")
    assert attributes_from_knobs("mlo", "Siemens", "Very High", "BIG", "calcifications", "benign") == wanted
    assert attributes_from_knobs(density="d").density == "D"
    assert attributes_from_knobs(view="", vendor=None) == MammogramAttributes()
    assert [density_word(letter) for letter in "ABCD"] == ["very low", "low", "high", "very high"]


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"density": "hgh"}, "density 'hgh': did you mean high?"),
        ({"density": "E"}, "density 'E'"),
        ({"view": "MLOO"}, "did you mean MLO?"),
        ({"vendor": "holgic"}, "did you mean hologic?"),
        ({"area": "large"}, "There are small, medium, big"),
        ({"lesion": "masses"}, "did you mean mass?"),
        ({"pathology": "malign", "lesion": "mass"}, "did you mean malignant?"),
        ({"pathology": "benign"}, "there is no lesion"),
        ({"pathology": "benign", "lesion": "none"}, "there is no lesion"),
    ],
)
def test_unknown_knob_is_refused_with_the_nearest(knobs, told):
    with pytest.raises(InputError) as refused:
        attributes_from_knobs(**knobs)
    assert told in str(refused.value)


def test_attributes_that_no_sentence_can_say_are_refused():
    for wrong in ({"vendor": "GE"}, {"vendor": "two words"}, {"vendor": "view"}, {"density": "high"}, {"view": "mlo"}):
        with pytest.raises(InputError):
            check_attributes(MammogramAttributes(**wrong))
    with pytest.raises(InputError, match="priority only area: says area; give area"):
        compose(MammogramAttributes(density="C"), "only area")
    with pytest.raises(InputError, match="form comma: says view; give view"):
        compose(MammogramAttributes(area="big"), form="comma")
    with pytest.raises(InputError, match="form patch"):
        compose(MammogramAttributes(lesion="none"), form="patch")
    with pytest.raises(InputError, match="did you mean density"):
        compose(ALL, priority="densty")
    with pytest.raises(InputError, match="did you mean fused"):
        compose(ALL, form="fuse")


def test_random_prompts_drop_each_attribute_at_its_rate_and_keep_the_lesion():
    whole = replace(ALL, lesion="mass", pathology="benign", magnified=True)
    generator = torch.Generator().manual_seed(3)
    prompts = [random_prompt(whole, generator, keep=0.8) for _ in range(1500)]
    read = [parse(prompt) for prompt in prompts]
    for slot in ("view", "vendor", "density", "area", "pathology"):
        values = [getattr(told, slot) for told in read]
        assert set(values) == {None, getattr(whole, slot)}
        assert sum(value is not None for value in values) / 1500 == pytest.approx(0.8, abs=0.04)
    assert all(told.lesion == "mass" and told.magnified for told in read)
    both = [prompt for prompt, told in zip(prompts, read, strict=True) if told.area and told.density]
    assert sum("density and" in prompt for prompt in both) / len(both) == pytest.approx(0.5, abs=0.06)


def test_random_prompts_follow_from_the_seed_whatever_is_known():
    def after(attributes):
        generator = torch.Generator().manual_seed(1)
        random_prompt(attributes, generator)
        return random_prompt(ALL, generator)

    assert after(ALL) == after(MammogramAttributes())
    assert random_prompt(ALL, torch.Generator().manual_seed(5), keep=1.0) in (compose(ALL), compose(ALL, "density"))
    assert random_prompt(ALL, torch.Generator().manual_seed(5), keep=0.0) == "a mammogram"


def test_vocabulary_holds_every_word_of_every_sentence_and_no_other():
    known = words()
    assert len(set(known)) == len(known) and all(word == word.lower() for word in known)
    used = {word for prompt, _ in sentences() for word in prompt.lower().replace(",", " , ").split()}
    assert used <= set(known)
    # Only vendors that the product above leaves out are not used.
    assert set(words(("hologic", "siemens"))) == used
