"""What the doctor reports for each fact."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from modelshelf.domain.disks import Capabilities, Mount
from modelshelf.domain.doctor_bases import BaseFacts, Sized, of_base
from modelshelf.domain.doctor_registry import Copies, RegistryFacts, of_copies, of_registry
from modelshelf.domain.doctor_report import Diagnosis, Report, Severity, of_strange, ordered
from modelshelf.domain.doctor_surroundings import (
    HubFacts,
    TokenFacts,
    of_engines,
    of_hub,
    of_settings,
    of_token,
    of_tools,
    of_unadopted,
)
from modelshelf.domain.permissions import Foreign
from modelshelf.domain.tiers import Tier
from modelshelf.domain.tool_environment import ENGINE_PACKAGES, ToolFolder
from modelshelf.domain.unadopted import Unadopted
from modelshelf.domain.verify_report import Fault, Finding
from modelshelf.units import GB

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"
DISK = Mount("/mnt/z", "ext4", "/dev/sda1", read_only=False)
LAYER = Mount("/", "overlay", "overlay", read_only=False, boundary=False)
TIER = Tier("secondary", "/mnt/z/my models", 100 * GB)
GOOD = BaseFacts(
    TIER,
    DISK,
    exists=True,
    offline="",
    marked=True,
    capabilities=Capabilities(symlinks=True, hardlinks=True, reflinks=False),
    free_bytes=200 * GB,
    disk_bytes=500 * GB,
    usage_bytes=10 * GB,
    mend="sudo chown",
)
HERE = RegistryFacts("sqlite:////r.db", "/r.db", DISK, exists=True, models=3)


def only(found: list[Diagnosis], severity: Severity) -> Diagnosis:
    """Return the only finding of a severity."""
    (one,) = [diagnosis for diagnosis in found if diagnosis.severity is severity]
    return one


def test_a_good_base_is_one_line() -> None:
    """A healthy base is one line: where it is mounted, what is free and what it holds."""
    (one,) = of_base(GOOD)

    assert (one.severity, one.size_bytes) == (Severity.OK, 10 * GB)
    assert all(word in one.detail for word in ("ext4 mounted at /mnt/z", "200.0 GB of 500.0 GB", "limit 100.0 GB"))


@pytest.mark.parametrize(
    ("change", "severity", "words", "command"),
    [
        ({"offline": "its marker is not there", "mend": "Mount it."}, "error", "marker is not there", "Mount it."),
        ({"offline": "x", "hangs": True}, "error", "x", "sudo umount --lazy /mnt/z && sudo mount /mnt/z"),
        ({"closed": "/mnt/z/hub"}, "error", "can't read /mnt/z/hub", "sudo chown"),
        ({"exists": False}, "info", "doesn't exist yet", ""),
        ({"exists": False, "writable": False}, "warning", "doesn't exist, and can't be created", "sudo chown"),
        ({"marked": False}, "info", "no marker", ""),
        ({"writable": False}, "warning", "read-only", "sudo chown"),
        (
            {"writable": False, "mount": replace(DISK, read_only=True)},
            "warning",
            "read-only",
            "sudo mount -o remount,rw /mnt/z",
        ),
        ({"mount": LAYER}, "error", "lost with the container", "docker run -v"),
        ({"usage_bytes": 120 * GB}, "warning", "20.0 GB more than its limit", "shelf gc"),
        ({"disk_bytes": 50 * GB}, "warning", "more than its disk holds", "SECONDARY_CACHE_LIMIT_GB=45"),
        ({"disk_bytes": 64_000_000}, "warning", "more than its disk holds", "SECONDARY_CACHE_LIMIT_GB=0.058"),
        ({"free_bytes": 20 * GB}, "info", "its disk has only 20.0 GB", ""),
        ({"free_bytes": 1000}, "warning", "almost full", "shelf clean"),
        ({"free_entries": 12}, "warning", "only 12 more files", "shelf clean"),
        (
            {"strays": (Sized("/mnt/z/my models/models--a", 5),)},
            "warning",
            "1 model folder in",
            "shelf doctor --fix",
        ),
        (
            {"strays": (Sized("/mnt/z/my models/models--a", 5), Sized("/mnt/z/my models/hub/hub/models--b", 5))},
            "warning",
            "2 model folders in",
            "shelf adopt '/mnt/z/my models' --move",
        ),
        (
            {"strays": (Sized("/mnt/z/my models/models--a", 5),), "busy": "x was written a moment ago."},
            "info",
            "x was written a moment ago. shelf doctor --fix takes in what is there a minute after the last write.",
            "",
        ),
        (
            {"unfinished": (Sized("/mnt/z/models--a b", 5), Sized("/mnt/z/models--c", 5))},
            "info",
            "2 unfinished downloads in",
            "rm -r '/mnt/z/models--a b' /mnt/z/models--c",
        ),
        (
            {"foreign": Foreign("/mnt/z", 3, 9, ((0, 0),), ("/mnt/z/x",), "sudo chown -R x")},
            "warning",
            "3 files of user 0 (root) in /mnt/z/my models can't be used by its other users (first: /mnt/z/x)",
            "sudo chown -R x",
        ),
        ({"closed_trees": ("/t.json",)}, "warning", "1 file list", "chmod a+r /t.json"),
        ({"closed_trees": ("/t.json", "/u.json")}, "warning", "2 file lists", "shelf doctor --fix"),
        ({"spare": (Sized("/mnt/z/xet", 7), Sized("/no", 0))}, "info", "/mnt/z/xet can be deleted", "rm -r /mnt/z/xet"),
        ({"capabilities": Capabilities(False, True, True)}, "info", "no symbolic links", ""),
        (
            {"faults": (Finding(Fault.DANGLING_LINK, "/b", "/b/models--o--n/snapshots/c/f", "o/n", fact="x"),) * 3},
            "warning",
            "which doesn't exist. 2 more files of o/n with this problem",
            "hf download o/n",
        ),
        (
            {"faults": (Finding(Fault.MISSING_FILE, "/b", "/b/f", "o/n", model_name="m"),)},
            "error",
            "m needs it",
            "shelf verify m --repair",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_each_fault_of_a_base_has_its_line(change: dict[str, object], severity: str, words: str, command: str) -> None:
    """Each fault of a base has a line with severity, sentence and the exact command."""
    found = list(of_base(replace(GOOD, **change)))

    one = next(diagnosis for diagnosis in found if words in diagnosis.detail)
    assert one.severity.value == severity
    assert command in one.command if command else not one.command


@pytest.mark.parametrize(("free_bytes", "is_low"), [(64_000_000, True), (66_000_000, False)])
def test_a_small_disk_is_almost_full_below_a_tenth(free_bytes: int, is_low: bool) -> None:
    """A memory stick that is nearly empty isn't called almost full because it is small."""
    found = of_base(replace(GOOD, disk_bytes=650_000_000, free_bytes=free_bytes))
    assert any("almost full" in diagnosis.detail for diagnosis in found) is is_low


