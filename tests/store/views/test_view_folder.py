"""A view's folder and record on a disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from modelshelf.domain.names import BasePath, FilePath, ModelName, RepoId, ViewRoot
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.view_plans import paths_of, plan_view
from modelshelf.domain.views import NOTHING, OTHER, Holding, Link, Made, SourceFile, Text, View
from modelshelf.errors import BadInput, OutOfSpace
from modelshelf.store.layout import Base
from modelshelf.store.views import folder, records

M = ModelName("m")


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """A primary base."""
    return Base(tmp_path / "base")


@pytest.fixture
def view(tmp_path: Path) -> View:
    """A view without anything in it."""
    (tmp_path / "root").mkdir()
    return View(ViewKind.FOLDER, ViewRoot(str(tmp_path / "root")), (M,), BasePath(str(tmp_path / "base")))


def make_true(base: Base, view: View, **entries: Link | Text) -> View:
    """Let a view hold these entries, each by its path with `_` for a slash; return its record."""
    paths = {path.replace("_", "/"): entry for path, entry in entries.items()}
    holding = Holding(paths, dict.fromkeys(paths, M))
    seen, missing = folder.look(Path(view.root), paths_of(view, holding))
    plan = plan_view(view, holding, seen, missing, ())
    folder.carry_out(base, view, plan)
    return read(base, view)


def read(base: Base, view: View) -> View:
    """Return a view with what its record says that was made in it."""
    return records.filled(base, records.read(base, view.kind, view.root) or view)


def test_a_view_is_made_changed_and_emptied(base: Base, view: View) -> None:
    """Links and files come, change in place, and go with the folders that were made for them."""
    root = Path(view.root)
    assert records.read(base, view.kind, view.root) is None
    view = make_true(base, view, d_link=Link("/a"), d_text=Text("1"))
    assert ((root / "d/link").readlink(), (root / "d/text").read_text()) == (Path("/a"), "1")
    view = make_true(base, view, d_link=Link("/b"), d_text=Text("2"))
    assert ((root / "d/link").readlink(), (root / "d/text").read_text()) == (Path("/b"), "2")
    assert [records.filled(base, found) for found in records.read_all(base)] == [view]

    view = make_true(base, view)

    assert (list(root.iterdir()), view.made, view.folders) == ([], {}, frozenset())
    records.remove(base, view)
    assert records.read_all(base) == []


def test_on_a_full_disk_nothing_is_left_that_leads_nowhere(
    base: Base, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the record of what comes can't be written, what nothing needs any more goes all the same."""
    view = make_true(base, view, old=Link("/a"))

    def full(*_: object) -> None:
        raise OutOfSpace("The disk is full.")

    monkeypatch.setattr(records, "write", full)
    with pytest.raises(OutOfSpace):
        make_true(base, view, new=Link("/b"))

    assert list(Path(view.root).iterdir()) == []


def test_a_true_view_is_not_written(base: Base, view: View) -> None:
    """A view that is as it should be writes nothing, not even its record."""
    view = make_true(base, view, link=Link("/a"))
    before = [path.stat().st_mtime_ns for path in base.views.rglob("*")]

    make_true(base, view, link=Link("/a"))

    assert [path.stat().st_mtime_ns for path in base.views.rglob("*")] == before


def test_what_came_in_between_stays(base: Base, view: View) -> None:
    """What somebody put at a name, or changed, after the plan was made is neither replaced nor deleted."""
    root = Path(view.root)
    view = make_true(base, view, a=Link("/1"), b=Link("/1"))
    holding = Holding({"a": Link("/2"), "c": Link("/2"), "d": Text("x")}, dict.fromkeys("acd", M))
    seen, missing = folder.look(root, paths_of(view, holding))
    plan = plan_view(view, holding, seen, missing, ())
    for name in "abcd":
        (root / name).unlink(missing_ok=True)
        (root / name).write_text("theirs")

    _, is_whole = folder.carry_out(base, view, plan)

    assert not is_whole
    assert {path.name: path.read_text() for path in root.iterdir()} == dict.fromkeys("abcd", "theirs")


