"""Work on many cases in several processes, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch
from tqdm import tqdm


def _one_thread() -> None:
    torch.set_num_threads(1)


def map_parallel(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    workers: int,
    description: str,
    on_result: Callable[[Any], None] | None = None,
) -> list[Any]:
    """`[function(item) for item in items]`, in order, in `workers` processes (0 or 1: in this one).

    Args:
        function: picklable.
        items: picklable arguments.
        workers: processes; each computes with one thread.
        description: of the progress bar.
        on_result: called in this process with each result as it comes, for example to record progress.
    """
    items = list(items)
    results = []
    if not items:
        return results
    pool = (
        ProcessPoolExecutor(min(workers, len(items)), get_context("forkserver"), _one_thread) if workers > 1 else None
    )
    try:
        produced = pool.map(function, items) if pool else map(function, items)
        for result in tqdm(produced, total=len(items), desc=description, unit="case"):
            results.append(result)
            if on_result:
                on_result(result)
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)
    return results
