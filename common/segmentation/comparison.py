"""The four scenarios: which models are compared on which images, scored on whole volumes, in one report."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.transforms import Orientation

from ..errors import InputError
from ..evaluation.mask_comparison import comparison_row
from ..io.files import sha256_of_file, sha256_of_json, write_text
from ..io.volumes import load_volume
from ..metrics.segmentation import mask_scores
from ..reports.report import Report
from .layout import RECIPE, REPORT_SCORES, Workspace
from .prediction import predict_crops, trained_folds
from .prepare import paste_sides
from .recipes import FOLDS, MODELS, SCENARIOS, dataset_name

SCORE_COLUMNS = ("scenario", "model", "test", "folds", "case", "patient", "dice", "hd95")


def prediction_folder(workspace: Workspace, model: str, test: str, folds: Sequence[int]) -> Path:
    """`<model>_on_<test>_folds<numbers>`."""
    return workspace.predictions / f"{model}_on_{test}_folds{''.join(map(str, folds))}"


def predict_test(
    workspace: Workspace,
    content: Mapping[str, Any],
    model: str,
    test: str,
    folds: Sequence[int],
    mirroring: bool,
    device: str,
    precision: str,
) -> Path:
    """Predictions of all crops of the test cases' images of one kind; returns their folder."""
    images = [
        workspace.image(test, f"{record['case']}_{side}", True)
        for record in content["test"]
        for side in record["sides"][test]
    ]
    output = prediction_folder(workspace, model, test, folds)
    return predict_crops(workspace, model, images, output, folds, mirroring, device, precision, replace=True)


def score_test(
    workspace: Workspace, content: Mapping[str, Any], model: str, test: str, folds: Sequence[int]
) -> list[dict[str, Any]]:
    """Dice and HD95 of each test case on its whole volume, both breasts.

    Raises:
        InputError: a prediction is missing.
    """
    folder = prediction_folder(workspace, model, test, folds)
    rows = []
    for record in content["test"]:
        truth = Orientation(axcodes="LPS", labels=None)(load_volume(record["label"]))
        predicted = paste_sides(workspace, folder, record, test)
        scores = mask_scores(predicted, truth[0].as_tensor() > 0, [float(s) for s in truth.pixdim])
        rows.append({"case": record["case"], "patient": record["patient"], **scores})
    return rows


def compare(
    workspace: Workspace,
    content: Mapping[str, Any],
    mirroring: bool = True,
    device: str = "cuda",
    precision: str = "fp32",
    seed: int = 0,
) -> Report:
    """Predict, score and report every scenario as far as its models are trained.

    A model is predicted by the folds that all models of its scenario have, so that ensembles of one size are compared.

    Args:
        workspace: with trained models.
        content: of `read_cases`.
        mirroring, device, precision: see `predict_crops`.
        seed: of the bootstrap.

    Raises:
        InputError: no scenario has a trained baseline, or there is no test case.
    """
    if not content["test"]:
        raise InputError(f"{workspace.root}: has no test case; convert again from a datalist with a test section")
    report = Report("Breast tumour segmentation: real, synthetic and mixed training data")
    report.facts = {
        "training cases": len(content["training"]),
        "test patients": len({record["patient"] for record in content["test"]}),
        "scores": "one a test case, on its whole volume; HD95 in millimetres, over cases with a predicted tumour",
        "intervals": f"95 % percentile bootstrap over patients, seed {seed}",
        "mirroring": mirroring,
        "precision": "nnU-Net's on CUDA" if device.startswith("cuda") else precision,
        **_training_facts(workspace),
    }
    scores: dict[tuple[str, str, tuple[int, ...]], list[dict[str, Any]]] = {}
    rows_of_csv = []
    for number, scenario in SCENARIOS.items():
        trained = {model: set(trained_folds(workspace, model)) for model in scenario.models}
        first = trained[scenario.models[0]]
        if not first:
            continue
        models = [model for model in scenario.models if trained[model] & first]
        folds = tuple(sorted(set.intersection(*(trained[model] for model in models))))
        if not folds:
            models, folds = [scenario.models[0]], tuple(sorted(first))
        rows = []
        for model in models:
            key = (model, scenario.test, folds)
            if key not in scores:
                predict_test(workspace, content, *key, mirroring, device, precision)
                scores[key] = score_test(workspace, content, *key)
            baseline = None if model == models[0] else scores[(models[0], scenario.test, folds)]
            row = comparison_row(scores[key], baseline, seed)
            rows.append({"trained on": model.replace("_", " + ")} | row)
            rows_of_csv += [
                {
                    "scenario": number,
                    "model": model,
                    "test": scenario.test,
                    "folds": " ".join(map(str, folds)),
                    **{k: f"{v:.6g}" if isinstance(v, float) else v for k, v in entry.items()},
                }
                for entry in scores[key]
            ]
        report.add(f"Scenario {number}: {scenario.title}", list(rows[0]), rows, _note(scenario.models, models, folds))
    if not report.tables:
        raise InputError(f"{workspace.root}: no scenario has a trained baseline; run nnunet.py train first")
    write_text(workspace.root / REPORT_SCORES, _csv(rows_of_csv))
    report.write(workspace.root)
    return report


def _training_facts(workspace: Workspace) -> dict[str, Any]:
    """How the models were trained, which has to be the same for all, and a hash over their weights.

    Raises:
        InputError: folds were trained by different recipes, or by other means than `nnunet.py train`.
    """
    recipes, weights = [], {}
    for model in MODELS:
        for fold in trained_folds(workspace, model):
            path = workspace.fold_weights(dataset_name(model), fold)
            if not (path.parent / RECIPE).is_file():
                raise InputError(
                    f"{path.parent}: was not trained by nnunet.py train; models of one recipe are compared"
                )
            recipe = json.loads((path.parent / RECIPE).read_text(encoding="utf-8"))
            recipes.append({key: value for key, value in recipe.items() if key not in ("model", "fold")})
            weights[f"{model} {fold}"] = sha256_of_file(path)
            if recipes[-1] != recipes[0]:
                changed = sorted(key for key in recipes[0] if recipes[0][key] != recipes[-1].get(key))
                raise InputError(f"{path.parent}: differs from other folds in {', '.join(changed)}; train it again")
    if not recipes:
        return {}
    shown = ("epochs", "iterations", "optimizer", "learning_rate")
    sizes = recipes[0]["configuration"]
    return {
        **{key: recipes[0][key] for key in shown},
        "patches a step": f"{sizes['batch_size']} of {sizes['patch_size']}",
        "features": sizes["architecture"]["arch_kwargs"]["features_per_stage"],
        "cases sha256": recipes[0]["cases"],
        "weights sha256": sha256_of_json(weights),
    }


def _note(wanted: Sequence[str], found: Sequence[str], folds: Sequence[int]) -> str:
    missing = [model for model in wanted if model not in found]
    text = f"Ensemble of {len(folds)} of {FOLDS} folds ({', '.join(map(str, folds))})."
    return text + (f" Not trained yet: {', '.join(missing)}." if missing else "")


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, SCORE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
