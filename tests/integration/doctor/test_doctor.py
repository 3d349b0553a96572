"""The doctor with real faults: it finds each, and its command fixes it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelshelf.bootstrap.doctor_and_setup import open_doctor
from modelshelf.bootstrap.shelf import SystemClock
from modelshelf.services.doctor.doctor import Doctor
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from tests.builders import put
from tests.fakes.hub import FakeHub
from tests.fakes.hub_repos import Blob
from tests.invariants import violations
from tests.store.fuse import share
from tests.world import Home, Server, random_bytes, tree

REPO = "org/name"
FILES = {"config.json": b"{}", "model.safetensors": random_bytes(300_000)}
OTHER = "f" * 40
TOKEN = "hf_never_to_be_seen"
Found = Mapping[str, Any]


@pytest.fixture
def model(hub: FakeHub, home: Home) -> Path:
    """The snapshot folder of a model on the primary."""
    hub.add_repo(REPO, FILES)
    home.run("add", "m", REPO).checked()
    return Path(home.run("path", "m").checked().out.strip())


@pytest.fixture
def aged(home: Home, model: Path) -> Iterator[Doctor]:
    """A doctor a day after the model was added."""

    class Tomorrow(SystemClock):
        def now(self) -> float:
            return super().now() + 86_400

    with home.open(clock=Tomorrow()) as shelf, open_doctor(home.environ()) as doctor:
        yield replace(doctor, bases=replace(doctor.bases, shelf=shelf))


def ask(home: Home, *words: str, code: int = 0, **more: str) -> list[Found]:
    """Run `shelf doctor`, assert its exit code and an empty stderr, and return the findings."""
    said = home.run("doctor", "--json", *words, **more)
    assert (said.code, said.err) == (code, ""), said.out + said.err
    assert TOKEN not in said.out
    found: list[Found] = said.json["findings"]
    return found


def about(found: list[Found], words: str) -> Found:
    """Return the one finding whose sentence has these words."""
    (one,) = [finding for finding in found if words in finding["detail"]]
    return one


def none_about(found: list[Found], words: str) -> bool:
    """Return whether no finding has these words."""
    return not any(words in finding["detail"] for finding in found)


def shell(home: Home, command: str, **more: str) -> None:
    """Run a command as a person would who reads it; root needs no sudo."""
    home.start_program("bash", "-c", command.replace("sudo ", ""), **more).finish().checked()


def test_a_healthy_library_has_no_errors(home: Home, model: Path) -> None:
    """In a healthy library the exit code is 0, each part has its line, and nothing is changed."""
    (home.root / "home/.ollama/models").mkdir(parents=True)
    before = (tree(home.primary / "hub"), tree(home.root / "home"))

    found = ask(home)

    assert {"error"}.isdisjoint(finding["severity"] for finding in found)
    assert about(found, f"primary {home.primary}: ")["severity"] == "ok"
    assert about(found, "registry.db lists 1 model.")["severity"] == "ok"
    assert about(found, f"{home.endpoint}, a mirror (HF_ENDPOINT) answers.")["severity"] == "ok"
    assert about(found, "Ollama: ")["path"] == str(home.root / "home/.ollama/models")
    assert (tree(home.primary / "hub"), tree(home.root / "home")) == before


def test_people_read_it_on_one_page(home: Home, model: Path) -> None:
    """The report for people has the settings and registry in use, then a line for each finding, and the count."""
    said = home.run("doctor")

    settings, registry, *findings = said.out.splitlines()
    assert said.code == 0
    assert (settings.partition(" ")[0], registry.partition(" ")[0]) == ("settings", "registry")
    assert all(line[:8].strip() in ("warning", "info", "ok", "") for line in findings)
    assert len(said.out.splitlines()) < 40
    assert said.err.startswith("0 errors, ")


def test_asking_begins_nothing(home: Home) -> None:
    """Before the first model the doctor creates no base, registry or list of bases."""
    found = ask(home)

    assert about(found, "There is no registry at")["severity"] == "info"
    assert not home.primary.exists()
    assert not home.secondary.exists()
    assert not (home.root / "state").exists()


def test_http_says_the_same(home: Home, model: Path, server: Server) -> None:
    """`GET /api/doctor` and `--json` give the same object."""
    answer = server.get("/api/doctor")

    def sentences(found: list[Found]) -> list[str]:
        """Return the sentences without sizes, because others write to this disk."""
        return [re.sub(r"[\d.]+ [kMGT]?B", "N", finding["detail"]) for finding in found]

    assert sentences(answer["findings"]) == sentences(ask(home))
    assert (answer["errors"], answer["fixed"]) == (0, [])


def test_a_wrong_env_is_told_and_the_rest_as_well(home: Home, model: Path) -> None:
    """Every wrong setting is reported with its line, and the disks are inspected all the same."""
    home.env_file.write_text("PROMOTE=sometimes\nSHELF_PORT=x\nthis is nonsense\n")

    found = ask(home, code=7)

    assert about(found, "'sometimes' isn't one of")["command"] == f"${{EDITOR:-vi}} +1 {home.env_file}"
    assert about(found, "SHELF_PORT in")["severity"] == "error"
    assert about(found, "isn't a line NAME=value")["path"] == str(home.env_file)
    assert about(found, "lists 1 model.")["severity"] == "ok"


def test_an_unmounted_primary_is_an_error_and_is_not_written(home: Home, model: Path) -> None:
    """An unmounted primary is an error and isn't written; the other base is inspected all the same."""
    home.run("tiers").checked()
    home.primary.rename(home.root / "away")
    home.primary.mkdir()

    found = ask(home, code=7)

    assert about(found, f"primary {home.primary}: ")["severity"] == "error"
    assert about(found, "It could not be opened")["topic"] == "registry"
    assert list(home.primary.iterdir()) == []
    ask(home, "--fix", code=7)
    assert list(home.primary.iterdir()) == []


