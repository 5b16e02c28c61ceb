"""Where everything lies below the folder that `scripts/nnunet.py` works in."""

from __future__ import annotations

import os
from pathlib import Path

CASES = "cases.json"
REPORT_SCORES = "scores.csv"
CONFIGURATION = "3d_fullres"
PLANS = "nnUNetPlans"
RECIPE = "recipe.json"
STATE = "state.json"
SUFFIX = ".nii.gz"


class Workspace:
    """Folders of one comparison.

    Attributes:
        root: everything lies below it.
        prepared: `<ingredient>/<case>_<side>_0000.nii.gz`, `labels/`, `test_<ingredient>/`, `cases.json`.
        raw, preprocessed, results: nnU-Net's three folders.
        predictions: `<model>_on_<test>_folds<numbers>/<case>_<side>.nii.gz`.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()
        self.prepared = self.root / "prepared"
        self.raw = self.root / "nnUNet_raw"
        self.preprocessed = self.root / "nnUNet_preprocessed"
        self.results = self.root / "nnUNet_results"
        self.predictions = self.root / "predictions"

    def activate(self) -> None:
        """Tell nnU-Net its folders, and to work in this process where it can."""
        for folder in (self.raw, self.preprocessed, self.results):
            folder.mkdir(parents=True, exist_ok=True)
            os.environ[folder.name] = str(folder)
        os.environ.setdefault("nnUNet_compile", "F")

    def has_trained(self) -> bool:
        """Whether a fold of any model has been begun."""
        return any(self.results.glob(f"*/*/fold_*/{RECIPE}"))

    def image(self, ingredient: str, crop: str, test: bool = False) -> Path:
        """Image of a crop (`<case>_<side>`)."""
        return self.prepared / (f"test_{ingredient}" if test else ingredient) / f"{crop}_0000{SUFFIX}"

    def label(self, crop: str) -> Path:
        """Mask of a training crop."""
        return self.prepared / "labels" / f"{crop}{SUFFIX}"

    def model_folder(self, dataset: str) -> Path:
        """nnU-Net's folder of a trained model."""
        return self.results / dataset / f"nnUNetTrainer__{PLANS}__{CONFIGURATION}"

    def fold_weights(self, dataset: str, fold: int) -> Path:
        """Final weights of a fold."""
        return self.model_folder(dataset) / f"fold_{fold}" / "checkpoint_final.pth"