def test_a_killed_change_leaves_nothing(base: Base, view: View) -> None:
    """What a killed process left beside a name of ours is deleted; what is named nearly so isn't."""
    root = Path(view.root)
    view = replace(make_true(base, view, a=Link("/1"), b_c=Link("/1")), pending=frozenset({""}))
    ours, theirs = root / ".a.0123abcd.shelf-tmp", root / ".other.0123abcd.shelf-tmp"
    for path in (ours, theirs):
        path.symlink_to("/1")
    (root / "b/c").unlink()
    (root / "b").rmdir()

    view = make_true(base, view, a=Link("/1"))

    assert (sorted(root.iterdir()), view.pending) == ([theirs, root / "a"], frozenset())


def test_what_is_below_a_link_is_somebody_else_s(base: Base, view: View, tmp_path: Path) -> None:
    """Below a link, a file or an unreadable name nothing is ours, and a missing folder is told from these."""
    root = Path(view.root)
    (root / "link").symlink_to(tmp_path)
    (root / "file").write_text("")
    (root / "folder").mkdir()

    seen, missing = folder.look(root, ["link/x", "file/x", "folder", "folder/x", "new/x", "new/y"])

    assert list(seen.values()) == [OTHER, OTHER, OTHER, NOTHING, NOTHING, NOTHING]
    assert missing == {"new"}
    assert folder.mark_at(root, "file/x") == NOTHING


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "word"},
        {"root": "x"},
        {"models": ["no name"]},
        {"places": {"x": []}},
    ],
    ids=str,
)
def test_a_strange_record_is_refused(base: Base, view: View, change: dict[str, object]) -> None:
    """A record that we can't have written is refused by its path, and nothing is deleted on its word."""
    view = make_true(base, view, a=Link("/1"))
    path = base.view(view.kind, view.root)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    with pytest.raises(BadInput, match="isn't a view's record"):
        records.read_all(base)


def test_a_view_in_the_primary_is_found_wherever_that_is(base: Base, view: View, tmp_path: Path) -> None:
    """A process that has the primary base at another path finds the view in it as its own."""
    base.path.mkdir()
    view = replace(view, root=ViewRoot(str(base.path)), made={FilePath("a"): Made(M, ("-> /1",))})
    records.write(base, replace(view, secondary="/mnt/slow"))
    moved = Base(base.path.rename(tmp_path / "moved"))

    (found,) = records.read_all(moved)

    assert (found.root, found.primary, found.secondary) == (str(moved.path), str(moved.path), "/mnt/slow")
    assert records.read(moved, view.kind, found.root) == found
    assert (found.made, records.filled(moved, found).made) == ({}, view.made)


def test_a_record_knows_the_files_whose_places_links_took(base: Base, view: View) -> None:
    """A record names the repository's file behind each link; the mark beside it is none."""
    view = replace(view, places={FilePath("a.gguf"): SourceFile(RepoId("org/name"), FilePath("b.gguf"))})
    records.write(base, view)
    base.views_mark.write_text("{}")

    assert [records.filled(base, found) for found in records.read_all(base)] == [view]


def test_a_folder_is_looked_at_once_for_all_below_it(base: Base, view: View) -> None:
    """Names in two folders of one folder come and go with it."""
    make_true(base, view, d_a_link=Link("/a"), d_b_link=Link("/b"))
    assert sorted(path.name for path in Path(view.root, "d").iterdir()) == ["a", "b"]


