"""`shelf verify` reports what is wrong and repairs it from another tier or the hub; the stock client agrees."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelshelf.domain.jobs import UNFINISHED
from modelshelf.domain.verify_report import Fault
from modelshelf.errors import NotFound, Unavailable
from modelshelf.services.maintenance.verify import read_report
from modelshelf.services.shelf import Shelf
from modelshelf.store.layout import Base
from tests.builders import digest_of
from tests.fakes.hub import FakeHub
from tests.invariants import violations
from tests.world import MIB, Home, load_offline, random_bytes, tree, wait_until

REPO = "org/name"
WEIGHTS = random_bytes(3_000_000, seed=4)
FILES = {
    "config.json": b'{"a": 1}',
    "empty.txt": b"",
    "model.safetensors": WEIGHTS,
    "deep/er/model-2.safetensors": random_bytes(50_000, seed=5),
}
BIG_DIGEST = digest_of("model.safetensors", WEIGHTS)


@pytest.fixture
def commit_hash(hub: FakeHub, home: Home) -> str:
    """A model that was pulled into the primary; its commit."""
    commit_hash = hub.add_repo(REPO, FILES)
    home.run("add", "m", REPO).checked()
    hub.requests.clear()
    return commit_hash


def base_of(home: Home) -> Base:
    """Return the primary base."""
    return Base(home.primary)


def blob(home: Home, file: str = "model.safetensors", base: Path | None = None) -> Path:
    """Return a file's blob."""
    return Base(base or home.primary).repo(REPO).blob(digest_of(file, FILES[file]))


def rewrite(path: Path, data: bytes) -> None:
    """Change a file's bytes and keep its mtime; another hard link keeps the old bytes."""
    path = path.resolve()
    found = path.stat()
    other = path.with_name("other")
    other.write_bytes(data)
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.replace(path)


def flip(path: Path) -> None:
    """Change one bit of a file."""
    data = path.read_bytes()
    rewrite(path, bytes([data[0] ^ 1]) + data[1:])


def cut(path: Path) -> None:
    """Cut off a file's last byte."""
    rewrite(path, path.read_bytes()[:-1])


def zero(path: Path) -> None:
    """Fill a file with zeros, as a power cut does."""
    rewrite(path, bytes(path.stat().st_size))


def result(home: Home, *words: str, code: int, **more: str) -> Any:
    """Run `shelf verify --json`, assert its exit code, and return the job's result."""
    done = home.run("verify", *words, "--json", **more)
    assert done.code == code, (done.out, done.err)
    return done.json["result"]


def told(found: Any) -> list[tuple[str, str, bool]]:
    """Return each finding's kind, file and whether it was repaired."""
    return sorted((finding["kind"], finding["file"], finding["repaired"]) for finding in found["findings"])


def agree(home: Home, base: Path, commit_hash: str, files: dict[str, bytes] = FILES) -> None:
    """Assert that the stock client finds a repository whole in a base, by its own digests too."""
    assert tree(load_offline(home, base, REPO, commit_hash)) == files
    home.hf(base, "cache", "verify", REPO, "--revision", commit_hash, "--fail-on-missing-files").checked()


def test_a_whole_library_is_quickly_said_to_be_whole(home: Home, commit_hash: str, hub: FakeHub) -> None:
    """In a whole library verify ends with 0, reads every blob, and doesn't ask the hub."""
    found = result(home, "--all", code=0)

    assert (found["checked_blobs"], found["findings"]) == (len(FILES), [])
    assert found["checked_bytes"] == sum(map(len, FILES.values()))
    assert hub.requests == []
    assert "Everything is intact." in home.run("verify", "m").checked().out


@pytest.mark.parametrize(
    ("damage", "kind"), [(flip, "wrong_bytes"), (zero, "wrong_bytes"), (cut, "wrong_size")], ids=["flip", "zero", "cut"]
)
def test_damage_is_found_offline_and_mended_from_the_hub(
    home: Home, hub: FakeHub, commit_hash: str, damage: Callable[[Path], None], kind: str
) -> None:
    """A damaged blob is named, set aside, fetched and verified, and `hf` accepts the result."""
    damage(blob(home))
    bad = blob(home).read_bytes()
    hub.stop()
    assert told(result(home, "m", code=6)) == [(kind, "model.safetensors", False)]
    hub.start()

    found = result(home, "m", "--repair", code=0)

    assert told(found) == [(kind, "model.safetensors", True)]
    aside = Path(found["findings"][0]["quarantined"])
    assert (aside.parent, aside.read_bytes()) == (base_of(home).quarantine, bad)
    agree(home, home.primary, commit_hash)
    assert result(home, "--all", code=0)["findings"] == []
    with home.open() as shelf:
        assert violations(shelf) == []
        assert shelf.model("m").state == "ready"


