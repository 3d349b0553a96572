"""What a view should hold, and how it gets there: pure functions, in tables."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml

from modelshelf.domain.doctor_report import Severity
from modelshelf.domain.doctor_surroundings import of_views
from modelshelf.domain.gguf import GgufHeader
from modelshelf.domain.names import BasePath, Digest, FilePath, ModelName, RepoId, ViewRoot
from modelshelf.domain.view_images import PARTS, part_of
from modelshelf.domain.view_kinds import ViewKind, kind_of
from modelshelf.domain.view_layouts import holding_of
from modelshelf.domain.view_plans import Making, ViewPlan, claim, in_place, paths_of, plan_view, status_of, take_over
from modelshelf.domain.view_sections import joined, sections_of
from modelshelf.domain.views import (
    NOTHING,
    OTHER,
    Entry,
    Holding,
    Link,
    Made,
    SourceFile,
    Text,
    View,
    ViewFile,
    ViewModel,
    ViewState,
    ViewStatus,
    default_views,
)
from modelshelf.errors import BadInput

M, N = ModelName("m"), ModelName("n")
EMPTY = View(ViewKind.FOLDER, ViewRoot("/home/me/x"), None, BasePath("/mnt/a"))
HEADER = GgufHeader({"general.architecture": "llama", "general.file_type": 15}, {12: 7_615_616_512})
OLD, NEW = Link("/mnt/a/f"), Link("/mnt/b/f")


def model(*paths: str, name: str = "m", repo: str = "org/name", **more: object) -> ViewModel:
    """Return a model with these files."""
    files = tuple(ViewFile(FilePath(p), 10, Digest(f"{n:064x}"), f"/mnt/a/{p}") for n, p in enumerate(paths))
    return ViewModel(ModelName(name), RepoId(repo), files, **more)


def held(*paths: str, entry: Entry = OLD, owner: ModelName = M) -> Holding:
    """Return what a view should hold, the same entry at each of these paths."""
    return Holding(dict.fromkeys(paths, entry), dict.fromkeys(paths, owner))


def made(*paths: str, entry: Entry = OLD, folders: tuple[str, ...] = ("d",)) -> View:
    """Return a view in which we made this entry at these paths."""
    return replace(EMPTY, made={path: Made(M, (entry.mark,)) for path in paths}, folders=frozenset(folders))


@pytest.mark.parametrize(
    ("kind", "given", "paths"),
    [
        (ViewKind.FOLDER, model("a.gguf", "sub/b.json"), ["org/name/a.gguf", "org/name/sub/b.json"]),
        (ViewKind.FOLDER, model("a.bin", repo="gpt2"), ["gpt2/a.bin"]),
        (
            ViewKind.LMSTUDIO,
            model("Q4/a.gguf", "mmproj-a.gguf", "README.md"),
            ["org/name/a.gguf", "org/name/mmproj-a.gguf"],
        ),
        (ViewKind.LMSTUDIO, model("x/a.gguf", "y/a.gguf"), ["org/name/x-a.gguf", "org/name/y-a.gguf"]),
        (
            ViewKind.LMSTUDIO,
            model("Q8/a-00001-of-00002.gguf", "Q8/a-00002-of-00002.gguf"),
            ["org/name/a-00001-of-00002.gguf", "org/name/a-00002-of-00002.gguf"],
        ),
        (ViewKind.LMSTUDIO, model("a.gguf", repo="gpt2"), ["huggingface/gpt2/a.gguf"]),
        (
            ViewKind.HF,
            model("a", "d/b", commit_hash="c", revision="main", tree="/mnt/a/t"),
            [
                *(f"hub/models--org--name/blobs/{n:064x}" for n in (0, 1)),
                "hub/models--org--name/refs/main",
                "hub/models--org--name/snapshots/c/a",
                "hub/models--org--name/snapshots/c/d/b",
                "hub/models--org--name/trees/c.json",
            ],
        ),
        (ViewKind.CACHE_DIR, model("a", base="/mnt/b", shown_in=frozenset({"/mnt/a"})), ["models--org--name"]),
        (ViewKind.JAN, model("a.gguf"), ["m/model.yml"]),
        (ViewKind.LLAMA_SWAP, model("a.gguf"), ["m.yaml"]),
        (ViewKind.LLAMA_SERVER, model("x/a.gguf", "README.md"), ["a.gguf"]),
        (ViewKind.LLAMA_SERVER, model("a.gguf", "mmproj.gguf"), ["m/a.gguf", "m/mmproj.gguf"]),
        (ViewKind.GPT4ALL, model("a.gguf", "mmproj.gguf"), ["a.gguf"]),
        (ViewKind.TEXTGEN, model("a.gguf", "config.json"), ["a.gguf"]),
        (ViewKind.TEXTGEN, model("d/b.json", "c.safetensors"), ["m/c.safetensors", "m/d/b.json"]),
        (
            ViewKind.COMFYUI,
            model("x/a.sft", "b.bin", parts={"x/a.sft": "vae"}),
            ["vae/org/name/a.sft"],
        ),
        (ViewKind.A1111, model("a.ckpt", parts={"a.ckpt": "loras"}), ["models/Lora/org/name/a.ckpt"]),
        (
            ViewKind.FORGE,
            model("a.sft", "b.sft", parts={"a.sft": "text_encoders", "b.sft": "diffusion_models"}),
            ["models/Stable-diffusion/org/name/b.sft", "models/text_encoder/org/name/a.sft"],
        ),
        (ViewKind.INVOKEAI, model("a.ckpt", "README.md", parts={"a.ckpt": "loras"}), ["loras/org/name/a.ckpt"]),
        (
            ViewKind.INVOKEAI,
            model("model_index.json", "unet/x.safetensors"),
            ["org/name/model_index.json", "org/name/unet/x.safetensors"],
        ),
        (
            ViewKind.LMSTUDIO,
            model("config.json", "model.safetensors", "original/x.pth", is_mlx=True),
            ["org/name/config.json", "org/name/model.safetensors"],
        ),
    ],
)
def test_where_each_program_finds_a_model(kind: ViewKind, given: ViewModel, paths: list[str]) -> None:
    """Each kind of view has a model's files where its program looks."""
    holding = holding_of(kind, "/mnt/a", [given])

    assert sorted(holding.entries) == paths
    for entry in holding.entries.values():
        if isinstance(entry, Link) and entry.target.startswith("/"):
            assert entry.target in {given.tree, *(file.place for file in given.files)}
    assert set(holding.owners.values()) == {M}


