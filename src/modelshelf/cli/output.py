"""The only printer: the answer to stdout, everything else to stderr; a table for people, JSON for programs."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from modelshelf.cli.visible import visible
from modelshelf.domain.models import FileEntry, Model, State
from modelshelf.domain.tiers import SCARCE_ENTRIES, TierStatus
from modelshelf.errors import BadInput
from modelshelf.units import format_age, format_duration, format_size, rfc3339

if TYPE_CHECKING:
    from modelshelf.domain.jobs import Job
    from modelshelf.domain.leases import Lease
    from modelshelf.domain.setup import Disk

T = TypeVar("T")
Cell = str | int
_BAR_CELLS = 30
_BREAKDOWN_NAMES = {
    "models": "models",
    "shared": "shared blobs",
    "partial": "partial downloads",
    "orphans": "orphans",
    "xet": "xet cache",
    "transformers": "old transformers/",
    "other": "other",
}


def answer(text: str) -> None:
    """Print the answer of a command: for a program as it is, for a terminal as it may be shown."""
    print(visible(text, lines=True) if sys.stdout.isatty() else text)


def note(text: str) -> None:
    """Print something beside the answer."""
    print(visible(text, lines=True), file=sys.stderr)


def as_json(value: Any) -> None:
    """Print a value for programs."""
    print(visible(json.dumps(value, indent=2, ensure_ascii=False), lines=True))


def _say(text: str = "") -> None:
    """Print one line of an answer for people."""
    print(visible(text))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> None:
    """Print a table.

    Args:
        header: The columns' names.
        rows: Their cells.
        right: The columns that are flush right.
    """
    shown = [[visible(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in shown) for i in range(len(header))]
    for row in shown:
        cells = [
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        _say("  ".join(cells).rstrip())


def models(found: Sequence[Model], now_s: float) -> None:
    """Print the library."""
    if not found:
        note("No models yet: shelf add NAME ORG/MODEL. If there were some: shelf reconcile")
        return
    rows = [
        [
            model.row.model_name,
            model.row.hf_path,
            _tier(model),
            format_size(model.row.size_bytes) if model.row.commit_hash else "?",
            _state(model),
            _last_use(model, now_s),
        ]
        for model in found
    ]
    table(["NAME", "REPO", "TIER", "SIZE", "STATE", "LAST USE"], rows, frozenset({3}))


def _tier(model: Model) -> str:
    return model.base if model.row.cache_location == "custom" else model.row.cache_location


def _state(model: Model) -> str:
    row = model.row
    pin = " (pinned)" if row.pinned else ""
    if row.job_state == "queued" and model.state is State.DOWNLOADING:
        return f"queued{pin}"
    if model.state is State.DOWNLOADING and row.job_total_bytes:
        return f"downloading {row.job_done_bytes / row.job_total_bytes:.0%}{pin}"
    return f"{model.state.value}{pin}"


def _last_use(model: Model, now_s: float) -> str:
    return "never" if model.row.last_used_at is None else format_age(model.row.last_used_at, now_s)


def model(found: Model, files: Sequence[FileEntry], now_s: float) -> None:
    """Print one model with its files."""
    row = found.row
    facts = [
        ("name", row.model_name),
        ("repo", f"{row.hf_path} ({row.revision})"),
        ("commit", row.commit_hash or "not known yet"),
        ("tier", f"{row.cache_location} ({found.base})"),
        ("folder", found.path or "none yet"),
        ("state", found.state.value + (f": {found.detail}" if found.detail else "")),
        ("size", f"{format_size(row.size_bytes)} ({row.size_bytes} bytes)" if row.commit_hash else "not known yet"),
        ("include", ", ".join(row.allow_patterns) or "all files"),
        ("pinned", (f"yes: {row.pin_reason}" if row.pin_reason else "yes") if row.pinned else "no"),
        ("used", f"{row.uses}×, {_last_use(found, now_s)}" if row.uses else "never"),
    ]
    for name, value in facts:
        _say(f"{name + ':':<8} {value}")
    if files:
        _say()
        rows = [[file.path, format_size(file.size_bytes), file.digest] for file in files]
        table(["FILE", "SIZE", "DIGEST"], rows, frozenset({1}))


def tiers(found: Sequence[TierStatus]) -> None:
    """Print each tier's bar and what it holds."""
    for i, status in enumerate(found):
        if i:
            _say()
        _tier_status(status)


