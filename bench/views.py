"""How long it takes to make the views of a large library true.

    python bench/views.py [--models 1000] [--files 6] [--kind folder] [--rounds 5] [--folder FOLDER]

Every model of the library lies on the primary. In one process: a view of all models is added; it is made true again
when nothing changed, after a sync, which lets the next change look at everything, when one model has got another name,
and when one of its links is gone. The first round is thrown away. Prints the medians, and what the process computed.
Bounds: adding 1 s, nothing changed 0.1 s.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import _measure
from large_registry import build
from modelshelf.bootstrap.shelf import open_shelf
from modelshelf.domain.names import ViewRoot
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import ViewState
from modelshelf.services.shelf import Shelf
from modelshelf.services.views.keep import ViewKeeper
from modelshelf.settings import load_settings


def main() -> None:
    """Fill a library and keep its view true."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1000, help="models (1000)")
    parser.add_argument("--files", type=int, default=6, help="files in each of them (6)")
    parser.add_argument("--kind", type=ViewKind, default=ViewKind.FOLDER, help="kind of view (folder)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (5)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the bases are put")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="modelshelf-bench-") as name:
        environment = build(Path(name), args.models, args.models, args.files, "")
        print(_measure.machine(Path(name)), flush=True)
        with open_shelf(settings=load_settings(environ=environment)) as shelf:
            took = [measure(shelf, args.kind, Path(name) / "program") for _ in range(args.rounds + 1)][1:]
    rows = []
    for what in took[0]:
        wall_s, cpu_s = zip(*(each[what] for each in took), strict=True)
        figures = (statistics.median(wall_s), min(wall_s), max(wall_s), statistics.median(cpu_s))
        rows.append([what, *(f"{figure:.3f}" for figure in figures)])
    title = f"{args.models} models with {args.files} files, {args.kind}, s"
    _measure.table([title, "median", "least", "most", "cpu"], rows)


def measure(shelf: Shelf, kind: ViewKind, root: Path) -> dict[str, tuple[float, float]]:
    """Return how long each thing takes, and how much of it is computing, in seconds."""
    views, place = shelf.services.views, ViewRoot(str(root))
    keeper = ViewKeeper(views.upkeep.library, views.upkeep.clock, views.upkeep.kept)
    took = {"add": timed(lambda: views.add(kind, place, None))}
    keeper.after_change()
    took["nothing changed"] = timed(keeper.after_change)
    took["sync"] = timed(lambda: views.sync(kind, place))
    took["a change after a sync"] = timed(keeper.after_change)
    shelf.services.registry.rename(501, "other")
    took["a model renamed"] = timed(keeper.after_change)
    shelf.services.registry.rename(501, "model-000500")
    keeper.after_change()
    next(path for path in root.rglob("*") if path.is_symlink()).unlink()
    took["a link lost"] = timed(lambda: views.sync(kind, place))
    assert {status.state for status in views.all()} == {ViewState.TRUE}
    took["rm"] = timed(lambda: views.remove(kind, place))
    shutil.rmtree(root)
    return took


def timed(do: Callable[[], object]) -> tuple[float, float]:
    """Return how long something takes, and how long it computes, in seconds."""
    begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
    do()
    return time.perf_counter() - begin_s, time.process_time() - begin_cpu_s


if __name__ == "__main__":
    main()