def test_a_lost_marker_is_not_put_back(home: Home, model: Path) -> None:
    """A missing marker isn't restored, because only a person knows whether it is the right drive."""
    Base(home.primary).marker.unlink()

    ask(home, "--fix", code=7)

    assert not Base(home.primary).marker.exists()


def test_a_damaged_registry_is_built_anew_by_the_command(home: Home, model: Path) -> None:
    """The doctor's command sets a damaged registry and its log aside and rebuilds it from sidecars, without a fetch."""
    registry = Base(home.primary).registry
    registry.write_bytes(b"no database" * 1000)

    found = ask(home, code=7)

    damaged = about(found, "is damaged, or isn't a registry")
    shell(home, damaged["command"])
    assert home.run("path", "m").checked().out.strip() == str(model)
    assert (registry.parent / "damaged/registry.db").exists()
    ask(home)


def test_a_deleted_registry_is_built_anew_by_the_command(home: Home, model: Path) -> None:
    """The doctor's command rebuilds a deleted registry from the sidecars; asking alone doesn't."""
    registry = home.primary / "modelshelf/registry.db"
    for path in registry.parent.glob("registry.db*"):
        path.unlink()

    gone = about(ask(home, code=7), "is gone; the sidecars of")

    assert not registry.exists()
    assert (gone["severity"], gone["command"]) == ("error", "shelf doctor --fix")
    fixed = home.run("doctor", "--fix").checked()
    assert "m: registered again, from its sidecar in" in fixed.out + fixed.err
    assert [(row["model_name"], row["state"]) for row in home.run("ls", "--json").json] == [("m", "ready")]


def test_a_registry_that_cannot_be_reached_is_an_error(home: Home, model: Path) -> None:
    """PostgreSQL that is down or lacks its driver is an error without the password."""
    said = home.run("doctor", "--json", DATABASE_URL="postgresql://me:geheim@127.0.0.1:9/shelf")

    assert (said.code, "geheim" in said.out + said.err) == (7, False)
    assert [finding["severity"] for finding in said.json["findings"] if finding["topic"] == "registry"] == ["error"]


