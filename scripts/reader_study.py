"""Reader studies: a blinded set, the page on which it is read, and what the answers say.

python scripts/reader_study.py create --real REAL --synthetic SYNTHETIC --output STUDY
python scripts/reader_study.py read --study STUDY
python scripts/reader_study.py analyse --study STUDY --key STUDY_key.csv --output RESULTS
"""

from __future__ import annotations

import _root  # noqa: F401
import fire

from common.errors import install_error_hook
from common.knobs import as_path, as_text


def create(
    real: str,
    synthetic: str,
    output: str,
    key: str | None = None,
    protocol: str = "kapsner",
    num_each: int | None = None,
    seed: int = 0,
    references: str | None = None,
    case_pattern: str | None = None,
    slice: str | None = None,
    crop: int = 0,
    size: int | None = None,
    overwrite: bool = False,
) -> None:
    """A blinded set with as many real as synthetic images, and its key.

    Args:
        real: folder of PNG, NIfTI, NRRD or DICOM images.
        synthetic: another one; of several samples of a case (names as case_sample0) one is drawn.
        output: folder of the study, for readers.
        key: CSV file with the truth, not for readers; <output>_key.csv without it.
        protocol: kapsner (BI-RADS, real or synthetic, anatomy, impression) or mam_e (one rating from 0 to 4).
        num_each: images of each kind; as many as there are without it.
        seed: of draw and order.
        references: CSV file with the columns case and reference (BI-RADS 1 to 6).
        case_pattern: regular expression whose group is the case in a file's name; other files are passed over.
        slice: middle, to take the middle axial slice of volumes.
        crop: pixels that every image loses along each border.
        size: pixels along the longer side; those of the smallest image without it.
        overwrite: replace a study that nobody has begun to read.
    """
    from common.reader_study.study_maker import make_study

    options = {"num_each": num_each, "seed": seed, "references": references, "case_pattern": case_pattern}
    options |= {"slice": slice, "crop": crop, "size": size, "overwrite": overwrite}
    for line in make_study(as_text(real), as_text(synthetic), output, key, protocol, **options).lines():
        print(line)


def read(
    study: str, reader: str | None = None, host: str = "127.0.0.1", port: int = 7861, open_browser: bool = True
) -> None:
    """The page on which readers answer, in a browser on this machine.

    Args:
        study: folder of the study.
        reader: name of the only reader; without it readers enter a name and a word of their own.
        host: address to listen at; other machines reach the page only if you name one that they can.
        port: at which the page is served.
        open_browser: open the page, where there is a screen.
    """
    from common.reader_study.server import serve_study

    serve_study(as_text(study), reader, host, port, open_browser)


def analyse(
    study: str | None = None,
    key: str | None = None,
    output: str | None = None,
    seed: int = 0,
    sheet: str | None = None,
) -> None:
    """Tables and figures of what the readers answered.

    Args:
        study: folder of the study with its answers.
        key: CSV file with the truth.
        output: folder for the results.
        seed: of the bootstrap.
        sheet: CSV file with the columns image, truth, reader and rating (0 surely synthetic to 4 surely real), in the
            place of study and key.
    """
    from common.reader_study.analysis import analyse_study

    analyse_study(study, key, output, seed, sheet)
    print(f"report: {as_path(output).resolve()}")


if __name__ == "__main__":
    install_error_hook()
    fire.Fire({"create": create, "read": read, "analyse": analyse})