@pytest.mark.parametrize(
    ("kind", "given", "why"),
    [
        (ViewKind.LMSTUDIO, model("model.safetensors"), "weren't made by MLX"),
        (ViewKind.LMSTUDIO, model("model.onnx"), "it has neither"),
        (ViewKind.LMSTUDIO, model(f"{'x' * 125}/{'y' * 125}/{'z' * 100}.gguf", f"b/{'z' * 100}.gguf"), "too long"),
        (ViewKind.OLLAMA, model("model.safetensors"), "it has none"),
        (ViewKind.OLLAMA, model("a-00001-of-00002.gguf", "a-00002-of-00002.gguf", header=HEADER), "in 2 parts"),
        (ViewKind.OLLAMA, model("a.gguf"), "can't be read"),
        (ViewKind.CACHE_DIR, model("a", base="/mnt/b"), "It is in /mnt/b"),
        (ViewKind.JAN, model("a.bin"), "it has none"),
        (ViewKind.LLAMA_SWAP, model("a.bin"), "it has none"),
        (ViewKind.LLAMA_SERVER, model("a.bin"), "it has none"),
        (ViewKind.GPT4ALL, model("a.bin"), "it has none"),
        (ViewKind.GPT4ALL, model("a-00001-of-00002.gguf", "a-00002-of-00002.gguf"), "in 2 parts"),
        (ViewKind.COMFYUI, model("a.bin"), "a checkpoint"),
        (ViewKind.A1111, model("a.ckpt", parts={"a.ckpt": "clip_vision"}), "a checkpoint"),
        (ViewKind.FORGE, model("a.ckpt", parts={"a.ckpt": "clip_vision"}), "a checkpoint"),
        (ViewKind.INVOKEAI, model("a.ckpt"), "a checkpoint"),
    ],
)
def test_what_a_program_cannot_read_is_refused(kind: ViewKind, given: ViewModel, why: str) -> None:
    """A model that a program can't read has nothing in its view, and a reason."""
    holding = holding_of(kind, "/mnt/a", [given])

    assert (holding.entries, why in holding.refused[M]) == ({}, True)