def _tier_status(status: TierStatus) -> None:
    tier = status.tier
    _say(f"{tier.location}  {tier.base}")
    if not status.online:
        _say(f"  offline: {status.detail}")
        return
    held = status.usage.apparent_bytes + status.reserved_bytes
    if tier.limit_bytes is None:
        whole, of = held + status.free_bytes, f"{format_size(held)}, no limit"
    else:
        whole, of = tier.limit_bytes, f"{format_size(held)} of {format_size(tier.limit_bytes)}"
    mark = "  !" if status.warning else ""
    _say(f"  {_bar(held, whole)} {held / whole if whole else 0:4.0%}  {of}{mark}")
    if status.detail:
        _say(f"  {status.detail}")
    if not status.writable:
        _say("  read-only: its models can be loaded, nothing is written there")
    for weakness in status.capabilities.weaknesses if status.capabilities else ():
        _say(f"  {weakness}")
    _say(f"  {'on disk':<18}{format_size(status.usage.allocated_bytes):>10}")
    _say(f"  {'free on its disk':<18}{format_size(status.free_bytes):>10}")
    if status.free_entries is not None and status.free_entries < SCARCE_ENTRIES:
        _say(f"  {'entries left':<18}{status.free_entries:>10}  (inodes: a file, a folder or a link takes one)")
    if status.reserved_bytes:
        _say(f"  {'reserved':<18}{format_size(status.reserved_bytes):>10}")
    for kind, size_bytes in status.usage.breakdown.items():
        if size_bytes:
            _say(f"  {_BREAKDOWN_NAMES[kind]:<18}{format_size(size_bytes):>10}")


def _bar(held_bytes: int, whole_bytes: int) -> str:
    share = min(1.0, held_bytes / whole_bytes) if whole_bytes else 0.0
    full = round(share * _BAR_CELLS)
    filled, empty = ("█", "░") if (sys.stdout.encoding or "").lower().startswith("utf") else ("#", ".")
    return filled * full + empty * (_BAR_CELLS - full)


def jobs(found: Sequence[Job]) -> None:
    """Print jobs, newest first."""
    rows = [
        [
            str(job.id),
            job.kind,
            job.model_name,
            job.state,
            f"{format_size(job.done_bytes)} of {format_size(job.total_bytes)}" if job.total_bytes else "",
            job.detail,
        ]
        for job in found
    ]
    table(["JOB", "KIND", "MODEL", "STATE", "DONE", "DETAIL"], rows)


def add_plan(plan: dict[str, Any]) -> None:
    """Print what registering a model and pulling it will do."""
    _say(
        f"{plan['model_name']}: {plan['hf_path']} ({plan['commit_hash'] or 'hub out of reach'}) → {plan['cache_path']}"
    )
    if plan["commit_hash"] is None:
        _say("  registers it; its download waits for the hub, which knows its size")
    else:
        _say(f"  fetches {format_size(plan['fetch_bytes'])} of {format_size(plan['size_bytes'])}")
    _leaving(plan)


def _leaving(plan: dict[str, Any]) -> None:
    for victim in plan["makes_room"]:
        _say(f"  makes room: {victim['model_name']} ({format_size(victim['free_bytes'])}) leaves")


def move_plan(plan: dict[str, Any]) -> None:
    """Print what a move will do."""
    how = {"copy": "copies", "link": "links", "reflink": "reflinks"}[plan["method"]]
    _say(f"{plan['model_name']}: {plan['from_path']} → {plan['cache_path']}")
    _say(f"  {how} {format_size(plan['transfer_bytes'])} of {format_size(plan['size_bytes'])}")
    _leaving(plan)
    _say("  keeps the old copy" if plan["keep_source"] else "  then deletes the old copy, when nobody uses it")


def leases(held: Sequence[Lease]) -> None:
    """Print leases."""
    rows = [[str(lease.id), lease.model_name, lease.kind, lease.holder, rfc3339(lease.expires_at)] for lease in held]
    table(["LEASE", "MODEL", "KIND", "HOLDER", "UNTIL"], rows)


def findings(view: dict[str, Any]) -> None:
    """Print what a verification found, and what to do about it."""
    checked = f"Read {view['checked_blobs']} blobs, {format_size(view['checked_bytes'])}"
    skipped = f"; {view['skipped_blobs']} were verified before" if view["skipped_blobs"] else ""
    for base in view["offline"]:
        note(f"{base} is not there; nothing is known about what lies on it.")
    found = view["findings"]
    if not found:
        _say(f"{checked}{skipped}. Nothing is wrong.")
        return
    _say(f"{checked}{skipped}. {len(found)} found, {view['wrong']} still wrong.")
    rows = [[f["kind"], _outcome(f), f["model_name"] or f["repo_id"], f["file"], f["detail"], f["path"]] for f in found]
    table(["FOUND", "NOW", "MODEL", "FILE", "DETAIL", "WHERE"], rows)
    for hint in dict.fromkeys(f["hint"] for f in found if f["hint"]):
        note(f"hint: {hint}")


def _outcome(found: dict[str, Any]) -> str:
    if found["repaired"]:
        return "repaired"
    return "set aside" if found["quarantined"] else "wrong"