def test_a_registry_on_a_share_is_told_with_the_way_out(home: Home, tmp_path: Path) -> None:
    """A registry on a network mount is an error with the way out before the registry is created."""
    with share(tmp_path / "nas") as mounted:
        base = mounted.path / "base"
        base.mkdir()

        found = ask(home, code=7, PRIMARY_CACHE_PATH=str(base))

        assert "DATABASE_URL=sqlite:///" in about(found, "The registry can't be at")["command"]
        assert about(found, "network mount (fuse.sshfs)")["severity"] == "info"
        assert list(base.iterdir()) == []


def test_a_share_that_hangs_is_told_and_not_waited_for(home: Home, model: Path, tmp_path: Path) -> None:
    """A network mount that hangs is an error that names it, and the doctor ends with the other base inspected."""
    with share(tmp_path / "nas") as mounted:
        base = mounted.path / "base"
        home.run("tiers", SECONDARY_CACHE_PATH=str(base)).checked()
        os.kill(mounted.pid, signal.SIGSTOP)
        try:
            found = ask(home, code=7, SECONDARY_CACHE_PATH=str(base))
        finally:
            os.kill(mounted.pid, signal.SIGCONT)

        hung = about(found, f"secondary {base}: ")
        assert "fuse.sshfs" in hung["detail"]
        assert hung["command"] == f"sudo umount --lazy {mounted.path} && sudo mount {mounted.path}"
        assert about(found, f"primary {home.primary}: ")["severity"] == "ok"


def test_strays_are_named_with_their_bytes(home: Home, model: Path) -> None:
    """Strays of `cache_dir=BASE` and HF_HOME=BASE/hub are named with their bytes."""
    weights = struct.pack("<Q", 2) + b"{}"
    put(home.primary / f"models--org--stray/snapshots/{'a' * 40}/model.safetensors", weights)
    put(home.primary / f"hub/hub/models--org--nested/snapshots/{'b' * 40}/model.safetensors", weights)
    put(home.primary / "models--org--begun/blobs/x.incomplete", b"12")

    whole, begun = about(ask(home), "2 model folders in"), about(ask(home), "1 unfinished download in")

    assert (whole["severity"], whole["size_bytes"]) == ("warning", 20)
    assert whole["command"] == f"shelf adopt {home.primary} --move"
    for finding in (whole, begun):
        shell(home, finding["command"])
    assert not any("where no tool looks" in finding["detail"] for finding in ask(home))


def test_a_stray_that_is_being_written_is_not_promised_to_be_fixed(home: Home, model: Path) -> None:
    """A model folder beside `hub` that was just written is told so, and isn't counted among what --fix fixes."""
    file = home.primary / f"models--org--stray/snapshots/{'a' * 40}/model.safetensors"
    put(file, struct.pack("<Q", 2) + b"{}")
    os.utime(file, (time.time() + 3600,) * 2)

    stray = about(ask(home), "1 model folder in")

    assert (stray["severity"], stray["command"], stray["fixable"]) == ("info", "", False)
    assert stray["detail"].endswith(
        "was written a moment ago. shelf doctor --fix takes in what is there a minute after the last write."
    )


def test_a_link_that_leads_nowhere_is_mended_by_the_command(home: Home, model: Path) -> None:
    """A dangling link of a registered model is an error, and the command brings the blob back."""
    (model / "model.safetensors").resolve().unlink()

    found = [finding for finding in ask(home, code=7) if finding["severity"] == "error"]

    assert {finding["command"] for finding in found} == {"shelf verify m --repair"}
    shell(home, found[0]["command"])
    ask(home)
    assert tree(model) == FILES


def test_damage_that_a_verification_found_is_mended_by_the_command(home: Home, model: Path) -> None:
    """The doctor reads no blobs, but reports damage that verify found, with the command that repairs it."""
    blob = (model / "model.safetensors").resolve()
    blob.write_bytes(bytes(blob.stat().st_size))
    home.run("verify", "m")

    [found] = [finding for finding in ask(home, code=7) if finding["severity"] == "error"]

    assert found["command"] == "shelf verify m --repair"
    shell(home, found["command"])
    ask(home)
    assert tree(model) == FILES


