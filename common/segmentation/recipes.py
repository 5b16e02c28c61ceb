"""What the models of the four scenarios are made of (Osuala et al. 2024, section 6.6 of the downstream experiments).

An ingredient is one image a patient: `pre`, the pre-contrast volume; `post`, a real post-contrast phase; `syn`, the
synthetic phase that was made from `pre`. A model's first ingredient decides what its folds are validated on; the others
are copies that follow their patient into the training part of a fold and never into its validation part.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError

INGREDIENTS = ("pre", "post", "syn")
FOLDS = 5
# All ingredients are one data set of nnU-Net, planned and preprocessed once; each model is a view of it.
INGREDIENT_DATASET = "Dataset500_BreastIngredients"
FIRST_DATASET = 501


@dataclass(frozen=True)
class Model:
    """One of the seven trainings.

    Attributes:
        name: as in tables and folders.
        train: ingredients of the training part of a fold.
        validation: ingredient of the validation part; always a real one. The last weights are used, whatever they score
            there.
    """

    name: str
    train: tuple[str, ...]
    validation: str


@dataclass(frozen=True)
class Scenario:
    """One question: models that are compared on one kind of test image; the first is the baseline."""

    title: str
    models: tuple[str, ...]
    test: str


MODELS = {
    model.name: model
    for model in (
        Model("pre", ("pre",), "pre"),
        Model("pre_syn", ("pre", "syn"), "pre"),
        Model("syn", ("syn",), "post"),
        Model("post", ("post",), "post"),
        Model("post_syn", ("post", "syn"), "post"),
        Model("post_pre", ("post", "pre"), "post"),
        Model("post_pre_syn", ("post", "pre", "syn"), "post"),
    )
}
SCENARIOS = {
    1: Scenario("pre-contrast alone", ("pre", "pre_syn", "syn"), "pre"),
    2: Scenario("trained before, tested after contrast", ("pre", "pre_syn", "syn"), "post"),
    3: Scenario("post-contrast", ("post", "post_syn", "post_pre", "post_pre_syn", "syn"), "post"),
    4: Scenario("trained after, tested before contrast", ("post", "post_syn", "syn"), "pre"),
}


def find_model(name: str) -> Model:
    """The model of a name.

    Raises:
        InputError: there is none.
    """
    if name not in MODELS:
        raise InputError(f"model {name}: unknown; choose from {', '.join(MODELS)}")
    return MODELS[name]


def dataset_name(model: str) -> str:
    """`DatasetXXX_Breast_<model>`: nnU-Net's name of a model's data set."""
    return f"Dataset{FIRST_DATASET + list(MODELS).index(model):03d}_Breast_{model}"
