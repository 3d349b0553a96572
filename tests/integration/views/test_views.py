"""Views: folders that other programs read, with links that follow each model."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelshelf.cli.view import check_words
from modelshelf.domain.jobs import JobKind
from modelshelf.domain.names import ModelName, ViewRoot
from modelshelf.domain.view_kinds import ViewKind
from modelshelf.domain.views import ViewState
from modelshelf.errors import BadInput, Cancelled, Conflict, Denied, NotFound, Unavailable
from modelshelf.services.jobs.progress import Counter
from modelshelf.services.shelf import Shelf
from modelshelf.services.views.place import was_deleted
from modelshelf.store.adopt import other_tools
from modelshelf.store.layout import Base
from modelshelf.store.repos import scan
from modelshelf.store.tiers import meter
from tests.fakes.hub import FakeHub
from tests.headers import gguf, safetensors
from tests.invariants import violations
from tests.world import Home, Result, Server, random_bytes, tree, wait_until

WEIGHTS = gguf(
    {
        "general.architecture": "llama",
        "general.file_type": 15,
        "tokenizer.chat_template": "{% for m in messages %}<|im_start|>{{ m }}{% endfor %}",
    },
    {"w": ([1000, 1000], 12)},
)
REPO = "org/name-GGUF"
FILES = {"README.md": b"hello", "name-Q4_K_M.gguf": WEIGHTS + random_bytes(10_000)}
OTHERS = {"config.json": b"{}", "model.safetensors": safetensors({"w": ("F32", [2])})}


@pytest.fixture
def home(home: Home) -> Home:
    """A home without the views that nobody asked for: what is listed here is the view that a test makes."""
    home.views = ""
    return home


@pytest.fixture
def root(home: Home) -> ViewRoot:
    """A folder that another program reads, with a file of its own."""
    folder = home.root / "program/models"
    (folder / "org").mkdir(parents=True)
    (folder / "org/mine.txt").write_text("mine")
    return ViewRoot(str(folder))


@pytest.fixture
def library(hub: FakeHub, shelf: Shelf) -> Shelf:
    """A library with a model of GGUF, one of safetensors, and one that is only registered."""
    hub.add_repo(REPO, FILES)
    hub.add_repo("org/other", OTHERS)
    shelf.register("m", REPO)
    shelf.register("other", "org/other")
    return shelf


def links_of(root: str) -> dict[str, Path]:
    """Return where every link below a folder leads in the end, by path."""
    found = [path for path in scan.walk_files(Path(root)) if path.is_symlink()]
    return {path.relative_to(root).as_posix(): path.resolve(strict=True) for path in found}


def add(shelf: Shelf, root: ViewRoot, *names: str, kind: ViewKind = ViewKind.FOLDER) -> None:
    """Add a view, of all models without a name."""
    status = shelf.services.views.add(kind, root, [ModelName(name) for name in names] or None)
    assert status.state is ViewState.TRUE, status


def check_true(shelf: Shelf, root: ViewRoot, base: Path, *files: str) -> None:
    """Assert that exactly these files are links that lead into a base, and that nothing else was touched."""
    found = links_of(root)
    assert sorted(found) == sorted(files)
    assert all(base in place.parents for place in found.values())
    assert Path(root, "org/mine.txt").read_text() == "mine"
    assert [status.state for status in shelf.services.views.all()] == [ViewState.TRUE]
    assert violations(shelf) == []


def test_links_follow_a_model_wherever_it_goes(library: Shelf, root: ViewRoot, home: Home) -> None:
    """Links lead to a model after each move, under its new name too, and are gone once it is removed."""
    names = [f"{REPO}/{name}" for name in FILES]
    add(library, root, "m")
    check_true(library, root, home.primary, *names)

    library.move("m", "secondary")
    check_true(library, root, home.secondary, *names)
    library.rename("m", "n")
    check_true(library, root, home.secondary, *names)
    library.move("n", "primary")
    check_true(library, root, home.primary, *names)
    library.remove("n", delete_files=True)
    check_true(library, root, home.primary)
    assert not Path(root, REPO).exists()


def test_a_view_of_all_models_takes_each_new_one(library: Shelf, root: ViewRoot, home: Home, hub: FakeHub) -> None:
    """A view of all models has a new model once it is downloaded, and follows an update."""
    add(library, root)
    hub.add_repo("org/new", {"a.bin": b"1"})
    library.register("new", "org/new")
    assert "org/new/a.bin" in links_of(root)

    hub.add_repo("org/new", {"b.bin": b"2"})
    library.update("new")

    assert {"org/new/a.bin", "org/new/b.bin"} & links_of(root).keys() == {"org/new/b.bin"}
    assert tree(Path(root, "org/new")) == {"b.bin": b"2"}


def test_an_evicted_model_stays_in_its_view(library: Shelf, root: ViewRoot, home: Home, hub: FakeHub) -> None:
    """A model that leaves the primary to make room is read through its view all the same."""
    for name in ("cold", "large"):
        hub.add_repo(f"org/{name}", {"w.bin": random_bytes(5_000_000, seed=len(name))})
    library.register("cold", "org/cold")
    add(library, root, "cold")
    limit = (library.tiers()[0].usage.apparent_bytes + 2_000_000) / 1e9
    with home.open(PRIMARY_CACHE_LIMIT_GB=str(limit)) as limited:
        limited.register("large", "org/large")

    assert library.model("cold").cache_location == "secondary"
    check_true(library, root, home.secondary, "org/cold/w.bin")


def test_what_is_not_ours_stays(library: Shelf, root: ViewRoot) -> None:
    """A file of the program's, or a link that somebody changed, is neither replaced nor deleted, and is named."""
    theirs = Path(root, REPO, "README.md")
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    weights = theirs.with_name("name-Q4_K_M.gguf")
    status = library.services.views.add(ViewKind.FOLDER, root, [ModelName("m")])
    assert (status.state, status.blocked) == (ViewState.BLOCKED, (f"{REPO}/README.md",))

    weights.unlink()
    weights.symlink_to("/nowhere")
    library.services.views.remove(ViewKind.FOLDER, root)

    assert (theirs.read_text(), str(weights.readlink())) == ("theirs", "/nowhere")
    assert library.services.views.all() == []