def test_a_ref_that_another_program_moved_is_put_back(home: Home, model: Path) -> None:
    """`--fix` sets a ref that another program moved back to the model's commit, and says so."""
    ref = Base(home.primary).repo(REPO).ref("main")
    ref.write_text(OTHER)
    assert any(finding["fixable"] and finding["detail"].startswith("m: ") for finding in ask(home))

    said = home.run("doctor", "--fix", "--json").checked()

    assert ref.read_text() == model.name
    assert any("ref" in done for done in said.json["fixed"])
    assert said.json["errors"] == 0
    assert home.run("doctor", "--fix", "--json").checked().json["fixed"] == []
    assert "Nothing to fix automatically." in home.run("doctor", "--fix").checked().err


def test_a_request_fixes_what_the_doctor_may(home: Home, model: Path) -> None:
    """`POST /api/doctor/fix` fixes what `--fix` does and says so; asking before that changes nothing."""
    ref = Base(home.primary).repo(REPO).ref("main")
    ref.write_text(OTHER)
    with home.serve() as server:
        asked = server.get("/api/doctor")
        left = ref.read_text()
        fixed = server.ask("POST", "/api/doctor/fix").json
        again = server.ask("POST", "/api/doctor/fix").json

    assert (any(finding["fixable"] for finding in asked["findings"]), left, asked["fixed"]) == (True, OTHER, [])
    assert ref.read_text() == model.name
    assert any("ref" in done for done in fixed["fixed"])
    assert (again["fixed"], again["errors"]) == ([], 0)


def test_lists_that_are_closed_to_others_are_opened(home: Home, model: Path) -> None:
    """`--fix` opens lists that `hf download` wrote for its owner alone, if they are ours."""
    trees = Base(home.primary).repo(REPO).tree(model.name)
    trees.chmod(0o600)
    assert about(ask(home), "1 file list")["fixable"]

    said = home.run("doctor", "--fix", "--json").checked()

    assert trees.stat().st_mode & 0o044 == 0o044
    assert said.json["fixed"] == [f"{trees}: others can read it now."]


def test_stale_locks_and_empty_folders_go_and_nothing_else(home: Home, aged: Doctor, shelf: Shelf) -> None:
    """`--fix` runs gc on stale locks and empty folders; an orphan is only reported."""
    base = Base(home.primary)
    stale = put(base.repo_lock("org/gone"), b"")
    empty = base.repo("org/empty").snapshots / OTHER
    empty.mkdir(parents=True)
    linked, loose = Blob.of(b"linked", lfs=True), Blob.of(b"orphan", lfs=True)
    repo = base.repo("org/orphan")
    put(repo.blob(linked.digest), b"linked")
    (repo.snapshots / OTHER).mkdir(parents=True)
    (repo.snapshots / OTHER / "a.bin").symlink_to(f"../../blobs/{linked.digest}")
    put(repo.ref("main"), OTHER.encode())
    orphan = put(repo.blob(loose.digest), b"orphan")

    report = aged.fix()

    assert (stale.exists(), empty.exists(), orphan.read_bytes()) == (False, False, b"orphan")
    assert any(str(stale) in done for done in report.fixed)
    (left,) = [found for found in report.found if "Nothing needs these leftovers" in found.detail]
    assert (left.command, left.size_bytes >= 6) == ("shelf gc", True)
    assert violations(shelf) == []