def test_a_damaged_model_says_so_until_it_is_mended(home: Home, commit_hash: str) -> None:
    """A damaged model isn't loaded or moved; a twin with the same blob is damaged too, a copy elsewhere isn't."""
    home.run("add", "twin", REPO).checked()
    home.run("add", "copy", REPO, "--to", "secondary").checked()
    flip(blob(home))
    home.run("verify", "m")

    assert states(home) == {"m": "damaged", "twin": "damaged", "copy": "ready"}
    for words in (("path", "m"), ("move", "twin", str(home.custom))):
        refused = home.run(*words, "--json")
        assert (refused.code, "shelf verify" in refused.problem["detail"]) == (5, True)

    home.run("verify", "m", "--repair").checked()

    assert states(home) == {"m": "ready", "twin": "ready", "copy": "ready"}
    assert tree(Path(home.run("path", "twin").checked().out.strip())) == FILES


def test_good_bytes_of_another_program_end_the_damage(home: Home, commit_hash: str) -> None:
    """`hf download --force-download` repairs a damaged blob too, without another verify."""
    flip(blob(home))
    home.run("verify", "m")
    assert states(home) == {"m": "damaged"}

    home.hf(home.primary, "download", REPO, "--force-download").checked()

    assert states(home) == {"m": "ready"}


def states(home: Home) -> dict[str, str]:
    """Return each model's state from `shelf ls`."""
    return {model["model_name"]: model["state"] for model in home.run("ls", "--json").checked().json}


def test_a_copy_on_another_tier_spares_the_hub(home: Home, hub: FakeHub, commit_hash: str) -> None:
    """Good bytes are taken from any repository on any tier, without a request to the hub."""
    hub.add_repo("other/copy", {"weights.bin": WEIGHTS})
    home.run("add", "other", "other/copy", "--to", "secondary").checked()
    zero(blob(home))
    hub.stop()

    found = result(home, "m", "--repair", code=0)

    assert told(found) == [("wrong_bytes", "model.safetensors", True)]
    assert tree(load_offline(home, home.primary, REPO, commit_hash)) == FILES
    hub.start()
    agree(home, home.primary, commit_hash)


def test_a_damaged_copy_on_another_tier_is_not_taken(home: Home, hub: FakeHub, commit_hash: str) -> None:
    """Bytes from another tier are verified while copying, and the hub is used if they are wrong."""
    home.run("move", "m", "secondary", "--keep-source").checked()
    zero(blob(home, base=home.secondary))
    cut(blob(home))
    flip(blob(home, "deep/er/model-2.safetensors", home.secondary))

    found = result(home, "m", "--repair", code=0)

    assert [path for kind, path, repaired in told(found) if repaired] == [
        "deep/er/model-2.safetensors",
        "model.safetensors",
    ]
    assert [r.path for r in hub.requests if "/resolve/" in r.path and "model-2" in r.path] == []
    agree(home, home.secondary, commit_hash)


def test_when_nobody_has_good_bytes_the_damage_is_set_aside_and_said(
    home: Home, hub: FakeHub, commit_hash: str
) -> None:
    """If nobody has good bytes, the exit code stays 6, the model is partial, and a later repair completes it."""
    zero(blob(home))
    hub.fail("*", status=404)

    found = result(home, "m", "--repair", code=6)

    (finding,) = found["findings"]
    assert (finding["repaired"], bool(finding["quarantined"])) == (False, True)
    assert finding["trouble"]
    assert finding["hint"] == "shelf verify m --repair"
    with home.open() as shelf:
        assert shelf.model("m").state == "partial"
    hub.heal()
    assert told(result(home, "m", "--repair", code=0)) == [("dangling_link", "model.safetensors", True)]
    agree(home, home.primary, commit_hash)


def lose_blob(home: Home, commit_hash: str) -> None:
    """Delete a blob."""
    blob(home).unlink()


