"""`shelf adopt --all --yes` as a person types it, in a home with the folders of eleven programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.units import format_size
from tests.builders import put
from tests.fakes.hub import FakeHub
from tests.integration.adopt.test_ten_tools import A, B, C, D, E, allocated, put_ten
from tests.invariants import violations
from tests.store.adopt.test_git_clone import clone
from tests.terminal import Terminal
from tests.world import Home, load_offline, random_bytes, tree

OF_THE_SYSTEM = ("/usr/share/ollama/.ollama/models", "/var/lib/ollama")
CACHED = {"config.json": b"{}", "model.safetensors": random_bytes(120_000, seed=6)}
PATIENCE_S = 600.0
"""How long one command may take that makes every file of eleven programs durable, on a disk that others use."""
TOOLS = {
    *(".lmstudio", ".ollama", ".local", "ComfyUI", "stable-diffusion-webui", "text-generation-webui", "invokeai"),
    *(".cache/modelscope", ".cache/torch"),
}


@pytest.fixture
def full(home: Home, hub: FakeHub) -> Path:
    """A HOME with ten programs' folders and the cache of Hugging Face's."""
    if any(Path(place).exists() for place in OF_THE_SYSTEM):
        pytest.skip("this machine has models of Ollama outside the home, which --all would take in")
    me = home.root / "home"
    put_ten(me)
    hub.add_repo("org/cached", CACHED)
    home.hf(me / ".cache/huggingface", "download", "org/cached").checked()
    return me


def trees(me: Path) -> dict[str, dict[str, bytes]]:
    """Return what each program reads."""
    return {tool: tree(me / tool) for tool in TOOLS}


def check_taken_in(home: Home, me: Path, before: dict[str, dict[str, bytes]], used: int) -> None:
    """Assert that there is one copy of all, and that every program reads what it read."""
    assert trees(me) == before
    assert tree(load_offline(home, me / ".cache/huggingface", "org/cached")) == CACHED
    weights = [len(data) for data in (A, B, C, D, E)]
    assert allocated(home.root) < used - sum(weights) + 1_500_000  # the registry, and the library's own folders
    with home.open() as shelf:
        assert len(shelf.models()) == 6
        assert {model.base for model in shelf.models()} == {str(home.primary)}
        assert violations(shelf, at_rest=False) == []


def test_everything_is_taken_in_at_one_command(home: Home, full: Path) -> None:
    """With `--yes` each folder's line says what was taken in, nothing is left, and a second run has nothing to do."""
    before, used = trees(full), allocated(home.root)

    done = home.start("adopt", "--all", "--yes").finish(PATIENCE_S).checked()

    for tool in ("LM Studio", "Ollama", "Jan", "GPT4All", "ComfyUI", "A1111", "text-generation-webui", "Hugging Face"):
        assert tool in done.out, tool
    assert "left:" not in done.err
    check_taken_in(home, full, before, used)
    again = home.start("adopt", "--all", "--yes").finish(PATIENCE_S).checked()
    assert "Take it all in" not in again.out
    check_taken_in(home, full, before, used)


def test_programs_read_what_was_taken_in(home: Home, full: Path) -> None:
    """With `--json` the plan is followed by what was done, of each folder with its models, and nothing failed."""
    before, used = trees(full), allocated(home.root)

    plan = home.start("adopt", "--all", "--dry-run", "--json").finish(PATIENCE_S).checked().json
    assert trees(full) == before
    done = home.start("adopt", "--all", "--yes", "--json").finish(PATIENCE_S).checked().json

    assert len(plan["places"]) == 11
    assert (len(done["places"]), done["failed"]) == (11, [])
    assert [place["left"] for place in done["places"]] == [[]] * 11
    named = {name for place in done["places"] for name in (*place["registered"], *place["moved"])}
    assert len(named) == 6
    check_taken_in(home, full, before, used)


def test_odd_names_and_clones_leave_nothing_to_say(home: Home) -> None:
    """A folder of LM Studio with an odd name is taken in as others are, and so is a clone: afterwards neither stays."""
    if any(Path(place).exists() for place in OF_THE_SYSTEM):
        pytest.skip("this machine has models of Ollama outside the home, which --all would take in")
    me = home.root / "home"
    tune = me / ".lmstudio/models/me/odd name \u00fc/my tune.gguf"
    put(tune, A)
    put(me / "models/loose.gguf", B)
    clone(me / "models/Tiny")
    (me / "models/HuggingFaceTB").mkdir()
    clone(me / "models/HuggingFaceTB/Tiny")

    home.start("adopt", "--all", "--yes").finish(PATIENCE_S).checked()
    put(me / "models/later.gguf", B + b"later")
    said = home.start("adopt", "--all", "--dry-run").finish(PATIENCE_S).checked()

    assert (tune.is_symlink(), tune.read_bytes() == A) == (True, True)
    assert "1 primary" in said.out
    assert "stays:" not in said.out + said.err, said.out + said.err