def test_files_of_root_are_told_with_the_chown_that_mends_it(home: Home, model: Path) -> None:
    """Files of root in a user's base, as from a container, are reported with the chown that repairs them."""
    if os.geteuid() != 0:
        pytest.skip("giving files away needs root")
    subprocess.run(["chown", "-hR", "1000:1000", str(home.primary)], check=True)
    left = (model / "model.safetensors").resolve()
    os.chown(left, 0, 0)
    left.chmod(0o600)

    found = about(ask(home), "of user 0 (root)")

    assert found["command"] == (
        f"find {home.primary} \\( -type d -o -type f -links 1 \\)"
        " -exec chown -h 1000:1000 {} + -exec chmod u+rX {} +"
    )
    assert found["size_bytes"] >= len(FILES["model.safetensors"])
    shell(home, found["command"])
    assert left.stat().st_uid == 1000


AS_NOBODY = """
import contextlib, io, json, os, sys
from pathlib import Path
from modelshelf.cli.main import main
root, closed, *words = sys.argv[1:]
for command in (words, ["gc", "--json"], ["dedupe", "--json"]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(command)  # imports what this user may not read later
for path in [Path(root), *Path(root).rglob("*")]:
    if not path.is_symlink():
        os.chown(path, 65534, 65534)
os.chown(closed, 0, 0)
os.chmod(closed, 0o700)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for command in (["gc", "--json"], ["dedupe", "--json"]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(command)
main(words)
"""


def test_a_folder_that_root_closed_stops_nobody(hub: FakeHub) -> None:
    """If root closed a folder, a user's doctor, gc and dedupe skip it, and the doctor names its owner."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    hub.add_repo(REPO, FILES)
    with tempfile.TemporaryDirectory(prefix="modelshelf-") as name:
        Path(name).chmod(0o755)
        home = Home(Path(name) / "user", hub.url)
        home.run("add", "m", REPO).checked()
        closed = Base(home.primary).repo("org/closed").path
        put(closed / "blobs/x", b"1")

        said = home.python(AS_NOBODY, str(home.root), str(closed), "doctor", "--fix", "--json")

    assert (said.code, said.err) == (0, ""), said.out
    assert about(said.json["findings"], "of user 0 (root)")["path"] == str(closed)
    assert about(said.json["findings"], "This user can't read this folder")["path"] == str(closed)


def test_a_second_copy_is_told_and_goes_by_the_command(home: Home, hub: FakeHub, model: Path) -> None:
    """A second copy on the secondary is reported with its bytes and the command that deletes it."""
    home.run("tiers").checked()
    home.hf(home.secondary, "download", REPO).checked()

    found = about(ask(home), f"blobs of {REPO} are both in {home.primary} and in {home.secondary}")

    assert found["size_bytes"] == sum(map(len, FILES.values()))
    shell(home, f"{found['command']} --yes")
    assert not Base(home.secondary).repo(REPO).path.exists()
    assert tree(model) == FILES


@pytest.mark.parametrize("why", ["the registry is lost", "a job works on it"])
def test_of_two_copies_none_is_spare_until_it_is_settled(home: Home, hub: FakeHub, model: Path, why: str) -> None:
    """Where the registry was lost, or a job is unfinished, nobody is told to delete what may be the model's copy."""
    home.run("tiers").checked()
    home.hf(home.secondary, "download", REPO).checked()
    assert [one for one in ask(home) if one["topic"] == "copies"]
    with home.open() as shelf:
        if why == "a job works on it":
            shelf.services.registry.enqueue("update", shelf.model("m").row)
    if why == "the registry is lost":
        for file in home.primary.glob("**/registry.db*"):
            file.unlink()

    found = home.run("doctor", "--json").json["findings"]  # a lost registry is an error
    assert not [one for one in found if one["topic"] == "copies"]


def test_an_old_copy_that_waits_for_its_reader_is_no_second_copy(home: Home, model: Path) -> None:
    """An old copy that a job will delete isn't reported as a second copy."""
    home.run("lease", "m").checked()
    home.run("move", "m", "secondary").checked()

    found = ask(home)

    assert (model / "config.json").exists()
    assert not [finding for finding in found if "hf cache rm" in finding["command"]]


