"""How fast room is planned: 10 GB among 500 models, against `hf cache ls`, which lists what a person would choose from.

    python bench/room.py [--models 500] [--need-gb 10] [--rounds 5] [--folder FOLDER]

The base is synthetic and full to its limit: blobs of 40 MB whose blocks are reserved and never written, each model
registered and used at some time. `shelf add --dry-run` asks a hub on loopback for the repository, measures the tier,
and names the models that would leave for the secondary. Each is a whole process; they take turns, and the first round
is thrown away.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from pathlib import Path

import _measure
from _measure import Command

MODEL_BYTES = 40_000_000


def main() -> None:
    """Fill a base and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=500, help="models on the full tier (500)")
    parser.add_argument("--need-gb", type=float, default=10.0, help="GB to make room for (10)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (5)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the base is put")
    args = parser.parse_args()
    need_bytes = int(args.need_gb * 1e9)
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="modelshelf-bench-") as name:
        folder = Path(name)
        with (folder / "big.bin").open("wb") as big:
            big.truncate(need_bytes)
        environment = fill(folder, args.models)
        print(_measure.machine(folder), flush=True)
        with _measure.run_hub("org/big", folder / "big.bin") as url:
            environment["HF_ENDPOINT"] = url
            timings = _measure.run_in_turn(contenders(environment, args.models, need_bytes), args.rounds)
    _measure.table(["whole process, s", "median", "least", "most", "cpu"], _measure.seconds(timings))
    _measure.claim(timings, "shelf add --dry-run", "hf cache ls")


def fill(folder: Path, models: int) -> dict[str, str]:
    """Lay out a full base and register all of it; returns the variables by which both programs find it."""
    from modelshelf.bootstrap.shelf import open_shelf
    from modelshelf.domain.models import FileEntry, Registration
    from modelshelf.settings import load_settings
    from modelshelf.store.layout import Base
    from modelshelf.store.repos import scan

    base, dice = Base(folder / "base"), random.Random(1)
    settings = {
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "PRIMARY_CACHE_PATH": str(base.path),
        "PRIMARY_CACHE_LIMIT_GB": f"{models * MODEL_BYTES * 1.01 / 1e9:.3f}",
        "SECONDARY_CACHE_PATH": str(folder / "slow"),
    }
    with open_shelf(settings=load_settings(environ=settings)) as shelf:
        for number in range(models):
            repo_id, commit_hash = f"bench/model-{number:04}", f"{dice.getrandbits(160):040x}"
            repo, file = base.repo(repo_id), FileEntry("model.bin", MODEL_BYTES, f"{dice.getrandbits(256):064x}")
            for path in (repo.blobs, repo.snapshot(commit_hash), repo.refs):
                path.mkdir(parents=True)
            with repo.blob(file.digest).open("wb") as blob:
                os.posix_fallocate(blob.fileno(), 0, MODEL_BYTES)
            (repo.snapshot(commit_hash) / file.path).symlink_to(f"../../blobs/{file.digest}")
            repo.ref("main").write_text(commit_hash)
            registry = shelf.services.registry
            row = registry.add_model(Registration(f"model-{number:04}", repo_id, "primary"), str(base.path))
            registry.set_manifest(row, commit_hash, [file])
            registry.set_complete(row.id, scan.signature(repo, commit_hash))
        for number in dice.sample(range(models), models // 2):
            with shelf.services.leaser.using(f"model-{number:04}", "load", "bench"):
                pass
    return settings | {"HF_HOME": str(base.path)}


def contenders(environment: dict[str, str], models: int, need_bytes: int) -> list[Command]:
    """Return what is compared."""

    def makes_room(text: str) -> bool:
        freed_bytes: int = sum(victim["free_bytes"] for victim in json.loads(text)["makes_room"])
        return freed_bytes >= 0.9 * need_bytes

    plan = ["shelf", "add", "big", "org/big", "--dry-run", "--json"]
    return [
        Command("shelf add --dry-run", plan, environment, check=makes_room),
        Command("hf cache ls", ["hf", "cache", "ls"], environment, check=lambda text: text.count("\n") > models),
    ]


if __name__ == "__main__":
    main()