@pytest.mark.parametrize(
    ("facts", "severity", "words"),
    [
        (HERE, "ok", "lists 3 models"),
        (replace(HERE, models=None), "", ""),
        (replace(HERE, exists=False), "info", "no registry at /r.db yet"),
        (replace(HERE, trouble="It is damaged.", hint="mv"), "error", "It is damaged."),
        (replace(HERE, mount=LAYER), "error", "lost with the container"),
        (replace(HERE, drifted=(("m", "main names another commit"),)), "warning", "m: main names another commit"),
        (replace(HERE, unsettled=1), "warning", "disagree in 1 place."),
        (replace(HERE, damaged=("a", "b")), "error", "a, b: shelf verify found damaged files"),
        (replace(HERE, locks_and_folders=2), "info", "2 stale locks and empty folders."),
        (replace(HERE, leftovers={"blob": 5, "part": 0}), "info", "leftovers: blob."),
    ],
)
def test_the_registry_is_told_as_it_is(facts: RegistryFacts, severity: str, words: str) -> None:
    """Each state of the registry has a line."""
    found = [(one.severity.value, words in one.detail) for one in of_registry(facts)]

    assert ((severity, True) in found) if severity else (found == [])


@pytest.mark.parametrize(
    ("facts", "severities"),
    [
        (TokenFacts(given=True, path="/t", mode=None), ["ok"]),
        (TokenFacts(given=False, path="/t", mode=0o600), ["ok"]),
        (TokenFacts(given=False, path="/t", mode=None), ["info"]),
        (TokenFacts(given=False, path="/t", mode=0o600, readable=False), ["error", "ok"]),
        (TokenFacts(given=False, path="/t", mode=0o644), ["warning", "ok"]),
        (TokenFacts(given=False, path="/t", mode=0o640, shared=("/b/token",)), ["warning", "info", "ok"]),
    ],
)
def test_a_token_is_told_by_place_and_mode(facts: TokenFacts, severities: list[str]) -> None:
    """A token that others can read is a warning with the chmod that fixes it."""
    found = list(of_token(facts))

    assert [one.severity.value for one in found] == severities
    assert ("chmod 600 /t" in [one.command for one in found]) == (severities[0] == "warning")


@pytest.mark.parametrize(
    ("facts", "severities", "words"),
    [
        (HubFacts("http://h", is_mirror=False), ["ok"], "http://h answers"),
        (HubFacts("http://h", is_mirror=True), ["ok"], "a mirror"),
        (HubFacts("http://h", is_mirror=False, offline_by="HF_HUB_OFFLINE"), ["info"], "wasn't contacted"),
        (HubFacts("http://h", is_mirror=False, trouble="It is away."), ["warning"], "It is away. Downloaded models"),
        (HubFacts("http://h", is_mirror=False, refused=True), ["ok", "warning"], "answers"),
    ],
)
def test_the_hub_is_told_as_it_answers(facts: HubFacts, severities: list[str], words: str) -> None:
    """An unreachable hub isn't an error: downloaded models keep working."""
    found = list(of_hub(facts))

    assert [one.severity.value for one in found] == severities
    assert words in found[0].detail