def test_a_commit_needs_no_ref_and_a_file_its_way_up() -> None:
    """A model that follows a commit has no ref, and a snapshot's link leads up to its blob."""
    holding = holding_of(ViewKind.HF, "/x", [model("d/e/b", commit_hash="c" * 40, revision="c" * 40)])

    repo = "hub/models--org--name"
    assert list(holding.entries) == [f"{repo}/blobs/{0:064x}", f"{repo}/snapshots/{'c' * 40}/d/e/b"]
    assert holding.entries[f"{repo}/snapshots/{'c' * 40}/d/e/b"] == Link(f"../../../../blobs/{0:064x}")


def test_small_files_are_what_their_programs_parse() -> None:
    """The files for Jan, llama-swap and ComfyUI are YAML that leads to the model, whatever is in its name."""
    given = model("a.gguf", "mmproj.gguf", "v.sft", name="m:1", parts={"v.sft": "vae"})

    def said(kind: ViewKind, path: str) -> object:
        holding = holding_of(kind, "/x y", [given])
        entry = {**holding.common, **holding.entries}[path]
        assert isinstance(entry, Text)
        return yaml.safe_load(entry.content)

    places = [file.place for file in given.files]
    assert said(ViewKind.JAN, "m-1/model.yml") == {
        "model_path": places[0],
        "mmproj_path": places[1],
        "name": "m:1",
        "size_bytes": 20,
    }
    command = f'llama-server --port ${{PORT}} --model "{places[0]}" --mmproj "{places[1]}"'
    assert said(ViewKind.LLAMA_SWAP, "m-1.yaml") == {"models": {"m:1": {"cmd": command}}}
    paths = said(ViewKind.COMFYUI, "extra_model_paths.yaml")
    assert paths == {"modelshelf": {"base_path": "/x y"} | {part: part for part in PARTS}}


@pytest.mark.parametrize(
    ("path", "words", "part"),
    [
        ("split_files/text_encoders/t5.safetensors", "", "text_encoders"),
        ("unet/a.safetensors", "", "diffusion_models"),
        ("README.md", "lora", ""),
        ("a.safetensors", "lora_unet_x weight", "loras"),
        ("a.safetensors", "attn lora", "loras"),
        ("a.safetensors", "control_model", "controlnet"),
        ("a.safetensors", "controlnet_cond_embedding", "controlnet"),
        ("a.safetensors", "model diffusion_model conditioner", "checkpoints"),
        ("a.safetensors", "model diffusion_model", "diffusion_models"),
        ("a.safetensors", "double_blocks", "diffusion_models"),
        ("a.safetensors", "first_stage_model", "vae"),
        ("a.safetensors", "encoder decoder conv_in", "vae"),
        ("a.safetensors", "text_model", "text_encoders"),
        ("a.safetensors", "shared encoder block", "text_encoders"),
        ("a.safetensors", "lm_head", ""),
    ],
)
def test_the_part_of_an_image_model(path: str, words: str, part: str) -> None:
    """A file's folder or tensors tell which part of an image model it is, unless a config.json is beside it."""
    assert part_of(path, set(words.split()), is_beside_config=False) == part
    assert part_of(path, set(words.split()), is_beside_config=True) == ""


def test_ollama_names_no_file_by_another_digest() -> None:
    """A GGUF file that the Hub knows by its sha1 alone is refused."""
    given = model("a.gguf", header=HEADER)
    given = replace(given, files=(replace(given.files[0], digest=Digest("0" * 40)),))

    assert "sha256" in holding_of(ViewKind.OLLAMA, "/x", [given]).refused[M]


