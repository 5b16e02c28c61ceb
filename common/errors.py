"""One-line errors for users: `InputError`, and the hook that shows it without a traceback.

MONAI wraps what a component raises in several exceptions of its own; the hook walks the chain of causes, prints the
user's mistake as one line and leaves exit code 1. Everything else keeps its full traceback.
"""

from __future__ import annotations

import re
import sys
from types import TracebackType

from tqdm import tqdm


class InputError(Exception):
    """A user's mistake: says what is wrong, where, and what to do, in one line."""

    is_user_input_error = True


def find_input_error(error: BaseException | None) -> BaseException | None:
    """The `InputError` in a chain of causes, or None.

    It is recognised by its attribute, not its class: two bundles in one process hold two copies of this module.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if getattr(error, "is_user_input_error", False):
            return error
        # A data loader's worker hands over its exception as text within another one.
        told = re.search(r"^\S*\bInputError: (.+)$", str(error), re.MULTILINE)
        if told:
            return InputError(told.group(1))
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    found = find_input_error(error)
    if found is None:
        sys.__excepthook__(kind, error, trace)
        return
    sys.stdout.flush()
    for bar in list(getattr(tqdm, "_instances", [])):
        bar.close()  # or the line would hang behind a progress bar
    print(f"error: {' '.join(str(found).split())}", file=sys.stderr, flush=True)


def install_error_hook() -> None:
    """Show `InputError` as one line from now on in this process; the exit code of an uncaught exception stays 1."""
    sys.excepthook = _show
