"""The divisions of Duke-Breast-Cancer-MRI that the paper used, and the one of ours that has no leaks between tasks.

The paper (Osuala et al., arXiv 2409.18872) divides the 922 patients once for each task, and patients of one task's test
stand in another's training. `leak_free` is one division for all tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..errors import InputError
from .datalist import SECTIONS, split_by_patient

LEAK_FREE = "leak_free"
NUM_FOLDS = 5
_FOLD_SEED = 12345  # nnU-Net's


def _name(number: str | int) -> str:
    return f"Breast_MRI_{int(number):03d}"


def _ids(numbers: str) -> tuple[str, ...]:
    return tuple(_name(number) for number in numbers.split())


PATIENTS = tuple(_name(number) for number in range(1, 923))
SINGLE_PHASE_VALIDATION = _ids(
    """
    001 002 005 010 012 019 021 022 028 032 043 044 051 055 057 059 060 061 069 071 077 082 091 099 101 103 104
    105 107 114 115 116 117 119 120 123 129 132 134 136 137 141 142 144 150 156 157 160 167 168 176 177 178 180
    185 189 192 198 202 205 211 218 225 228 233 234 236 237 239 240 244 253 255 258 265 269 271 275 282 283 290
    298 301 303 304 306 313 317 323 328 333 338 345 350 353 360 383 386 395 397 398 399 400 407 408 424 428 429
    435 438 441 444 454 457 464 465 468 474 486 489 491 501 506 507 508 512 514 521 525 530 534 539 541 543 546
    552 558 559 560 562 567 577 585 590 595 597 605 607 609 610 612 614 615 616 623 636 641 645 650 651 652 656
    660 663 666 670 672 677 679 686 687 691 693 694 697 718 724 725 735 746 751 754 757 758 762 765 774 775 780
    789 790 792 797 804 805 809 812 816 830 831 832 833 834 836 839 847 850 860 865 869 873 874 879 882 883 884
    885 886 891 899 914 915 916 917
    """
)
SINGLE_PHASE_TEST = _ids(
    """
    009 041 045 048 064 097 163 183 260 268 287 307 356 368 377 378 387 412 414 431 568 618 633 640 642 662 684
    778 799 907
    """
)
JOINT_VALIDATION = _ids(
    """
    004 019 036 084 085 096 106 125 136 148 150 167 210 211 226 232 271 273 278 294 300 324 349 445 451 459 475
    509 518 569 573 593 604 685 697 705 722 723 730 731 763 798 802 813 833 834 865 874 892 902
    """
)
JOINT_TEST = _ids(
    """
    001 012 018 020 037 044 060 062 080 090 128 131 134 137 143 155 158 165 199 203 213 223 225 247 248 263 277
    281 283 287 301 320 353 357 358 365 378 396 397 399 400 402 409 412 418 425 432 453 465 467 479 485 486 488
    495 504 528 530 531 533 545 566 581 594 597 620 628 631 632 660 689 693 702 709 712 721 724 726 737 745 758
    766 789 796 800 809 815 824 850 857 864 868 879 880 910 912 916 917 921 922
    """
)
MULTIFOCAL = _ids(
    """
    071 104 123 228 298 301 350 435 465 468 474 507 534 585 590 610 616 623 650 670 697 746 780 790 804 812 816
    830 834 873 883 891 915
    """
)
MASKED = tuple(sorted(SINGLE_PHASE_VALIDATION + SINGLE_PHASE_TEST))
SPLITS = (LEAK_FREE, "single_phase", "joint", "segmentation", *(f"segmentation_fold{k}" for k in range(NUM_FOLDS)))


def paper_split(name: str) -> dict[str, tuple[str, ...]]:
    """Patients of each section of one of the paper's divisions.

    Args:
        name: `single_phase` (668, 224, 30 patients), `joint` (772, 50, 100), `segmentation` (191, 0, 30), or
            `segmentation_fold0` to `segmentation_fold4`, which divide the 191 into training and validation.

    Raises:
        InputError: any other name.
    """
    if name == "single_phase":
        return _rest_is_training(SINGLE_PHASE_VALIDATION, SINGLE_PHASE_TEST)
    if name == "joint":
        return _rest_is_training(JOINT_VALIDATION, JOINT_TEST)
    if name == "segmentation":
        return {"training": segmentation_cases(), "validation": (), "test": SINGLE_PHASE_TEST}
    if name in SPLITS and name != LEAK_FREE:
        training, validation = segmentation_folds()[int(name[-1])]
        return {"training": training, "validation": validation, "test": SINGLE_PHASE_TEST}
    raise InputError(f"split={name}: use one of {', '.join(SPLITS)}")


def segmentation_cases() -> tuple[str, ...]:
    """The 191 patients with one lesion and a mask that segmentation is trained on."""
    return tuple(sorted(set(SINGLE_PHASE_VALIDATION) - set(MULTIFOCAL)))


def segmentation_folds() -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """(training, validation) of the five folds: scikit-learn's KFold(5, shuffle=True, random_state=12345)."""
    cases = np.array(segmentation_cases())
    order = np.random.RandomState(_FOLD_SEED).permutation(len(cases))
    folds = []
    for held_out in np.array_split(order, NUM_FOLDS):
        validation = np.isin(np.arange(len(cases)), held_out)
        folds.append((tuple(cases[~validation].tolist()), tuple(cases[validation].tolist())))
    return folds


def section_of_patients(
    name: str, patients: Iterable[str], fractions: Sequence[float] = (0.8, 0.1, 0.1), seed: int = 0
) -> dict[str, str]:
    """Section of each patient; a patient whom a paper's division does not list is left out.

    Args:
        name: one of SPLITS.
        patients: all that were found, usable or not, so that what becomes usable later moves nobody.
        fractions: of `leak_free`.
        seed: of `leak_free`.
    """
    patients = sorted(set(patients))
    if name == LEAK_FREE:
        # The whole collection is divided, whatever part of it was found: a later download moves nobody.
        known = set(PATIENTS)
        divisions = [PATIENTS if known & set(patients) else (), [p for p in patients if p not in known]]
        found = {}
        for members in divisions:
            sections = split_by_patient([{"case": p, "patient": p} for p in members], fractions, seed)
            found |= {item["patient"]: section for section in SECTIONS for item in sections[section]}
        return {patient: found[patient] for patient in patients}
    listed = {patient: section for section, members in paper_split(name).items() for patient in members}
    return {patient: listed[patient] for patient in patients if patient in listed}


def _rest_is_training(validation: tuple[str, ...], test: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    others = set(validation) | set(test)
    training = tuple(patient for patient in PATIENTS if patient not in others)
    return {"training": training, "validation": validation, "test": test}