def test_of_two_models_with_one_file_the_first_has_it() -> None:
    """Two models of one repository share their paths, which belong to the first."""
    holding = holding_of(ViewKind.FOLDER, "/x", [model("a", "b"), model("a", "c", name="n")])

    assert holding.owners == {"org/name/a": M, "org/name/b": M, "org/name/c": N}


@pytest.mark.parametrize(
    ("said", "architecture", "begin"),
    [
        ("x<|im_start|>", "llama", "<|im_start|>{{ .Role }}"),
        ("<|start_header_id|>", "llama", "<|start_header_id|>{{ .Role }}"),
        ("{% set x %}", "gemma3", "<start_of_turn>"),
        ("{% set x %}", "phi3", "<|{{ .Role }}|>"),
        ("{% set x %}", "other", ""),
        (None, "qwen3", ""),
    ],
)
def test_ollama_is_told_how_to_ask(said: str | None, architecture: str, begin: str) -> None:
    """Ollama's template is that of the model's family, and left out for one that isn't known."""
    metadata = {"general.architecture": architecture} | ({"tokenizer.chat_template": said} if said else {})
    holding = holding_of(ViewKind.OLLAMA, "/x", [model("a.gguf", "mmproj.gguf", header=GgufHeader(metadata, {}))])
    manifest = holding.entries["manifests/registry.ollama.ai/library/m/latest"]
    assert isinstance(manifest, Text)
    layers = {layer["mediaType"].rpartition(".")[2]: layer for layer in json.loads(manifest.content)["layers"]}

    assert {"model", "projector"} <= layers.keys()
    assert ("template" in layers) is bool(begin)
    if begin:
        template = holding.entries[f"blobs/{layers['template']['digest'].replace(':', '-')}"]
        assert isinstance(template, Text)
        assert template.content.startswith("{{ range .Messages }}" + begin)


@pytest.mark.parametrize(
    ("view", "holding", "seen", "make", "drop", "blocked", "after"),
    [
        pytest.param(EMPTY, held("d/f"), [NOTHING], ["d/f"], [], [], ["d/f"], id="new"),
        pytest.param(made("d/f"), held("d/f"), [OLD.mark], [], [], [], ["d/f"], id="as it should be"),
        pytest.param(made("d/f"), held("d/f", entry=NEW), [OLD.mark], ["d/f"], [], [], ["d/f"], id="elsewhere now"),
        pytest.param(made("d/f"), held("d/f"), [NOTHING], ["d/f"], [], [], ["d/f"], id="somebody deleted it"),
        pytest.param(made("d/f"), held("d/f"), [OTHER], [], [], ["d/f"], [], id="somebody replaced it"),
        pytest.param(EMPTY, held("d/f"), [NEW.mark], [], [], ["d/f"], [], id="somebody else's"),
        pytest.param(EMPTY, held("d/f"), [OLD.mark], [], [], [], [], id="somebody made the same"),
        pytest.param(made("d/f"), held(), [OLD.mark], [], ["d/f"], [], [], id="no longer needed"),
        pytest.param(made("d/f"), held(), [NEW.mark], [], [], [], [], id="no longer ours"),
        pytest.param(made("d/f", "d/g"), held(), [OLD.mark] * 2, [], ["d/g", "d/f"], [], [], id="the last first"),
    ],
)
def test_the_plan_is_the_difference(
    view: View,
    holding: Holding,
    seen: list[str],
    make: list[str],
    drop: list[str],
    blocked: list[str],
    after: list[str],
) -> None:
    """A plan makes what is missing, replaces and deletes what is ours, and leaves what isn't."""
    marks = dict(zip(paths_of(view, holding), seen, strict=True))

    plan = plan_view(view, holding, marks, {"d"} if not view.folders else set(), ())

    assert ([making.path for making in plan.make], list(plan.drop), list(plan.blocked)) == (make, drop, blocked)
    then = plan.after or view
    assert (list(then.made), then.pending) == (after, frozenset())
    assert then.folders == ({"d"} if after else set())
    if plan.during:
        assert plan.during.pending == ({""} if plan.make or plan.drop else frozenset())
        assert all(plan.during.is_ours(path, view.made[path].marks[0]) for path in view.made)
        assert all(plan.during.is_ours(making.path, making.entry.mark) for making in plan.make)