def test_only_what_is_true_afterwards_is_fixed(library: Shelf, root: ViewRoot, cli: Callable[..., Result]) -> None:
    """A view is blocked once only somebody else's file is in its way; `doctor --fix` mends the rest, and says so."""
    add(library, root, "m")
    weights, readme = (Path(root, REPO, name) for name in ("name-Q4_K_M.gguf", "README.md"))
    readme.unlink()
    readme.write_text("theirs")
    assert [status.state for status in library.services.views.all()] == [ViewState.BLOCKED]

    weights.unlink()
    assert [status.state for status in library.services.views.all()] == [ViewState.STALE]
    said = cli("doctor", "--fix").out
    assert ("is true again" in said, "is blocked" in said, said.count("shelf view sync")) == (False, True, 1)
    assert (weights.is_symlink(), readme.read_text()) == (True, "theirs")

    readme.unlink()
    said = cli("doctor", "--fix").out
    assert ("is true again" in said, "is blocked" in said) == (True, False)


def test_nothing_is_made_through_a_link(library: Shelf, root: ViewRoot, tmp_path: Path) -> None:
    """Where a folder of the program's is a link, nothing is written behind it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Path(root, REPO).symlink_to(elsewhere)

    status = library.services.views.add(ViewKind.FOLDER, root, [ModelName("m")])

    assert (status.state, list(elsewhere.iterdir())) == (ViewState.BLOCKED, [])


def test_lm_studio_has_two_levels_and_what_it_can_read(library: Shelf, root: ViewRoot) -> None:
    """LM Studio's view has GGUF files and models of MLX at two levels; other safetensors are refused by name."""
    with pytest.raises(BadInput, match="LM Studio reads GGUF files and models of MLX"):
        library.services.views.add(ViewKind.LMSTUDIO, root, [ModelName("other")])
    assert library.services.views.all() == []

    add(library, root, kind=ViewKind.LMSTUDIO)

    assert list(links_of(root)) == [f"{REPO}/name-Q4_K_M.gguf"]


