import numpy as np
import pytest
import torch

from common.engines.mammogram_reading import (
    HeadOutput,
    ReaderInTraining,
    ReadingLoss,
    ReadingPrepareBatch,
    head_sizes,
    reading_metrics,
)
from common.engines.reading_items import (
    FOUND,
    NO_ANSWER,
    OTHER,
    UNSURE,
    CheckAnswers,
    LesionSampler,
    ReadingTargetsd,
    answer,
    reading_items,
)
from common.errors import InputError
from common.metrics.roc import roc_auc
from common.networks.mammogram_reader import MammogramReader

VIEWS = {"view": ["CC", "MLO"], "density": ["A", "B"]}
CAD = {"malignant": ["no", "yes"]}


def item(number=0, lesions=(), **entries):
    kinds = [{"number": k, "type": kind, "pathology": what} for k, (kind, what) in enumerate(lesions, 1)]
    return {"case": f"c{number}", "lesions": kinds, **({"label": "l"} if lesions else {}), **entries}


@pytest.mark.parametrize(
    ("lesions", "expected"),
    [
        ([], "no"),
        ([("mass", "benign")], "no"),
        ([("mass", "malignant")], "yes"),
        ([("mass", None)], None),
        ([("mass", None), ("mass", "malignant")], "yes"),
    ],
)
def test_malignant_is_answered_where_every_lesion_is_known(lesions, expected):
    assert answer(item(lesions=lesions), "malignant") == expected
    hidden = {key: value for key, value in item(lesions=[("mass", "malignant")]).items() if key != "label"}
    assert answer(hidden, "malignant") is None


def test_malignancy_of_types_that_cannot_be_seen_is_left_open():
    items = [item(0), item(1, [("mass", "malignant")]), item(2, [("calcification", "malignant")])]
    items.append(item(3, [("calcification", "benign")]))
    kept = reading_items(items, CAD, ["mass"])
    assert [entry["case"] for entry in kept] == ["c0", "c1", "c3"]
    assert reading_items(items, CAD) == items
    CheckAnswers(kept, CAD)()
    with pytest.raises(InputError, match="malignant yes"):
        CheckAnswers(reading_items(items[:1] + items[2:], CAD, ["mass"]), CAD)()


def test_targets_number_the_answers_and_say_what_is_where():
    label = torch.zeros(1, 4, 4, dtype=torch.uint8)
    label[0, 0, 0], label[0, 1, 1], label[0, 2, 2] = 1, 2, 3
    lesions = [("mass", "malignant"), ("mass", "benign"), ("mass", None)]
    entry = {**item(lesions=lesions, view="MLO", density="C"), "label": label}
    found = ReadingTargetsd(VIEWS)(entry)
    assert found["target"].tolist() == [1, NO_ANSWER]
    assert [int(found["label"][0, k, k]) for k in range(4)] == [FOUND, OTHER, UNSURE, 0]


def test_an_epoch_holds_every_lesion_and_others_that_change():
    items = [item(k, [("mass", "benign")] if k % 4 == 0 else []) for k in range(20)]
    sampler, epochs = LesionSampler(items, others=1.0), []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        order = list(sampler)
        assert len(order) == len(sampler) == len(set(order)) == 10
        assert {0, 4, 8, 12, 16} <= set(order)
        epochs.append(frozenset(order))
    assert len(set(epochs)) == 3
    sampler.set_epoch(1)
    assert frozenset(sampler) == epochs[1]
    assert sorted(LesionSampler(items)) == list(range(20))
    shares = [list(LesionSampler(items, 1.0, rank=rank, world_size=2)) for rank in range(2)]
    assert len(set(shares[0]) | set(shares[1])) == 10