def test_what_more_than_one_repository_needs_is_in_the_view_s_own_section() -> None:
    """What was made for a repository is in its section, with folders that are its alone; the rest is the view's own."""
    one, other = Made(M, ("-> /1",), "org/name"), Made(N, ("-> /2",), "org/n")
    of_both = {"org/name/d/f": one, "org/name/d/g": one, "org/n/f": other, "paths.yaml": Made(None, ("sha256:0",))}
    folders = frozenset({"org", "org/name", "org/name/d", "org/n", "left"})
    view = replace(EMPTY, made=of_both, folders=folders, pending=frozenset({"org/n"}))

    sections = sections_of(view)

    assert {
        name: (sorted(section.made), section.folders, section.is_pending) for name, section in sections.items()
    } == {
        "": (["paths.yaml"], {"org", "left"}, False),
        "org/name": (["org/name/d/f", "org/name/d/g"], {"org/name", "org/name/d"}, False),
        "org/n": (["org/n/f"], {"org/n"}, True),
    }
    assert joined(EMPTY, sections, None) == view
    assert joined(EMPTY, {}, [RepoId("org/n")]).sections == {"org/n"}


@pytest.mark.parametrize("has_others", [False, True])
def test_what_all_models_need_stays_while_there_is_one(*, has_others: bool) -> None:
    """What is no model's own comes before the first entry of a model and goes with the last, in whichever section."""
    common = Holding({"d/f": OLD}, {"d/f": M}, common={"all": NEW})
    plan = plan_view(EMPTY, common, {"d/f": NOTHING, "all": NOTHING}, (), ())
    assert [making.path for making in plan.make] == ["all", "d/f"]

    assert plan.after is not None
    seen = {"d/f": OLD.mark, "all": NEW.mark}
    gone = plan_view(plan.after, Holding(common={"all": NEW}), seen, (), (), has_others=has_others)

    assert set(gone.drop) == ({"d/f"} if has_others else {"d/f", "all"})


def test_a_folder_that_others_may_need_is_tried_once_ours_is_gone() -> None:
    """Folders above what goes are named to be deleted if they are empty, and what was given up keeps its own."""
    view = made("d/e/f", "x/f", folders=("d", "d/e", "x", "left"))
    plan = plan_view(view, Holding(own=frozenset({"x/f"})), {"d/e/f": OLD.mark, "x/f": OLD.mark}, (), ())

    assert plan.emptied == ("d/e", "d")
    assert plan.after is not None
    assert plan.after.folders == {"left"}


def test_a_true_view_needs_nothing() -> None:
    """A view that is as it should be has an empty plan, and one whose change was broken off gets a new record."""
    view = made("d/f")
    seen = {"d/f": OLD.mark}

    assert plan_view(view, held("d/f"), seen, (), ()) == ViewPlan()
    assert not plan_view(replace(view, pending=frozenset({""})), held("d/f"), seen, (), ()).is_true


def test_what_is_away_stays() -> None:
    """What we made for a model whose drive is away stays, unless another model wants its place."""
    view, seen = made("d/f"), {"d/f": OLD.mark}

    assert plan_view(view, held(), seen, (), {M}) == ViewPlan()
    plan = plan_view(view, held("d/f", entry=NEW, owner=N), seen, (), {M})
    assert plan.make == (Making("d/f", NEW, OLD.mark),)


