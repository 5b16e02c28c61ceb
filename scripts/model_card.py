"""Put an evaluation into a bundle's model card: `docs/evaluation.json`, and a block of `docs/README.md` made from it.

    python scripts/model_card.py --report runs/x/report.json --bundle bundles/NAME
    python scripts/model_card.py --report runs/x/report.json --bundle bundles/NAME --tables "['MS-SSIM','Diversity']"

The block stands between `<!-- evaluation:begin -->` and `<!-- evaluation:end -->`, which the README has to hold.
"""

from __future__ import annotations

from collections.abc import Sequence

import _root  # noqa: F401
import fire

from common.errors import InputError, install_error_hook
from common.io.files import sha256_of_file, write_text
from common.knobs import as_path
from common.reports.model_card import canonical_text, card_block, card_copy, read_report, update_card


def main(report: str, bundle: str, tables: Sequence[str] | str | None = None) -> None:
    """Write both files; the same report gives the same bytes.

    Args:
        report: a `report.json`.
        bundle: folder of the bundle.
        tables: names of the tables that the card shows, in its order; all where none are given.
    """
    source, docs = as_path(report), as_path(bundle) / "docs"
    if not docs.is_dir():
        raise InputError(f"bundle {bundle}: has no folder docs; name the folder of a bundle")
    chosen = [tables] if isinstance(tables, str) else tables
    content = card_copy(read_report(source), sha256_of_file(source), chosen)
    changed = update_card(docs / "README.md", card_block(content))
    write_text(docs / "evaluation.json", canonical_text(content))
    print(f"{docs / 'README.md'}: {'updated' if changed else 'was up to date'}")


if __name__ == "__main__":
    install_error_hook()
    fire.Fire(main)