@pytest.mark.parametrize("kind", [ViewKind.LMSTUDIO, ViewKind.OLLAMA])
def test_adopt_reads_the_same_model_from_a_copy_of_a_view(library: Shelf, home: Home, kind: ViewKind) -> None:
    """What a view holds is the model by its digest to the reader of that program's folders, and no copy by itself."""
    root = ViewRoot(str(home.root / "program"))
    add(library, root, "m", kind=kind)
    copy = home.root / "copy"
    shutil.copytree(root, copy)

    (found,) = other_tools.find(copy).models
    own = other_tools.find(Path(root)).models

    (_, place), *others = found.sources
    assert (found.trouble, others) == ("", [])
    assert Path(place).read_bytes() == FILES["name-Q4_K_M.gguf"]
    assert [one.trouble == "" for one in own] in ([], [False])


def test_ollama_s_manifest_is_complete(library: Shelf, home: Home) -> None:
    """Each layer of Ollama's manifest is a blob with its size and digest: weights, template, parameters and config."""
    root = ViewRoot(str(home.root / "ollama/models"))
    add(library, root, "m", kind=ViewKind.OLLAMA)
    manifest = json.loads(Path(root, "manifests/registry.ollama.ai/library/m/latest").read_text())
    blobs: dict[str, bytes] = {}
    for layer in (*manifest["layers"], manifest["config"]):
        content = Path(root, "blobs", layer["digest"].replace(":", "-")).read_bytes()
        assert (f"sha256:{hashlib.sha256(content).hexdigest()}", len(content)) == (layer["digest"], layer["size"])
        blobs[layer["mediaType"].rpartition(".")[2]] = content

    assert blobs["model"] == FILES["name-Q4_K_M.gguf"]
    assert b"<|im_start|>{{ .Role }}" in blobs["template"]
    assert json.loads(blobs["params"]) == {"stop": ["<|im_start|>", "<|im_end|>"]}
    config = json.loads(blobs["v1+json"])
    assert (config["model_family"], config["model_type"], config["file_type"]) == ("llama", "1.00M", "Q4_K_M")

    library.services.views.remove(ViewKind.OLLAMA, root)
    assert list(Path(root).iterdir()) == []


def test_a_view_counts_as_no_copy(library: Shelf, root: ViewRoot, home: Home) -> None:
    """With a view the tiers hold what they held: no bytes more, nothing to collect or share, nothing wrong."""
    before = meter.measure(Base(home.primary)).breakdown["models"]
    add(library, root)

    assert meter.measure(Base(home.primary)).breakdown["models"] == before
    assert library.verify().findings == ()
    assert not any(tier["plan"]["items"] for tier in library.gc() if "plan" in tier)
    assert links_of(root).keys() == {f"{REPO}/{name}" for name in FILES} | {f"org/other/{name}" for name in OTHERS}


def test_links_stay_while_a_drive_is_away(library: Shelf, root: ViewRoot, home: Home) -> None:
    """While a model's drive isn't mounted its links stay as they are, and lead to it again when it is back."""
    library.move("m", "secondary")
    add(library, root)
    home.secondary.rename(home.root / "away")
    (status,) = library.services.views.sync()
    assert status.state is ViewState.TRUE
    (home.root / "away").rename(home.secondary)

    check_true(library, root, home.root, *(f"{REPO}/{n}" for n in FILES), *(f"org/other/{n}" for n in OTHERS))