@pytest.mark.parametrize(
    ("plan", "state", "says"),
    [
        (ViewPlan(), ViewState.TRUE, ""),
        (ViewPlan(blocked=("f",)), ViewState.BLOCKED, "1 of its names"),
        (ViewPlan(blocked=("f",), during=EMPTY), ViewState.BLOCKED, "then sync the view: shelf view sync folder"),
        (ViewPlan(drop=("g",), blocked=("f",)), ViewState.STALE, "should be: shelf view sync folder /home/me/x"),
        (ViewPlan(during=EMPTY), ViewState.STALE, "Not as it should be: shelf view sync"),
        (ViewPlan(drop=("g",), during=EMPTY).carried_out, ViewState.TRUE, ""),
        (ViewPlan(drop=("g",), blocked=("f",)).carried_out, ViewState.BLOCKED, "1 of its names"),
    ],
)
def test_the_status_says_what_to_do(plan: ViewPlan, state: ViewState, says: str) -> None:
    """A view's status tells a true one from one that has to be synced or cleared, and names chosen models it lacks."""
    status = status_of(replace(EMPTY, models=(M,)), Holding(refused={M: "no"}), plan)

    assert (status.state, says in status.told, status.refused) == (state, True, {M: "no"})


def test_a_view_takes_what_was_chosen() -> None:
    """A view takes all models, or those that were chosen for it."""
    assert EMPTY.takes(N)
    assert [replace(EMPTY, models=(M,)).takes(name) for name in (M, N)] == [True, False]


def test_the_doctor_names_views_that_are_not_true() -> None:
    """The doctor says nothing of a true view, and names the command for another one apart from the reason, once."""
    sync = "shelf view sync folder /home/me/x"
    found = list(of_views([ViewStatus(EMPTY, state, "Why.", command=sync) for state in ViewState]))

    assert {one.detail.split(" is ")[1]: (one.severity, one.command) for one in found} == {
        "stale. Why.": (Severity.WARNING, sync),
        "blocked. Why.": (Severity.WARNING, sync),
        "away. Why.": (Severity.INFO, sync),
        "foreign. Why.": (Severity.INFO, sync),
        "failed. Why.": (Severity.WARNING, sync),
    }


def test_only_known_kinds() -> None:
    """A kind that nobody knows is refused with those that there are."""
    assert kind_of("ollama") is ViewKind.OLLAMA
    with pytest.raises(BadInput) as refused:
        kind_of("word")
    assert "lmstudio" in refused.value.hint


@pytest.mark.parametrize("text", ["x", "/a/../b", "/etc", "/proc/1/x", "/\0", 1, "/" + "x" * 3000])
def test_a_view_s_folder_is_a_whole_path(text: object) -> None:
    """A relative path, a system folder and what isn't a path at all are refused as a view's folder."""
    with pytest.raises(BadInput):
        ViewRoot(text)


BASE = "/mnt/a"
REPO = "hub/models--org--name"


def tiered(name: str, base: str, *paths: str, commit_hash: str = "c") -> ViewModel:
    """Return a model in a base, one of whose blobs each path's place in this list names."""
    return model(*paths, name=name, base=base, commit_hash=commit_hash, revision="main", tree="{}")


def test_in_a_base_a_view_of_all_tiers_holds_the_others_models() -> None:
    """Of a base's own models it holds nothing, gives up what they need, and keeps links that another one needs."""
    holding = holding_of(ViewKind.HF, BASE, [tiered("m", BASE, "x", commit_hash="b"), tiered("n", "/mnt/b", "x", "y")])

    blobs = [f"{REPO}/blobs/{n:064x}" for n in (0, 1)]
    rest = [f"{REPO}/snapshots/c/x", f"{REPO}/snapshots/c/y", f"{REPO}/trees/c.json"]
    assert sorted(holding.entries) == sorted(holding.owners) == [*blobs, *rest]
    assert holding.own == {f"{REPO}/refs/main", f"{REPO}/snapshots/b/x", f"{REPO}/trees/b.json"}
    assert holding.is_shared


def test_what_a_base_s_own_model_needs_is_given_up() -> None:
    """A link that we made and that a model in the base needs now stays, and the record forgets it."""
    view = made("d/a", "d/b")
    plan = plan_view(view, Holding(own=frozenset(["d/a"])), {"d/a": OLD.mark, "d/b": OLD.mark}, (), ())

    assert (plan.drop, plan.make) == (("d/b",), ())
    assert plan.after == replace(EMPTY, made={}, folders=frozenset())