def test_tools_that_look_in_one_place_are_one_line() -> None:
    """A tier is fine, a place with bytes that isn't one is information, another tool's layout has its own line."""
    places = [
        (ToolFolder("hf", f"{TIER.base}/hub", "HF_HOME"), 0),
        (ToolFolder("vLLM", f"{TIER.base}/hub", "HF_HOME"), 0),
        (ToolFolder("transformers", "/empty", "its default"), 0),
        (ToolFolder("llama.cpp", "/elsewhere", "LLAMA_CACHE"), 5),
        (ToolFolder("Ollama", "/o", "its default", stock=False), 7),
    ]

    found = list(of_tools(places, [TIER]))

    assert [(one.severity.value, one.size_bytes) for one in found] == [("ok", 0), ("info", 5), ("ok", 7)]
    assert found[0].detail.startswith("hf, vLLM: the secondary tier")


@pytest.mark.parametrize(
    ("model", "command"), [("", "hf cache rm model/o/n --cache-dir '/s t/hub'"), ("m", "shelf rm m --files")]
)
def test_what_lies_twice_names_the_copy_that_can_go(model: str, command: str) -> None:
    """A duplicate names the copy that can go: a registered one through shelf, others through hf."""
    (one,) = of_copies([Copies("o/n", "/p", "/s t", 2, 9, model)])

    assert (one.severity, one.size_bytes, one.command) == (Severity.INFO, 9, command)


@pytest.mark.parametrize(
    ("problem", "command"),
    [
        ({"name": "ON_FULL", "origin": "/h/.env:3", "detail": "is none."}, "${EDITOR:-vi} +3 /h/.env"),
        ({"name": "ON_FULL", "origin": "environment", "detail": "is none"}, "unset ON_FULL"),
        ({"name": ".env", "origin": "/h/.env", "detail": "cannot be read"}, "ls -l /h/.env"),
    ],
)
def test_a_wrong_setting_is_an_error_with_its_line(problem: dict[str, str], command: str) -> None:
    """An invalid setting is an error, and its command opens the editor on that line."""
    (one,) = of_settings([problem], Tier("primary", "/p", None))

    assert (one.severity, one.command) == (Severity.ERROR, command)


@pytest.mark.parametrize("said", ["Did you mean X?", "It isn't.", "Use /x"])
def test_a_wrong_setting_ends_with_one_mark(said: str) -> None:
    """What is wrong with a setting ends as a sentence does, with the mark that it has."""
    (one,) = of_settings([{"name": "A", "origin": "environment", "detail": said}], Tier("primary", "/p", None))

    assert one.detail == f"A in environment: {said}" + ("." if said == "Use /x" else "")


def test_a_wrong_primary_says_what_stands_for_it() -> None:
    """An invalid primary says what stands in for it, so that the rest of the report makes sense."""
    problem = {"name": "PRIMARY_CACHE_PATH", "origin": "environment", "detail": "is relative"}

    found = list(of_settings([problem], Tier("primary", "/p", None)))

    assert "assumes the primary base /p" in only(found, Severity.INFO).detail


def test_engines_are_listed_or_missed() -> None:
    """Engines are listed by name and path; a Python without them is told which packages to install."""
    assert only(list(of_engines({"ollama": "/usr/bin/ollama"}, "python")), Severity.OK).detail == (
        "Engines: ollama (/usr/bin/ollama)."
    )
    extra = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]["transformers"]
    assert sorted(ENGINE_PACKAGES.split()) == sorted(re.split(r"[\[>]", text)[0] for text in extra)
    command = only(list(of_engines({}, "/my venv/bin/python")), Severity.INFO).command
    assert command == "'/my venv/bin/python' -m pip install torch transformers accelerate gguf"


def test_a_report_counts_and_orders() -> None:
    """A report counts its findings and lists the worst first, otherwise in the order found."""
    found = [Diagnosis(severity, "base", name) for severity, name in zip(reversed(Severity), "dcba", strict=True)]
    found.append(Diagnosis(Severity.ERROR, "base", "e"))

    report = Report(ordered(found))

    assert "".join(one.detail for one in report.found) == "aebcd"
    assert (report.errors, report.count(Severity.WARNING)) == (2, 1)


def test_what_cannot_be_understood_is_named_and_stays() -> None:
    """Files that nobody understands are named, with a command that shows them; no command deletes them."""
    (told,) = of_strange(["/b/a b.json"])

    assert (told.severity, told.command) == (Severity.WARNING, "ls -ld '/b/a b.json'")
    assert "ignores it and leaves it there" in told.detail


def test_what_other_programs_downloaded_has_the_command_that_adopts_it() -> None:
    """What other programs downloaded has the command that adopts it, with number and size; nothing gives no finding."""
    (found,) = of_unadopted(Unadopted("/home/me/hf", 14, 183 * 10**9, is_default=False))

    assert found.detail == "14 models (183.0 GB) are in /home/me/hf, and not in the library."
    assert (found.severity, found.command) == (Severity.INFO, "shelf adopt /home/me/hf")
    assert list(of_unadopted(Unadopted("/home/me/hf", 0, 0, is_default=False))) == []