def test_close_looks_hold_the_lesion_and_answer_for_what_they_show():
    torch.manual_seed(0)
    places = torch.zeros(3, 1, 64, 64, dtype=torch.uint8)
    places[0, 0, 60:63, 2:5], places[1, 0, 30:33, 30:33] = FOUND, OTHER
    image = torch.full((3, 1, 64, 64), -1.0)
    image[..., :40] = 0.0
    batch = {"image": image, "label": places, "target": torch.tensor([[1], [0], [1]])}
    prepare = ReadingPrepareBatch(close_look=32, share=1.0, malignant=0)
    for _ in range(20):
        looked, (target, where), _, _ = prepare(batch)
        assert looked.shape == where.shape == (3, 1, 32, 32)
        assert target.flatten().tolist() == [1, 0, 0]
        assert (where[0] == FOUND).any()
        assert (where[1] == OTHER).any()
        assert (looked[2] > -0.9).any()
    whole, (target, _), _, _ = ReadingPrepareBatch(close_look=32, share=0.0, malignant=0)(batch)
    assert torch.equal(whole, image)
    assert target.flatten().tolist() == [1, 0, 1]


def test_a_close_look_without_the_malignant_lesion_answers_no_and_one_with_an_unknown_one_nothing():
    places = torch.zeros(2, 1, 128, 128, dtype=torch.uint8)
    places[0, 0, 4, 4], places[0, 0, 120, 120], places[1, 0, 64, 64] = FOUND, OTHER, UNSURE
    batch = {"image": torch.zeros(2, 1, 128, 128), "label": places, "target": torch.tensor([[1], [NO_ANSWER]])}
    torch.manual_seed(0)
    targets = [ReadingPrepareBatch(32, 1.0, 0)(batch)[1][0].flatten().tolist() for _ in range(20)]
    assert {target[0] for target in targets} == {0, 1}
    assert {target[1] for target in targets} == {NO_ANSWER}


def test_loss_leaves_out_what_nobody_knows():
    items = [{"view": "CC", "density": "A"}, {"view": "MLO", "density": "B"}]
    loss = ReadingLoss(items, VIEWS)
    pred = {"view": torch.tensor([[2.0, 0.0]] * 2), "density": torch.zeros(2, 2), "places": torch.zeros(2, 3, 2, 2)}
    places = torch.zeros(2, 1, 4, 4)
    known = loss(pred, (torch.tensor([[0, NO_ANSWER], [0, NO_ANSWER]]), places))
    assert float(known) == pytest.approx(float(torch.log1p(torch.exp(torch.tensor(-2.0)))) / 2)
    assert float(loss(pred, (torch.full((2, 2), NO_ANSWER), places))) == 0.0
    located = ReadingLoss(items, VIEWS, places_weight=1.0)
    assert float(located(pred, (torch.full((2, 2), NO_ANSWER), places))) == pytest.approx(np.log(3), abs=1e-5)
    assert float(located(pred, (torch.full((2, 2), NO_ANSWER), places + UNSURE))) == 0.0


def test_rare_words_weigh_more_by_the_root():
    items = [item(k, [("mass", "malignant")] if k < 2 else []) for k in range(10)]
    weights = ReadingLoss(items, CAD).weights_malignant
    assert float(weights[1] / weights[0]) == pytest.approx(2.0)


def test_reader_in_training_learns_through_its_map_and_leaves_no_hook():
    torch.manual_seed(0)
    reader = MammogramReader(head_sizes(CAD), channels=[8, 8], downsamplings=2, groups=4)
    network = ReaderInTraining(reader, 8)
    found = network(torch.rand(2, 1, 32, 32))
    assert found["places"].shape == (2, 3, 8, 8)
    found["places"][:, 1].square().sum().backward()
    assert reader.features[0].weight.grad.abs().sum() > 0
    assert not reader.features._forward_hooks
    assert all(key.startswith(("features", "heads")) for key in reader.state_dict())


def test_metrics_ignore_what_has_no_answer():
    output = {
        "pred": {"malignant": torch.tensor([[0.0, 2.0], [2.0, 0.0], [0.0, 9.0]])},
        "label": (torch.tensor([[1], [0], [NO_ANSWER]]), None),
    }
    scores, answers = HeadOutput("malignant", 0, score=True)(output)
    assert answers.tolist() == [1, 0]
    assert scores[0] > scores[1]
    assert list(reading_metrics(VIEWS)) == ["view_accuracy", "view_auc", "density_accuracy", "density_auc"]


def test_roc_area_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 5, 40), rng.random(40) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[truth] for b in scores[~truth]]
    assert roc_auc(scores, truth) == pytest.approx(np.mean(pairs))
    assert np.isnan(roc_auc([1, 2], [True, True]))