def lose_link(home: Home, commit_hash: str) -> None:
    """Delete a file of the snapshot."""
    (base_of(home).repo(REPO).snapshot(commit_hash) / "deep/er/model-2.safetensors").unlink()


def swap_links(home: Home, commit_hash: str) -> None:
    """Make a link lead to another file's content."""
    path = base_of(home).repo(REPO).snapshot(commit_hash) / "config.json"
    path.unlink()
    path.symlink_to(os.path.relpath(blob(home), path.parent))


def link_out(home: Home, commit_hash: str) -> None:
    """Move a blob out of the base, and link to it."""
    outside = home.root / "outside"
    blob(home).rename(outside)
    blob(home).symlink_to(outside)


def link_snapshot_out(home: Home, commit_hash: str) -> None:
    """Make a file of the snapshot a link out of the base."""
    path = base_of(home).repo(REPO).snapshot(commit_hash) / "model.safetensors"
    path.unlink()
    path.symlink_to("/etc/hostname")


def dangle_ref(home: Home, commit_hash: str) -> None:
    """Point the ref at a missing commit."""
    base_of(home).repo(REPO).ref("main").write_text("b" * 40)


def break_tree(home: Home, commit_hash: str) -> None:
    """Fill the list of files with zeros."""
    base_of(home).repo(REPO).tree(commit_hash).write_bytes(bytes(300))


def lose_everything(home: Home, commit_hash: str) -> None:
    """Delete the whole repository."""
    base_of(home).repo(REPO).path.rename(home.root / "gone")


@pytest.mark.parametrize(
    ("damage", "kind", "file"),
    [
        (lose_blob, "dangling_link", "model.safetensors"),
        (lose_link, "missing_file", "deep/er/model-2.safetensors"),
        (swap_links, "wrong_link", "config.json"),
        (link_out, "link_leaves_base", "model.safetensors"),
        (link_snapshot_out, "link_leaves_base", "model.safetensors"),
        (dangle_ref, "dangling_ref", ""),
        (break_tree, "broken_tree", ""),
    ],
)
def test_what_leads_nowhere_is_said_and_made_right(
    home: Home, hub: FakeHub, commit_hash: str, damage: Callable[[Home, str], None], kind: str, file: str
) -> None:
    """Repair restores links, refs and lists of files, and never touches a target outside the base."""
    damage(home, commit_hash)

    assert told(result(home, "m", code=6)) == [(kind, file, False)]
    assert told(result(home, "m", "--repair", code=0)) == [(kind, file, True)]
    agree(home, home.primary, commit_hash)
    assert (home.root / "outside").exists() == (damage is link_out)
    with home.open() as shelf:
        assert violations(shelf) == []


def test_it_fails_when_files_are_missing(home: Home, hub: FakeHub, commit_hash: str) -> None:
    """Even if the whole repository is missing, repair completes the model."""
    lose_everything(home, commit_hash)

    found = result(home, "m", code=6)

    assert told(found) == [("missing_file", name, False) for name in sorted(FILES)]
    assert told(result(home, "--all", "--repair", code=0)) == [("missing_file", name, True) for name in sorted(FILES)]
    agree(home, home.primary, commit_hash)


def test_a_model_that_was_never_downloaded_is_incomplete(home: Home, hub: FakeHub) -> None:
    """A model that was never downloaded is incomplete by name, and no fault with --all."""
    hub.add_repo(REPO, FILES)
    home.run("add", "m", REPO, "--no-download").checked()

    found = result(home, "m", code=6)

    assert [(f["kind"], f["hint"]) for f in found["findings"]] == [("incomplete", "shelf pull m")]
    assert result(home, "--all", code=0)["findings"] == []


def test_what_nobody_registered_is_set_aside_and_no_more(home: Home, hub: FakeHub, commit_hash: str) -> None:
    """Damage in an unregistered repository is set aside, and the finding has the command that fetches it again."""
    other = hub.add_repo("org/theirs", {"weights.bin": random_bytes(2000), "ok.json": b"{}"})
    home.hf(home.primary, "download", "org/theirs").checked()
    path = Base(home.primary).repo("org/theirs").blob(digest_of("weights.bin", random_bytes(2000)))
    flip(path)
    put_ref = Base(home.primary).repo("org/theirs").ref("old")
    put_ref.write_text("e" * 40)

    found = result(home, "--all", "--repair", code=6)

    assert told(found) == [("dangling_ref", "", False), ("wrong_bytes", "weights.bin", False)]
    assert not path.exists()
    assert put_ref.read_text() == "e" * 40
    put_ref.unlink()
    again = result(home, "--all", "--repair", code=6)
    assert [(f["kind"], f["hint"]) for f in again["findings"]] == [
        ("dangling_link", f"hf download org/theirs --revision {other}")
    ]
    home.hf(home.primary, *again["findings"][0]["hint"].split()[1:]).checked()
    assert result(home, "--all", code=0)["findings"] == []


