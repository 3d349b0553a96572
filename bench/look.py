"""How fast a large library is looked at, against `hf cache ls` and `du`, each as a whole process, over the same base.

    python bench/look.py [--repos 2000] [--files 20] [--rounds 7] [--folder FOLDER]

The base is synthetic: sparse blobs, relative links, a ref for each repository, every repository registered. The
commands take turns, the first round is thrown away. Prints seconds and the ratios; the CPU time says the same on a
machine that does other things as well.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from pathlib import Path

import _measure
from _measure import Command, Timings

AIM_LS = 15.0
AIM_PATH_S = 0.15


def main() -> None:
    """Build the base and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repos", type=int, default=2000, help="repositories (2000)")
    parser.add_argument("--files", type=int, default=20, help="files in each (20)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count (7)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the base is put")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="modelshelf-bench-") as name:
        folder = Path(name)
        print(f"building {args.repos} repositories of {args.files} files", flush=True)
        environment = build(folder, args.repos, args.files)
        print(_measure.machine(folder), flush=True)
        report(_measure.run_in_turn(contenders(folder, environment, args.repos), args.rounds))


def build(folder: Path, repos: int, files: int) -> dict[str, str]:
    """Lay out a base and register all of it; returns the variables by which both programs find it."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.domain.models import FileEntry, Registration
    from modelshelf.settings import load_settings
    from modelshelf.store.layout import Base
    from modelshelf.store.repos import scan

    base = folder / "base"
    settings = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), "PRIMARY_CACHE_PATH": str(base)}
    dice = random.Random(1)
    with open_shelf(settings=load_settings(environ=settings)) as shelf:
        for number in range(repos):
            repo_id, commit_hash = f"bench/model-{number:04}", f"{dice.getrandbits(160):040x}"
            repo = Base(base).repo(repo_id)
            manifest = []
            for path in (repo.blobs, repo.snapshot(commit_hash), repo.refs):
                path.mkdir(parents=True)
            for i in range(files):
                file = FileEntry(f"file-{i:02}.bin", dice.randrange(2**20, 2**23), f"{dice.getrandbits(256):064x}")
                with repo.blob(file.digest).open("wb") as blob:
                    blob.truncate(file.size_bytes)
                (repo.snapshot(commit_hash) / file.path).symlink_to(f"../../blobs/{file.digest}")
                manifest.append(file)
            repo.ref("main").write_text(commit_hash)
            row = shelf.services.registry.add_model(Registration(f"model-{number:04}", repo_id, "primary"), str(base))
            shelf.services.registry.set_manifest(row, commit_hash, manifest)
            shelf.services.registry.set_complete(row.id, scan.signature(repo, commit_hash))
    return settings | {"HF_HOME": str(base)}


def contenders(folder: Path, environment: dict[str, str], repos: int) -> list[Command]:
    """Return what is compared."""

    def command(*arguments: str, lines: int = 1) -> Command:
        name = " ".join(argument for argument in arguments if not argument.startswith(str(folder)))
        return Command(name, arguments, environment, check=lambda text: text.count("\n") >= lines)

    return [
        command("shelf", "ls", lines=repos + 1),
        command("hf", "cache", "ls", lines=repos + 1),
        command("shelf", "path", f"model-{repos // 2:04}"),
        command("shelf", "tiers"),
        command("shelf", "tiers", "--rescan"),
        command("du", "-s", str(folder / "base")),
        command("shelf", "--help"),
        command("hf", "--help"),
        command("python", "-c", "print()"),
    ]


def report(timings: Timings) -> None:
    """Print the table and the claims."""
    _measure.table(["whole process, s", "median", "least", "most", "cpu"], _measure.seconds(timings))
    _measure.claim(timings, "shelf ls", "hf cache ls", AIM_LS)
    _measure.claim(timings, "shelf tiers", "hf cache ls")
    _measure.claim(timings, "shelf tiers --rescan", "hf cache ls")
    _measure.claim(timings, "shelf tiers", "du -s")
    _measure.claim(timings, "shelf tiers --rescan", "du -s")
    _measure.claim(timings, "shelf --help", "hf --help")
    path = next(name for name in timings if name.startswith("shelf path"))
    took_s = statistics.median(run.wall_s for run in timings[path])
    cpu_s = statistics.median(run.cpu_s for run in timings[path])
    reached = "reached" if took_s < AIM_PATH_S else "missed"
    print(f"{path} takes {took_s:.3f} s, {cpu_s:.3f} s of it computing; aim {AIM_PATH_S:g} s: {reached}")


if __name__ == "__main__":
    main()
