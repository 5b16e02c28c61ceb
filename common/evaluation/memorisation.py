"""Whether a synthetic set repeats its training images: the section of a report, and the gate."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..metrics.copies import CopyReport
from ..outputs import COPIES_CSV
from ..reports.report import Curve, Report

NAME = "Memorisation"


def add_memorisation(report: Report, found: CopyReport, max_share: float | None = None) -> None:
    """Append the table of copies, the closest pairs, the curves of distances, and the verdict as a fact.

    Args:
        report: gets them.
        found: of `find_copies`.
        max_share: of the gate, for the verdict; None where there is none.
    """
    rows = []
    for space, part in found.spaces.items():
        rows.append(
            {
                "space": space,
                "copies": part.copies,
                "n synthetic": part.copies["n"],
                "threshold": part.threshold,
                "set by": part.rule,
                "honest images below it": part.false_alarms,
                "n honest": part.false_alarms["n"],
                "closest synthetic": part.synthetic_quantiles["0"],
                "median synthetic": part.synthetic_quantiles["0.5"],
                "closest honest": part.calibration_quantiles["0"],
                "median honest": part.calibration_quantiles["0.5"],
            }
        )
        points = {
            title: sorted((value, float(q)) for q, value in quantiles.items())
            for title, quantiles in (
                ("synthetic to training", part.synthetic_quantiles),
                (f"{part.calibration} to training", part.calibration_quantiles),
            )
        }
        report.curves.append(
            Curve(f"Nearest distances, {space} space", "distance", "share of images at or below", points)
        )
    note = (
        "Distance of each synthetic image to its nearest training image: in pixels 1 - normalised cross-correlation "
        f"under flips and shifts of up to {found.facts['max_shift']} pixels, blind to brightness and gain, by features "
        "Euclidean. Honest images are real ones that were not trained on (or, where there are none, each training "
        "image against the others). A share of copies above that of honest images is memorisation. "
        + " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in found.facts["notes"])
    )
    report.add(NAME, list(rows[0]), rows, note.strip())
    closest = [found.matches[k] for k in found.closest]
    report.add(
        "Closest pairs",
        ["pair", "distance", "copy", "flipped along axes", "shift"],
        [
            {
                "pair": number,
                "distance": match.pixel_distance,
                "copy": "yes" if match.pixel_copy else "no",
                "flipped along axes": ", ".join(map(str, match.flips)) or "none",
                "shift": ", ".join(map(str, match.shift)),
            }
            for number, match in enumerate(closest, 1)
        ],
        f"Names of the images are in {COPIES_CSV}, and nowhere in the report.",
    )
    report.facts["memorisation"] = verdict(found, max_share)


def copy_rows(found: CopyReport) -> list[dict[str, Any]]:
    """Every synthetic image with its nearest training image, by name, the closest first; `pair` as in the report."""
    matches = sorted(found.to_json()["matches"], key=lambda match: match["pixel_distance"])
    return [{"pair": number, **match} for number, match in enumerate(matches, 1)]


def verdict(found: CopyReport, max_share: float | None = None) -> str:
    """One sentence on the copies in pixel space, with the gate's outcome."""
    part = found.spaces["pixel"]
    share = part.copies
    if not np.isfinite(share["mean"]):
        return f"not defined: {part.rule}"
    text = (
        f"{share['hits']} of {share['n']} synthetic images are copies of {found.facts['n']['training']} training "
        f"images (share {share['mean']:.3g}, 95 % interval {share['low']:.3g} to {share['high']:.3g}; of honest images "
        f"{part.false_alarms['mean']:.3g})"
    )
    if max_share is not None:
        text += f"; gate of {max_share:g}: {'passed' if share['mean'] <= max_share else 'FAILED'}"
    return text