SHARE = """
import sys
from pathlib import Path
from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store, try_link_from_shared_store
hub, blob, size, xet = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
how = publish_blob_to_shared_store if len(sys.argv) < 6 else try_link_from_shared_store
assert how(blob_path=blob, xet_hash=xet, cache_dir=hub, expected_size=size)
"""


def test_a_damaged_payload_of_the_shared_store_is_mended_for_all_who_link_to_it(
    home: Home, hub: FakeHub, commit_hash: str
) -> None:
    """A damaged payload that two models share is set aside once, both are repaired, and the hub is asked once."""
    hub.add_repo("other/copy", {"model.safetensors": WEIGHTS})
    home.run("add", "other", "other/copy").checked()
    theirs = base_of(home).repo("other/copy").blob(BIG_DIGEST)
    size, xet = str(len(WEIGHTS)), "f" * 64
    home.python(SHARE, str(base_of(home).hub), str(blob(home)), size, xet).checked()
    theirs.unlink()
    home.python(SHARE, str(base_of(home).hub), str(theirs), size, xet, "link").checked()
    payload = blob(home).resolve()
    assert theirs.resolve() == payload
    assert result(home, "--all", code=0)["checked_bytes"] == sum(map(len, FILES.values()))
    flip(payload)
    hub.requests.clear()

    found = result(home, "--all", "--repair", code=0)

    assert told(found) == [("wrong_bytes", "model.safetensors", True)] * 2
    assert [len(f["quarantined"]) > 0 for f in found["findings"]] == [True, False]
    assert not payload.exists()
    assert {r.path for r in hub.requests if "/resolve/" in r.path} == {
        f"/{REPO}/resolve/{commit_hash}/model.safetensors"
    }
    agree(home, home.primary, commit_hash)
    with home.open() as shelf:
        assert violations(shelf) == []


def test_a_tier_without_links_is_verified_and_mended(home: Home, hub: FakeHub) -> None:
    """On a tier without links damaged files are set aside and restored in the snapshot."""
    commit_hash = hub.add_repo(REPO, FILES)
    home.hf(home.primary, "download", REPO, HF_HUB_DISABLE_SYMLINKS="1").checked()
    snapshot = base_of(home).repo(REPO).snapshot(commit_hash)
    home.run("add", "m", REPO, HF_HUB_DISABLE_SYMLINKS="1").checked()
    path = snapshot / "model.safetensors"
    assert path.is_file()
    was_link = path.is_symlink()
    flip(path)

    assert told(result(home, "m", code=6)) == [("wrong_bytes", "model.safetensors", False)]
    assert told(result(home, "m", "--repair", code=0)) == [("wrong_bytes", "model.safetensors", True)]

    assert path.is_symlink() == was_link
    agree(home, home.primary, commit_hash)


def test_bytes_in_the_snapshot_itself_come_back_there(home: Home, hub: FakeHub, commit_hash: str) -> None:
    """A snapshot of real files stays one when repaired from another tier, a twin file or the hub."""
    home.run("move", "m", "secondary", "--keep-source").checked()
    snapshot = Base(home.secondary).repo(REPO).snapshot(commit_hash)
    for name in FILES:
        real = (snapshot / name).resolve()
        (snapshot / name).unlink()
        real.rename(snapshot / name)
    flip(snapshot / "model.safetensors")
    (snapshot / "config.json").unlink()
    hub.stop()

    found = result(home, "m", "--repair", code=0)

    assert told(found) == [("missing_file", "config.json", True), ("wrong_bytes", "model.safetensors", True)]
    assert [path for path in snapshot.rglob("*") if path.is_symlink()] == []
    assert tree(snapshot) == FILES
    assert list(Base(home.secondary).repo(REPO).blobs.iterdir()) == []
    hub.start()
    agree(home, home.secondary, commit_hash)