def test_where_programs_write_as_well_what_they_put_serves() -> None:
    """In a view that programs write in, a file of theirs at one of its names blocks nothing."""
    holding = replace(held("d/a"), is_shared=True)
    plan = plan_view(EMPTY, holding, {"d/a": OTHER}, (), ())

    assert plan == ViewPlan()
    assert status_of(EMPTY, holding, plan).state is ViewState.TRUE


def test_a_view_takes_over_the_paths_of_a_repository() -> None:
    """Before it gets the place of a copy the record names all of its entries there, and the folders above them."""
    holding = Holding({f"{REPO}/refs/main": Text("c"), "hub/x": OLD}, {f"{REPO}/refs/main": M, "hub/x": N})
    view, entries = take_over(made(f"{REPO}/refs/main", "d/a"), holding, f"{REPO}/")

    assert entries == {f"{REPO}/refs/main": Text("c")}
    assert view.made[f"{REPO}/refs/main"].marks == (OLD.mark, Text("c").mark)
    assert (view.pending, view.made["d/a"].marks) == ({""}, (OLD.mark,))
    assert view.folders == {"d", REPO, f"{REPO}/refs"}


def test_the_settings_want_views_and_no_longer_want_others() -> None:
    """What the settings want is added once; what they no longer name goes, unless a person asked for it."""
    asked = replace(EMPTY, secondary="/mnt/b", kind=ViewKind.HF, root=ViewRoot(BASE))
    old = replace(EMPTY, kind=ViewKind.CACHE_DIR, root=ViewRoot(BASE), by_settings=True)
    new = replace(asked, root=ViewRoot("/mnt/b"), by_settings=True)
    wanted = [replace(asked, models=()), replace(new, models=(), by_settings=False)]

    assert default_views([asked, old], wanted, {ViewKind.HF}) == ([asked, new], [old])
    assert default_views([asked], [], ()) == ([asked], [])


def test_links_in_place_lead_to_what_any_chosen_model_has() -> None:
    """At each path there is a link to the repository's file in a model that has it; a path without one has nothing."""
    places = {
        "checkpoints/x.safetensors": SourceFile(RepoId("org/name"), FilePath("a.safetensors")),
        "gone.gguf": SourceFile(RepoId("org/other"), FilePath("a.gguf")),
    }

    holding = in_place(places, [model("a.safetensors"), model("b.gguf", name="n", repo="org/other")])

    assert holding == Holding(
        {"checkpoints/x.safetensors": Link("/mnt/a/a.safetensors")}, {"checkpoints/x.safetensors": M}
    )


def test_a_claim_names_links_before_they_are_made() -> None:
    """The record has the links as ours while the program's files are still there, beside what it had before."""
    source, old = SourceFile(RepoId("org/name"), FilePath("a.gguf")), SourceFile(RepoId("org/n"), FilePath("b.gguf"))
    view = replace(made("old"), kind=ViewKind.ADOPTED, models=(N,), places={"old": old})

    claimed, links = claim(view, {"x/a.gguf": source, "x/gone": old}, [model("a.gguf")])

    assert links == {"x/a.gguf": Link("/mnt/a/a.gguf")}
    assert (claimed.models, claimed.places) == ((M, N), {"old": old, "x/a.gguf": source})
    assert claimed.is_ours("x/a.gguf", "-> /mnt/a/a.gguf")
    assert claimed.is_ours("old", OLD.mark)
    assert claimed.pending == {""}
    waiting = plan_view(
        claimed, in_place(claimed.places, [model("a.gguf")]), {"old": OLD.mark, "x/a.gguf": OTHER}, (), ()
    )
    assert waiting.blocked == ("x/a.gguf",)


def test_a_view_has_the_models_that_something_was_made_for() -> None:
    """A view of all models has those for which something is in it, and not those that its program can't read."""
    view = replace(EMPTY, made={"a": Made(M, ("-> /a",)), "common": Made(None, ("-> /b",))})

    assert view.has(M)
    assert not view.has(N)