@contextmanager
def job_progress(what: str) -> Iterator[Callable[[Job], None]]:
    """Show a job's progress on stderr: a bar for a person, nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda job: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TextColumn("{task.fields[rate]}")]
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None, rate="")

        def show(job: Job) -> None:
            rate = f"{format_size(job.rate_bytes_per_s)}/s" if job.rate_bytes_per_s else ""
            text = f"{what} {job.phase or job.state}"
            progress.update(task, description=text, completed=job.done_bytes, total=job.total_bytes or None, rate=rate)

        yield show


def trial(model_name: str, view: dict[str, Any]) -> None:
    """Print what loading a model and asking it took."""
    _say(f"{model_name}: {view['answer']}")
    note(
        f"loaded in {format_duration(view['load_s'])}, answered in {format_duration(view['answer_s'])},"
        f" {format_size(view['memory_bytes'])} of memory"
    )


def exports(variables: dict[str, str | None]) -> None:
    """Print shell lines that set and unset variables."""
    for name, value in variables.items():
        answer(f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}")


def update_plan(view: dict[str, Any], *, dry_run: bool) -> None:
    """Print what an update does, or that there is nothing newer."""
    name, new = view["model_name"], str(view["new_commit"])[:12]
    if view["is_current"]:
        newest = f" is at the newest commit of {view['revision']}: {new}"
        note(name + (f": {view['note']}" if view["note"] else newest))
        return
    would = "would take" if dry_run else "takes"
    note(
        f"{name} {would} {view['revision']} from {str(view['old_commit'])[:12]} to {new}:"
        f" {format_size(view['fetch_bytes'])} to fetch of {format_size(view['size_bytes'])},"
        f" {format_size(view['shared_bytes'])} shared with the old one"
    )


_ACTIONS = {
    "new_id": "new id",
    "added": "model added",
    "placed": "model placed",
    "incomplete": "not whole",
    "card_written": "card written",
    "card_removed": "card removed",
    "ref_set": "ref set back",
}


def reconciled(view: dict[str, Any], *, dry_run: bool) -> None:
    """Print what reconciling did or would do."""
    steps = [[_ACTIONS[s["action"]], s["model_name"], s["cache_path"], s["detail"]] for s in view["steps"]]
    if steps:
        table(["WOULD BE" if dry_run else "DONE", "MODEL", "BASE", "WHY"], steps)
    else:
        answer("Registry and disks agree: nothing to do.")
    for left in view["skipped"]:
        note(f"changed meanwhile, run it again: {left['model_name']} in {left['cache_path']}")
    for left in view["untouched"]:
        note(f"left as it is: {left['model_name']}: {left['detail']}")
    for found in view["unregistered"]:
        same = f", a second copy of {found['copy_of']}" if found["copy_of"] else ""
        where = f"{found['hf_path']} at {found['commit_hash'][:12]} in {found['cache_path']}"
        note(f"not registered: {where} ({format_size(found['size_bytes'])}){same}")


def ask(question: str, proposed: str, parse: Callable[[str], T]) -> T:
    """Ask a person until the answer can be meant; an empty one is the proposal.

    Raises:
        BadInput: The input ended.
    """
    while True:
        print(visible(f"{question} [{proposed}]: "), end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise BadInput("The input ended before all was asked.", hint="shelf init --yes asks nothing.")
        try:
            return parse(line.strip() or proposed)
        except BadInput as err:
            note(" ".join(filter(None, (err.detail, err.hint))))


def disks(found: Sequence[Disk]) -> None:
    """Print the disks that may hold models."""
    rows = []
    for disk in found:
        speed = disk.speed
        rates = [f"{format_size(n)}/s" for n in (speed.write_bytes_per_s, speed.read_bytes_per_s)] if speed else []
        marks = [word for word, holds in (("network", disk.is_network), ("vanishes", disk.vanishes)) if holds]
        sizes = [format_size(disk.size_bytes), format_size(disk.free_bytes)]
        rows.append([disk.point, disk.kind, *sizes, *(rates or ["?", "?"]), ", ".join(marks)])
    table(["DISK", "KIND", "SIZE", "FREE", "WRITES", "READS", ""], rows, frozenset({2, 3, 4, 5}))


def set_up(view: dict[str, Any]) -> None:
    """Print what was written, and what comes next."""
    if not view["written"]:
        note("Nothing was written.")
        return
    note(f"Written: {view['path']}" + (f"; what it held is in {view['backup']}" if view["backup"] else ""))
    if view["environment_wins"]:
        note(f"These are set in the environment, which wins over the file: {', '.join(view['environment_wins'])}")
    if view["usual_models"]:
        path = shlex.quote(view["usual_path"])
        count = view["usual_models"]
        lie = "1 model lies" if count == 1 else f"{count} models lie"
        note(f"{lie} in {path}. To have them in the library: shelf adopt {path} --leave (or --move, or --link)")
    note("Next: shelf tiers, then shelf add NAME ORG/MODEL")


def doctor(view: dict[str, Any]) -> None:
    """Print what the doctor found, the worst first, each with the command that mends it."""
    for done in view["fixed"]:
        _say(f"fixed    {done}")
    for found in view["findings"]:
        size = f" [{format_size(found['size_bytes'])}]" if found["size_bytes"] else ""
        _say(f"{found['severity']:<8} {found['detail']}{size if found['severity'] != 'ok' else ''}")
        if found["command"]:
            _say(f"{'':<8}   → {found['command']}")
    fixable = sum(found["fixable"] for found in view["findings"])
    counts = ", ".join(f"{view[what]} {what if view[what] != 1 else what[:-1]}" for what in ("errors", "warnings"))
    note(f"{counts}; shelf doctor --fix mends {fixable}." if fixable else f"{counts}.")