def test_a_second_user_is_told_what_to_open(hub: FakeHub) -> None:
    """A second user who can't read a list of files gets the command that opens it."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    with tempfile.TemporaryDirectory(prefix="modelshelf-") as name:
        Path(name).chmod(0o755)
        home = Home(Path(name) / "user", hub.url)
        commit_hash = hub.add_repo(REPO, FILES)
        home.run("add", "m", REPO).checked()
        listing = base_of(home).repo(REPO).tree(commit_hash)
        listing.chmod(0o600)

        done = home.python(AS_NOBODY, str(home.root), str(listing), "verify", "m", "--json")

        assert done.code == 6, done.err
        (finding,) = json.loads(done.out)["result"]["findings"]
        assert (finding["kind"], finding["hint"]) == ("unreadable_tree", f"sudo chmod a+r {listing}")
        mended = home.python(AS_NOBODY, str(home.root), str(listing), "verify", "m", "--repair", "--json")
        assert told(json.loads(mended.out)["result"]) == [("unreadable_tree", "", True)]
        agree(home, home.primary, commit_hash)


AS_NOBODY = """
import contextlib, io, os, sys
from pathlib import Path
from modelshelf.cli.main import main
root, listing, *words = sys.argv[1:]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(words)  # imports what this user may not read later
for path in [Path(root), *Path(root).rglob("*")]:
    if str(path) != listing and not path.is_symlink():
        os.chown(path, 65534, 65534)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
main(words)
"""


def test_what_was_verified_lately_is_left_out_unless_it_was_written(home: Home, commit_hash: str) -> None:
    """`--max-age` skips files that were verified lately and not written since."""
    result(home, "m", code=0)
    found = result(home, "m", "--max-age", "1h", code=0)
    assert (found["checked_blobs"], found["skipped_blobs"]) == (0, len(FILES))
    assert found["skipped_bytes"] == sum(map(len, FILES.values()))

    os.utime(blob(home), (1, 1))

    found = result(home, "m", "--max-age", "1h", code=0)
    assert (found["checked_blobs"], found["checked_bytes"]) == (1, len(WEIGHTS))
    os.utime(blob(home), (2, 2))
    assert home.run("verify", "m", "--max-age", "1h").checked().out.startswith("Read 1 blob, ")
    assert result(home, "m", code=0)["checked_blobs"] == len(FILES)


def test_bytes_that_rot_in_place_are_found_once_the_age_is_over(home: Home, commit_hash: str) -> None:
    """A bit flipped without a new mtime is found once --max-age is over, and the file no longer counts as good."""
    result(home, "m", code=0)
    flip(blob(home))

    assert result(home, "m", "--max-age", "1h", code=0)["skipped_blobs"] == len(FILES)
    result(home, "m", code=6)
    assert told(result(home, "m", "--max-age", "1h", code=6)) == [("wrong_bytes", "model.safetensors", False)]


def test_a_killed_verification_goes_on_where_it_was(home: Home, hub: FakeHub) -> None:
    """After a kill the same command doesn't read again what it had verified; a new one does."""
    files = {f"model-{i}.safetensors": random_bytes(MIB, seed=i) for i in range(8)}
    hub.add_repo(REPO, files)
    home.run("add", "m", REPO).checked()
    child = home.start("verify", "m", "--rate", "2MB", "--json")
    with home.open() as shelf:
        (tier_id,) = [i for path, i in shelf.services.registry.tier_ids().items() if path == str(home.primary)]
        running = wait_until(lambda: shelf.services.registry.jobs(state=UNFINISHED), "the job to be there")
        since = running[0].created_at
        verified = shelf.services.registry.verified
        wait_until(lambda: len(verified.of_tier(tier_id, since)) >= 3, "three blobs to be noted")
    child.kill()
    with home.open() as shelf:
        known = len(shelf.services.registry.verified.of_tier(tier_id, since))

    found = home.run("verify", "m", "--rate", "2MB", "--json").checked().json

    assert found["id"] == running[0].id
    assert (found["result"]["checked_blobs"], found["result"]["skipped_blobs"]) == (8 - known, known)
    assert result(home, "m", "--rate", "1GB", code=0)["checked_blobs"] == 8