def test_real_folders_are_told_from_links(tmp_path: Path) -> None:
    """Only real folders are named, and none where nothing can be read."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "c").touch()

    (tmp_path / "models--x").mkdir()

    assert folder.repo_folders_in(tmp_path) == {"a", "models--x"}
    assert folder.repo_folders_in(tmp_path, {"x", "y"}) == {"models--x"}
    assert folder.repo_folders_in(tmp_path / "none") == set()


def test_records_are_told_apart_by_what_they_say(base: Base, view: View, tmp_path: Path) -> None:
    """Each record has a digest of what the view is, which what was made in it doesn't change; without one are none."""
    assert records.written(Base(tmp_path / "none")) == {}
    records.write(base, view)
    before = records.written(base)
    (base.views / "true").touch()
    (base.views / "folder.json").mkdir()

    assert list(before) == [str(base.view(view.kind, view.root))]
    records.write(base, replace(view, pending=frozenset({""}), made={FilePath("a"): Made(M, ("-> /1",))}))
    assert records.written(base) == before
    records.write_choice(base, replace(view, models=None))
    assert records.written(base) != before
    assert read(base, view).made.keys() == {"a"}


ONE, TWO = "org/one", "org/two"


@pytest.fixture
def divided(base: Base, view: View) -> View:
    """A view with something of two repositories, something of its own, and a folder of each and of both."""
    made = {FilePath(f"{repo}/a"): Made(M, ("-> /1",), repo) for repo in (ONE, TWO)}
    both = {FilePath("paths.yaml"): Made(None, ("sha256:0",)), **made}
    view = replace(view, made=both, folders=frozenset({"org", ONE, TWO, "left"}))
    records.write(base, view)
    return view


def test_a_part_of_a_record_is_read_and_written_alone(base: Base, divided: View) -> None:
    """What was made for a repository is read and written without that of others, beside what is no repository's."""
    section = records.filled(base, divided, frozenset({ONE}))
    assert section.made.keys() == {"paths.yaml", f"{ONE}/a"}
    assert section.folders == {"org", ONE, "left"}
    assert records.has_others(base, section)
    assert not records.has_others(base, divided)

    records.write(base, replace(section, made={}, folders=frozenset({"org"}), pending=frozenset()))

    left = read(base, divided)
    assert (left.made, left.folders) == ({f"{TWO}/a": divided.made[f"{TWO}/a"]}, {"org", TWO})
    assert not records.has_others(base, records.filled(base, divided, frozenset({TWO})))
    records.write(base, replace(left, made={}, folders=frozenset()))
    assert list(base.view_sections(left.kind, left.root).iterdir()) == []


def test_only_files_with_a_changed_part_are_written(base: Base, divided: View) -> None:
    """A change for one repository leaves the files without it as they are, also where all of a view is written."""
    files = sorted(base.view_sections(divided.kind, divided.root).iterdir())
    before = {path: path.stat().st_ino for path in files}

    records.write(base, replace(divided, made={**divided.made, f"{ONE}/a": Made(M, ("-> /2",), ONE)}))

    changed = [path for path in files if path.stat().st_ino != before[path]]
    assert len(files) == 3
    assert [ONE in path.read_text() for path in changed] == [True]


def test_only_what_was_under_way_is_swept(base: Base, divided: View) -> None:
    """What a killed change left is looked for beside the names of its repository alone."""
    root = Path(divided.root)
    for repo in (ONE, TWO):
        (root / repo).mkdir(parents=True)
        (root / repo / ".a.0123abcd.shelf-tmp").touch()
    records.write(base, replace(divided, pending=frozenset({ONE})))

    make_true(base, read(base, divided))

    assert [(root / repo).exists() for repo in (ONE, TWO)] == [False, True]
    assert read(base, divided).pending == frozenset()


@pytest.mark.parametrize(
    "line",
    [
        '{"../x": ["m", []]}, [], false',
        '{"x": []}, [], false',
        '{"x": ["no name", []]}, [], false',
        '{}, ["/"], false',
        "{}, [], 1",
        "{}, []",
    ],
)
@pytest.mark.parametrize("key", ["", ONE, "no/re/po"])
def test_a_strange_part_is_refused(base: Base, divided: View, line: str, key: str) -> None:
    """A section that we can't have written is refused by its path, and nothing is deleted on its word."""
    path = base.view_sections(divided.kind, divided.root) / ("own" if key == "" else "repos-0")
    path.write_text(f"{key}\t[{line}]\n")

    with pytest.raises(BadInput, match=f"{path} isn't a view's record"):
        records.filled(base, divided)