def test_a_token_is_told_by_its_place_never_by_its_value(home: Home, model: Path) -> None:
    """A token that everybody may read, or in a base, is a warning that shows its path and never its value."""
    token = put(home.root / "home/.cache/huggingface/token", TOKEN.encode())
    token.chmod(0o644)
    put(home.primary / "token", TOKEN.encode())

    found = ask(home)

    assert about(found, "can be read by everybody")["command"] == f"chmod 600 {token}"
    assert about(found, "a container that mounts this base")["path"] == str(home.primary / "token")
    shell(home, f"chmod 600 {token}")
    assert none_about(ask(home), "can be read by everybody")
    assert about(ask(home, HF_TOKEN=TOKEN), "rejects the token")["severity"] == "warning"


def test_a_good_token_is_taken(home: Home, hub: FakeHub, model: Path) -> None:
    """A token that the hub accepts is reported as valid."""
    said = home.run("doctor", "--json", HF_TOKEN=hub.token).checked()

    assert hub.token not in said.out
    assert none_about(said.json["findings"], "rejects the token")


def test_a_hub_that_is_away_is_no_error(home: Home, hub: FakeHub, model: Path) -> None:
    """An unreachable hub isn't an error; with HF_HUB_OFFLINE it isn't asked."""
    asked = len(hub.requests)
    assert about(ask(home, HF_HUB_OFFLINE="1"), "wasn't contacted: HF_HUB_OFFLINE is set")["severity"] == "info"
    assert len(hub.requests) == asked
    hub.fail("*", status=503)
    assert about(ask(home), "it answers 503")["severity"] == "warning"
    hub.stop()
    assert about(ask(home), "isn't reachable")["severity"] == "warning"


def test_variables_that_fight_are_told(home: Home, model: Path) -> None:
    """Conflicting variables in the doctor's own environment are reported."""
    found = ask(home, code=7, HF_HUB_CACHE="", HF_XET_CACHE="~/xet", HF_HOME="/a/hub")

    assert about(found, "HF_HUB_CACHE is set but empty")["command"] == "unset HF_HUB_CACHE"
    assert about(found, "hf_xet doesn't expand ~")["severity"] == "error"
    assert about(found, "ends in hub")["command"] == "export HF_HOME=/a"


def test_a_cache_that_nothing_needs_is_told(home: Home, model: Path) -> None:
    """Old hf_xet chunks are reported with the command that deletes them."""
    put(home.primary / "xet/chunk", b"x" * 5000)

    found = about(ask(home), "can be deleted: it is a cache")

    assert (found["severity"], found["size_bytes"]) == ("info", 5000)
    shell(home, found["command"])
    assert none_about(ask(home), "can be deleted: it is a cache")


def test_engines_are_found_on_the_path(home: Home, tmp_path: Path) -> None:
    """Engines on the PATH are found by name, and Python packages without importing them."""
    put(tmp_path / "bin/llama-server", b"#!/bin/sh\n").chmod(0o755)

    found = ask(home, PATH=f"{tmp_path}/bin:{home.environ()['PATH']}")

    assert f"llama-server ({tmp_path}/bin/llama-server)" in about(found, "Engines: ")["detail"]


def test_a_part_that_breaks_leaves_the_others(home: Home, model: Path) -> None:
    """If a part of the doctor fails, even by a bug, that is a finding and the others still run."""

    def break_down() -> bool | None:
        raise RuntimeError("nobody thought of this")

    with open_doctor(home.environ()) as doctor:
        report = replace(doctor, greet=break_down).examine()

    assert [found.detail for found in report.found if found.severity == "error"] == [
        "This could not be examined. RuntimeError: nobody thought of this"
    ]
    assert any("lists 1 model" in found.detail for found in report.found)


def test_a_base_that_is_a_file_is_no_traceback(home: Home) -> None:
    """A base that is a file, or anything else, is a finding without a traceback."""
    put(home.primary, b"a file")
    shutil.rmtree(home.secondary, ignore_errors=True)

    said = home.run("doctor", "--json")

    assert said.err == ""
    assert said.json["findings"]