def test_a_rate_is_kept(home: Home, commit_hash: str, shelf: Shelf) -> None:
    """With a rate of 2 MB/s, verifying 3 MB takes more than one second."""
    begun = shelf.services.clock.now()

    assert shelf.verify(["m"], rate_bytes_per_s=2_000_000).wrong == []

    assert shelf.services.clock.now() - begun >= 1.0


def test_the_library_of_python_gives_the_findings(home: Home, shelf: Shelf, commit_hash: str) -> None:
    """In Python `verify` returns the findings as values."""
    blob(home, "config.json").unlink()

    report = shelf.verify()

    assert [(f.kind, f.model_name, f.file) for f in report.wrong] == [(Fault.DANGLING_LINK, "m", "config.json")]
    job = shelf.services.registry.jobs()[0]
    assert (job.kind, job.state, read_report(job.result)) == ("verify", "done", report)
    assert shelf.verify(["m"], repair=True).wrong == []


def test_what_cannot_be_asked_for_is_refused(home: Home, shelf: Shelf, commit_hash: str) -> None:
    """An unknown model, neither a name nor --all, both, or invalid numbers are refused."""
    with pytest.raises(NotFound):
        shelf.verify(["nobody"])
    for words in ([], ["m", "--all"], ["m", "--rate", "fast"], ["m", "--max-age", "old"], ["m", "--rate", "0"]):
        assert home.run("verify", *words).code == 2


def test_a_tier_that_is_away_is_said_to_be(home: Home, hub: FakeHub, shelf: Shelf) -> None:
    """A named model on an offline tier can't be verified; with --all the rest is, and nothing counts as missing."""
    hub.add_repo(REPO, FILES)
    shelf.register("m", REPO, "secondary")
    Base(home.secondary).marker.rename(home.root / "tier.json")

    with pytest.raises(Unavailable):
        shelf.verify(["m"])
    report = shelf.verify()
    assert (report.offline, report.findings) == ((str(home.secondary),), ())
    assert "isn't mounted" in home.run("verify", "--all").checked().err


def test_a_model_that_is_moved_while_it_is_verified_is_not_called_missing(
    home: Home, hub: FakeHub, shelf: Shelf, commit_hash: str
) -> None:
    """A model that is moved during its verification isn't reported as missing."""
    job = shelf.services.verifier.enqueue(["m"], rate_bytes_per_s=1_500_000)
    moved: list[str] = []

    def move(_: object) -> None:
        if not moved:
            moved.append(home.run("move", "m", "secondary").checked().out)

    shelf.services.runner.finish(job, move)

    assert moved
    assert read_report(shelf.services.registry.job(job.id).result).wrong == []


def test_it_can_be_asked_for_over_http(home: Home, hub: FakeHub, commit_hash: str) -> None:
    """A POST starts a job whose result lists the findings; a repair is another job."""
    flip(blob(home))
    with home.serve() as server:
        answer = server.ask("POST", "/api/models/m/verify")
        assert answer.status == 202
        done = finished(server, answer)
        assert [f["kind"] for f in done["result"]["findings"]] == ["wrong_bytes"]

        done = finished(server, server.ask("POST", "/api/cache/verify", {"repair": True}))
        assert (done["state"], done["result"]["wrong"]) == ("done", 0)
        assert server.ask("POST", "/api/cache/verify", {"rate_bytes_per_s": 0}).status == 422
        assert server.ask("POST", "/api/models/nobody/verify").status == 404


def finished(server: Any, answer: Any) -> Any:
    """Return the job of an answer once it has ended."""
    path = answer.headers["location"]
    return wait_until(lambda: (job := server.get(path))["finished_at"] and job, "the job to end")


@pytest.fixture
def full_home(home: Home) -> Home:
    """A primary with room for the model once."""
    home.extra["PRIMARY_CACHE_LIMIT_GB"] = "0.005"
    home.extra["ON_FULL"] = "refuse"
    return home


def test_a_repair_keeps_the_limit(full_home: Home, hub: FakeHub) -> None:
    """Repair counts what was set aside, and says so if the good bytes don't fit beside it."""
    hub.add_repo(REPO, FILES)
    full_home.run("add", "m", REPO).checked()
    zero(blob(full_home))

    (finding,) = result(full_home, "m", "--repair", code=6)["findings"]

    assert "shelf gc --quarantine" in finding["trouble"]
    Path(finding["quarantined"]).unlink()
    assert result(full_home, "m", "--repair", code=0)["wrong"] == 0