def test_a_folder_that_is_away_is_left_alone(library: Shelf, root: ViewRoot, home: Home) -> None:
    """A view whose folder isn't mounted isn't made anew; once it is back its links are mended."""
    add(library, root, "m")
    Path(root).rename(home.root / "away")
    library.move("m", "secondary")
    assert [status.state for status in library.services.views.all()] == [ViewState.AWAY]
    with pytest.raises(Unavailable):
        library.services.views.remove(ViewKind.FOLDER, root)
    (home.root / "away").rename(root)

    library.reconcile()

    check_true(library, root, home.secondary, *(f"{REPO}/{name}" for name in FILES))


def test_a_sync_makes_a_deleted_folder_again(library: Shelf, root: ViewRoot, home: Home) -> None:
    """The sync of a named view makes its folder again, but not where a drive may be away; what to do is told."""
    other = ViewRoot(str(home.root / "program/other"))
    add(library, other, "m")
    shutil.rmtree(other)
    (status,) = library.services.views.sync()
    assert (status.state, Path(other).exists()) == (ViewState.AWAY, False)
    assert f"mkdir -p {other}, then shelf view sync folder {other}, or shelf view rm folder" in status.told

    (status,) = library.services.view_syncer.sync(ViewKind.FOLDER, other)
    assert (status.state, sorted(links_of(other))) == (ViewState.TRUE, sorted(f"{REPO}/{name}" for name in FILES))

    shutil.rmtree(other)
    shutil.rmtree(root)  # what is above is empty now, as where a drive would be mounted
    (status,) = library.services.view_syncer.sync(ViewKind.FOLDER, other)
    assert (status.state, list(Path(other).parent.iterdir())) == (ViewState.AWAY, [])


def test_where_a_drive_may_be_away_no_folder_was_deleted() -> None:
    """A folder that is missing where drives are mounted, or below such a one, isn't taken for a deleted one."""
    assert [was_deleted(Path(path)) for path in ("/mnt/nowhere", "/media/nowhere/x", "/nowhere/x/y")] == [False] * 3


def test_another_library_s_links_are_named(library: Shelf, root: ViewRoot, home: Home, hub: FakeHub) -> None:
    """A view whose names are links of another library says whose, and not that somebody should move them away."""
    add(library, root, "m")
    before = links_of(root)
    base = home.root / "second"
    with home.open(PRIMARY_CACHE_PATH=str(base), SECONDARY_CACHE_PATH="") as other:
        other.register("m", REPO)
        status = other.services.views.add(ViewKind.FOLDER, root, None)
        assert (status.state, status.command, len(status.blocked)) == (ViewState.BLOCKED, "", len(FILES))
        assert f"2 of its names are links of another library, at {home.primary}," in status.told
        assert "Something else" not in status.told

        weights = Path(root, REPO, "name-Q4_K_M.gguf")
        weights.unlink()
        weights.write_text("theirs")
        (status,) = other.services.views.all()
        assert "1 of its names" in status.told
        assert "Something else is at 1 more." in status.told
        weights.unlink()
    library.services.views.sync()
    assert links_of(root) == before


def test_another_library_s_view_is_left_alone(library: Shelf, root: ViewRoot, home: Home) -> None:
    """A process that has the primary base at another path leaves the links as they are, unless it is asked."""
    add(library, root, "m")
    before = links_of(root)
    alias = home.root / "alias"
    alias.symlink_to(home.primary)
    with home.open(PRIMARY_CACHE_PATH=str(alias)) as other:
        other.reconcile()
        assert [status.state for status in other.services.views.all()] == [ViewState.FOREIGN]
        assert links_of(root) == before