def test_single_files_that_stay_are_named(home: Home) -> None:
    """A folder whose weights no reader knows is refused with each file, its size, why it stays and what to do."""
    folder = home.root / "downloads"
    put(folder / "tiny.gguf", A)
    put(folder / "more/net.safetensors", D)
    put(folder / "notes.txt", b"mine")

    refused = home.run("adopt", str(folder), "--json")
    said = home.run("adopt", str(folder), "--move")

    assert (refused.code, said.code) == (4, 4)
    assert refused.problem["others"] == [
        {
            "path": str(folder / "tiny.gguf"),
            "size_bytes": len(A),
            "detail": "Single GGUF files are taken from a folder named models.",
        },
        {
            "path": str(folder / "more/net.safetensors"),
            "size_bytes": len(D),
            "detail": "No reader of shelf understands it.",
        },
    ]
    sizes = [format_size(len(data)) for data in (A, D)]
    assert f"these files stay: tiny.gguf ({sizes[0]}), more/net.safetensors ({sizes[1]})." in said.err
    assert "shelf adopt FOLDER/models --move" in said.err


def test_removing_a_model_says_which_programs_lose_it(home: Home, full: Path) -> None:
    """`rm` names the folders whose links go, before and after; the bytes stay, and `--unlink` gives them back first."""
    home.start("adopt", "--all", "--yes").finish(PATIENCE_S).checked()
    folder, file = full / ".lmstudio/models", full / ".lmstudio/models/TheOrg/Tiny-GGUF/tiny.gguf"
    bytes_at = file.resolve()
    with home.open() as shelf:
        (name,) = [m.row.model_name for m in shelf.models() if str(m.row.hf_path) == "TheOrg/Tiny-GGUF"]

    planned = home.run("rm", name, "--dry-run").checked().err
    removed = home.run("rm", name, "--yes", "--json").checked().json

    assert f"{folder} will no longer have {name}: its links there go." in planned
    assert f"shelf adopt --unlink {folder}" in planned
    assert set(removed["folders"]) == {str(folder), str(full / ".ollama/models")}
    assert not file.is_symlink()
    assert bytes_at.read_bytes() == A


def test_a_program_keeps_its_links_unless_a_person_says_otherwise(home: Home, full: Path) -> None:
    """`rm` that leaves the files asks before a program loses its own, and is refused where nobody can be asked."""
    home.start("adopt", "--all", "--yes").finish(PATIENCE_S).checked()
    file = full / ".lmstudio/models/TheOrg/Tiny-GGUF/tiny.gguf"
    with home.open() as shelf:
        (name,) = [m.row.model_name for m in shelf.models() if str(m.row.hf_path) == "TheOrg/Tiny-GGUF"]

    unasked = home.run("rm", name)
    asked = Terminal(home, "shelf", "rm", name, columns=120)
    for answer in ("n", "n"):
        asked.wait_for("]: ")
        asked.said = asked.said.replace(b"]: ", b"]; ")
        asked.type(f"{answer}\n")
    screen = asked.finish()

    assert (unasked.code, "shelf adopt --unlink" in unasked.err) == (2, True)
    assert "Remove those links all the same? [no]" in screen.text
    assert (screen.code, "Nothing was removed." in screen.text) == (0, True)
    assert file.is_symlink()
    assert file.read_bytes() == A


def test_a_link_that_a_killed_run_did_not_make_is_made_by_the_next(
    home: Home, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan names a folder that was renamed and has no link yet, with the command for it, and the job makes it."""
    me = home.root / "home"
    cache = me / ".cache/huggingface"
    hub.add_repo("org/cached", CACHED)
    home.hf(cache, "download", "org/cached").checked()
    home.start("adopt", "--all", "--yes").finish(PATIENCE_S).checked()
    cache.unlink()  # as if it had been killed between the renaming and the link

    said = home.start("adopt", "--all", "--dry-run").finish(PATIENCE_S).checked().err
    monkeypatch.setenv("HOME", str(me))
    with home.open() as shelf:
        shelf.adopt_all()

    assert f"shelf adopt {cache} --link" in said
    assert cache.is_symlink()
    assert tree(load_offline(home, cache, "org/cached")) == CACHED
