"""The one table of output file names.

A sample has a folder of its own, which appears whole: contrasts, the mask that was used, a picture, provenance.
"""

from __future__ import annotations

DATALIST = "datalist.json"
CHECKED_CASES = "checked.jsonl"
CHECKPOINT = "checkpoint.pt"
LEARNING_CURVE = "learning_curve.csv"
PREVIEWS = "previews"
EVALUATION_RECORDS = "records"
CASES_CSV = "cases.csv"
LESIONS_CSV = "lesions.csv"
COPIES_CSV = "copies.csv"
COPY_SHEET = "closest_pairs.png"
CONFUSION_CHART = "confusion.png"
SAMPLES_SHEET = "samples.png"
CAD_FIGURE = "cad_figure.png"
GUIDANCE_PLOT = "guidance.png"
GUIDANCE_CSV = "guidance.csv"
KINETICS_CSV = "kinetics.csv"
KINETICS_COHORT = "kinetics_cohort.png"
KINETICS_LESIONS = "kinetics_lesions.png"
CANDIDATES = "candidates"
CANDIDATE_METRICS = "metrics.csv"
CANDIDATE_TRAINING = "training.sha256"
SAME = "same.json"
PREVIEW = "preview.png"
PROVENANCE = "provenance.json"
REPORT_JSON = "report.json"
REPORT_MARKDOWN = "report.md"
REPORT_HTML = "report.html"
REPORT_FIGURES = "figures"


def sample_name(case: str, sample: int) -> str:
    """`<case>_sample<k>`: name of the folder and start of the names of its files."""
    return f"{case}_sample{sample}"


def contrast_file(case: str, sample: int, contrast: str) -> str:
    """`<case>_sample<k>_<contrast>.nii.gz`, contrast as T1, T1C, T2 or FLAIR."""
    return f"{sample_name(case, sample)}_{contrast}.nii.gz"


def mask_file(case: str, sample: int, suffix: str = ".nii.gz") -> str:
    """`<case>_sample<k>_mask<suffix>`: `.nii.gz`, or `.seg.nrrd` for 3D Slicer."""
    return f"{sample_name(case, sample)}_mask{suffix}"


def dce_file(case: str, kind: str, phase: int, suffix: str = ".nii.gz") -> str:
    """`<case>_<kind><phase><suffix>`: kind is `phase`, `subtraction` or `mip` (of the subtraction)."""
    return f"{case}_{kind}{phase}{suffix}"


def tumour_mask_file(case: str, suffix: str = ".nii.gz") -> str:
    """`<case>_mask<suffix>`: `.nii.gz` or `.nrrd` label map, `.seg.nrrd`, or `.dcm` for DICOM SEG."""
    return f"{case}_mask{suffix}"


def mip_file(case: str, sample: int, suffix: str) -> str:
    """`<case>_sample<k>_mip<suffix>`: `.nii.gz` or `.nrrd` for values, `.png` for viewers."""
    return f"{sample_name(case, sample)}_mip{suffix}"


def mammogram_file(sample: str, suffix: str, kind: str = "mammogram") -> str:
    """`<case>_sample<k>_mammogram<suffix>`, or `_mask`; `sample` is the folder's name."""
    return f"{sample}_{kind}{suffix}"


def contact_sheet(case: str) -> str:
    """`<case>_samples.png`: a mask and all its samples."""
    return f"{case}_samples.png"