def test_what_a_view_refuses(library: Shelf, root: ViewRoot, home: Home) -> None:
    """A folder inside a base, an unknown model or view, and taking one model out of all are refused."""
    views = library.services.views
    with pytest.raises(BadInput, match="inside the base"):
        views.add(ViewKind.FOLDER, ViewRoot(str(home.primary / "hub/x")), None)
    with pytest.raises(NotFound):
        views.add(ViewKind.FOLDER, root, [ModelName("nobody")])
    with pytest.raises(NotFound):
        views.remove(ViewKind.FOLDER, root)
    with pytest.raises(NotFound):
        views.sync(ViewKind.FOLDER)
    assert views.all() == []
    add(library, root)
    with pytest.raises(Conflict):
        views.remove(ViewKind.FOLDER, root, [ModelName("m")])


def test_a_folder_that_cannot_have_links_is_refused(library: Shelf) -> None:
    """Where no link can be made, no view is."""
    with pytest.raises(Denied, match="/dev/fd"):
        library.services.views.add(ViewKind.FOLDER, ViewRoot("/dev/fd"), None)
    assert library.services.views.all() == []


def test_models_come_and_go_in_a_view(library: Shelf, root: ViewRoot) -> None:
    """Names given to a view that exists are added to it, and taken out of it one by one."""
    views = library.services.views
    add(library, root, "m")
    add(library, root, "other")
    assert {path.split("/")[1] for path in links_of(root)} == {"name-GGUF", "other"}
    with pytest.raises(NotFound):
        views.remove(ViewKind.FOLDER, root, [ModelName("nobody")])

    views.remove(ViewKind.FOLDER, root, [ModelName("m")])

    assert {path.split("/")[1] for path in links_of(root)} == {"other"}


def test_a_plan_says_what_a_view_would_hold(library: Shelf, root: ViewRoot) -> None:
    """A plan names the models that a new view would hold and those that its program can't read; nothing is made."""
    plan = library.services.views.plan(ViewKind.LMSTUDIO, root, None)

    assert list(plan.view.made) == [f"{REPO}/name-Q4_K_M.gguf"]
    assert list(plan.refused) == ["other"]
    assert (links_of(root), library.services.views.all()) == ({}, [])
    add(library, root, kind=ViewKind.LMSTUDIO)
    again = library.services.views.plan(ViewKind.LMSTUDIO, root, None)
    assert (again.state, again.view) == (ViewState.TRUE, library.services.views.all()[0].view)
    with pytest.raises(BadInput, match="LM Studio reads GGUF"):
        library.services.views.plan(ViewKind.LMSTUDIO, root, [ModelName("other")])


def test_the_command_makes_and_removes_views(library: Shelf, cli: Callable[..., Result], home: Home) -> None:
    """`shelf view` adds, lists, syncs and removes; without a folder it takes the one that the program reads."""
    assert "No views" in cli("view").checked().err
    usual = home.root / "home/.lmstudio/models"
    said = cli("view", "add", "lmstudio", "m", "--json").checked().json
    assert (said["root"], said["state"], said["entries"]) == (str(usual), "true", 1)
    assert "lmstudio" in cli("view", "ls").checked().out
    assert cli("view", "sync", "--json").checked().json == [said]
    assert "Removed" in cli("view", "rm", "lmstudio").checked().out
    assert "hint: shelf view rm folder ~/FOLDER; shelf view ls" in cli("view", "rm", "folder").err
    assert not list(usual.iterdir())


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)], ids=["done", "planned"])
def test_the_command_says_which_models_are_left_out(
    library: Shelf, cli: Callable[..., Result], hub: FakeHub, dry_run: tuple[str, ...]
) -> None:
    """`shelf view add --all` names the models that the program can't read, five of them, with the reason."""
    for number in range(5):
        hub.add_repo(f"org/plain{number}", OTHERS)
        library.register(f"plain{number}", f"org/plain{number}")

    said = cli("view", "add", "gpt4all", "--all", *dry_run).checked().err

    assert said.count("GPT4All reads GGUF files, and it has none.") == 5
    assert "other isn't in it. GPT4All reads" in said
    assert "and 1 more" in said


