"""Ten programs with a model each, every one twice on the disk: one copy afterwards, and each program finds its own."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from modelshelf.domain.known_places import KnownPlace, known_places
from modelshelf.domain.views import ViewState
from modelshelf.services.shelf import Shelf
from tests.builders import put
from tests.headers import gguf, safetensors
from tests.invariants import violations
from tests.world import Home, random_bytes, tree

A = gguf({"general.architecture": "llama"}) + random_bytes(300_000, seed=1)
B = gguf({"general.architecture": "qwen2"}) + random_bytes(400_000, seed=2)
C = safetensors({"lora.w": ("F32", [2])}) + random_bytes(200_000, seed=3)
D = safetensors({"w": ("F32", [2])}) + random_bytes(250_000, seed=4)
E = random_bytes(150_000, seed=5)
MANIFEST = ".ollama/models/manifests/registry.ollama.ai/library/tiny/latest"


def put_ollama(home: Path, data: bytes) -> None:
    """Write a model of Ollama's."""
    digest = hashlib.sha256(data).hexdigest()
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}", "size": len(data)}
    put(home / MANIFEST, json.dumps({"schemaVersion": 2, "layers": [layer]}).encode())
    put(home / ".ollama/models/blobs" / f"sha256-{digest}", data)


def put_ten(home: Path) -> None:
    """Write the folders of ten programs; each weights file is in two of them."""
    put(home / ".lmstudio/models/TheOrg/Tiny-GGUF/tiny.gguf", A)
    put_ollama(home, A)
    put(home / ".local/share/Jan/data/llamacpp/models/qwen/model.gguf", B)
    put(home / ".local/share/Jan/data/llamacpp/models/qwen/model.yml", b"name: qwen\nmodel_path: model.gguf\n")
    put(home / ".local/share/nomic.ai/GPT4All/qwen-Q4.gguf", B)
    put(home / "ComfyUI/models/loras/ink.safetensors", C)
    put(home / "ComfyUI/models/vae/put_vae_here", b"")
    put(home / "stable-diffusion-webui/models/Stable-diffusion/Put Stable Diffusion checkpoints here.txt", b"")
    put(home / "stable-diffusion-webui/models/Lora/ink.safetensors", C)
    put(home / "text-generation-webui/user_data/models/TheOrg_Net/huggingface-metadata.txt", b"no url\n")
    put(home / "text-generation-webui/user_data/models/TheOrg_Net/model.safetensors", D)
    put(home / ".cache/modelscope/hub/models/TheOrg/Net/.mdl", b"x")
    put(home / ".cache/modelscope/hub/models/TheOrg/Net/model.safetensors", D)
    put(home / ".cache/torch/hub/checkpoints/resnet.pth", E)
    put(home / "invokeai/invokeai.yaml", b"")
    put(home / "invokeai/models/1234/resnet.pth", E)


def allocated(path: Path) -> int:
    """Return the bytes that files below a folder occupy, each inode once, as `du` does."""
    seen = {(found.st_dev, found.st_ino): found.st_blocks * 512 for p in path.rglob("*") if (found := p.lstat())}
    return sum(seen.values())


@pytest.fixture
def ten(home: Home, shelf: Shelf) -> Path:
    """The folders of ten programs in a home of their own, at which the library looks."""
    folder = home.root / "ten"
    put_ten(folder)
    everything = shelf.services.everything
    found = [place for place in known_places({"HOME": str(folder)}) if place.path.startswith(str(folder))]
    object.__setattr__(everything, "places", lambda: found)
    return folder


def test_ten_programs_end_with_one_copy(home: Home, shelf: Shelf, ten: Path) -> None:
    """Half of the bytes go, every program's folder reads as before, and a second run finds nothing to do."""
    before, used = tree(ten), allocated(home.root)
    weights = [len(data) for data in (A, B, C, D, E)]

    plans = shelf.services.everything.plan()
    assert len(plans) == 10
    assert sum(plan.saved_bytes for plan in plans) == sum(weights)
    assert [going.location for plan in plans for going in plan.models].count("primary") == 5
    assert tree(ten) == before

    done = shelf.adopt_all()

    assert (done["failed"], [place["left"] for place in done["places"]]) == ([], [[]] * 10)
    assert tree(ten) == before
    links = [path for path in ten.rglob("*") if path.is_symlink()]
    assert len(links) == 10
    assert len({path.resolve() for path in links}) == 5
    assert len(shelf.models()) == 5
    assert allocated(home.root) < used - sum(weights) + 600_000  # the library's own records and folders
    assert {view.state for view in shelf.services.views.all()} == {ViewState.TRUE}
    assert violations(shelf, at_rest=False) == []
    again = shelf.services.everything.plan()
    assert not any(plan.changes for plan in again)


def test_every_program_finds_its_model_after_a_move(home: Home, shelf: Shelf, ten: Path) -> None:
    """When all models move to the other disk, each program's folder still reads as before."""
    before = tree(ten)
    shelf.adopt_all()

    for model in shelf.models():
        shelf.move(model.row.model_name, "secondary")

    assert tree(ten) == before
    assert all(home.secondary in path.resolve().parents for path in ten.rglob("*") if path.is_symlink())


def test_what_has_no_room_goes_to_the_next_tier_or_stays(home: Home, ten: Path, shelf: Shelf) -> None:
    """No limit is passed: what doesn't fit on the primary goes to the secondary, and then stays with its reason."""
    before, fast, slow = tree(ten), 700_000, 600_000
    usual = shelf.services.everything.places
    used = shelf.tiers()[0].usage.apparent_bytes
    limits = {"PRIMARY_CACHE_LIMIT_GB": str((used + fast) / 1e9), "SECONDARY_CACHE_LIMIT_GB": str(slow / 1e9)}
    with home.open(**limits) as limited:
        object.__setattr__(limited.services.everything, "places", usual)
        plans = limited.services.everything.plan()
        limited.adopt_all()
        held = [(model.base, model.size_bytes) for model in limited.models()]

    words = {going.location or going.adoption.act.value for plan in plans for going in plan.models}
    assert {"primary", "secondary"} <= words
    assert 0 < sum(size for base, size in held if base == str(home.primary)) <= fast
    assert 0 < sum(size for base, size in held if base == str(home.secondary)) <= slow
    assert tree(ten) == before


def test_the_usual_cache_becomes_a_link(home: Home, shelf: Shelf) -> None:
    """The cache of Hugging Face's programs becomes a link to the primary, which has its models then."""
    from tests.crash.test_adopt_crash import draw

    old = home.root / "me/.cache/huggingface"
    draw(old)
    everything = shelf.services.everything
    object.__setattr__(everything, "places", lambda: [KnownPlace("Hugging Face", str(old))])
    (plan,) = everything.plan()
    assert (plan.place.mode.value, plan.changes) == ("link", True)

    shelf.adopt_all()

    assert old.resolve() == home.primary
    assert everything.plan() == []


def test_what_cannot_be_read_is_named(home: Home, shelf: Shelf, ten: Path) -> None:
    """Another user's file, and one that is being written, are in the plan with size and reason, and stay."""
    open_one = ten / "ComfyUI/models/loras/ink.safetensors"
    with open_one.open("ab"):
        plans = shelf.services.everything.plan()
        why = [going.adoption.why for plan in plans for going in plan.models if going.adoption.act.value == "stay"]
        assert why == [f"{open_one} is open for writing."]
        shelf.adopt_all()
    assert not open_one.is_symlink()
    assert os.path.realpath(ten / "stable-diffusion-webui/models/Lora/ink.safetensors").startswith(str(home.primary))