@pytest.mark.parametrize(
    ("verb", "kind", "names", "every"),
    [
        ("make", "folder", (), False),
        ("add", None, (), True),
        ("add", "lmstudio", (), False),
        ("add", "lmstudio", ("m",), True),
        ("sync", "folder", ("m",), False),
        ("ls", "folder", (), False),
        ("rm", "lmstudio", (), True),
    ],
)
def test_words_that_make_no_sense_are_refused(verb: str, kind: str | None, names: tuple[str, ...], every: bool) -> None:
    """`shelf view` with words that don't fit each other says what to type."""
    with pytest.raises(BadInput) as refused:
        check_words(verb, kind, names, every=every)

    assert "shelf view add" in refused.value.hint


def test_views_over_http(library: Shelf, server: Server, root: ViewRoot) -> None:
    """A request makes, lists, syncs and removes a view, below the allowed folders only."""
    body = {"kind": "folder", "root": root, "models": ["m"]}
    made = server.ask("POST", "/api/views", body)
    assert (made.status, made.json["state"]) == (201, "true")
    assert server.get("/api/views") == [made.json]
    assert server.ask("POST", "/api/views/sync").json == [made.json]
    server.ask("PATCH", "/api/models/m", {"cache_location": "secondary"})
    wait_until(lambda: all("/slow/" in str(place) for place in links_of(root).values()), "the links to follow")
    assert server.ask("POST", "/api/views", body | {"root": "/opt/elsewhere/x"}).status == 403
    assert server.ask("DELETE", f"/api/views?kind=folder&root={root}").json["entries"] == 0
    assert server.get("/api/views") == []


def test_image_models_go_where_their_tensors_say(library: Shelf, hub: FakeHub, root: ViewRoot) -> None:
    """A checkpoint in one file is told by its tensors, and a language model beside its config.json is left out."""
    checkpoint = safetensors({"model.diffusion_model.x": ("F16", [2]), "first_stage_model.x": ("F16", [2])})
    hub.add_repo("org/image", {"sd.safetensors": checkpoint, "vae/config.json": b"{}", "vae/v.safetensors": b"torn"})
    library.register("image", "org/image")

    add(library, root, kind=ViewKind.COMFYUI)

    assert list(links_of(root)) == ["checkpoints/org/image/sd.safetensors"]


def test_ten_programs_read_one_copy(library: Shelf, home: Home) -> None:
    """With a view for each of ten programs a model is on the disk once, and all of them follow its move."""
    of_images = (ViewKind.COMFYUI, ViewKind.A1111, ViewKind.FORGE, ViewKind.INVOKEAI)
    kinds = [kind for kind in ViewKind if kind not in (*of_images, ViewKind.ADOPTED)]
    assert len(kinds) == 10
    for kind in kinds:
        place = home.primary if kind is ViewKind.CACHE_DIR else home.root / "programs" / kind
        add(library, ViewRoot(str(place)), "m", kind=kind)
    made = list(scan.walk_files(home.root / "programs"))
    assert all(path.is_symlink() or path.stat().st_size < 2000 for path in made)

    library.move("m", "secondary")

    assert {status.state for status in library.services.views.all()} == {ViewState.TRUE}
    for path in made:
        if path.is_symlink():
            assert home.secondary in path.resolve(strict=True).parents
        else:
            assert str(home.primary / "hub") not in path.read_text()


def test_a_sync_says_which_view_it_is_at_and_can_be_stopped(library: Shelf, root: ViewRoot) -> None:
    """A sync tells how many views are left, and one that was stopped leaves them for the next time."""
    add(library, root, "m")
    going, stopped = Counter(), Counter()
    stopped.stop()
    with pytest.raises(Cancelled):
        library.services.views.sync(progress=stopped)

    library.services.views.sync(progress=going)
    (status,) = library.services.view_syncer.sync(ViewKind.FOLDER, root)

    assert going.read().phase == "folder, 1 of 1"
    assert status.state is ViewState.TRUE
    assert [job.state for job in library.jobs(kind=JobKind.VIEW_SYNC)] == ["done"]
