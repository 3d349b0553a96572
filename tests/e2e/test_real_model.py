"""The main job with the real model: pulled from the hub face, read by other unchanged tools, loaded, asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.world import Home, wait_until

DENSE, GGUF = "HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct-GGUF"
HF = Path(sys.executable).with_name("hf")
GENERATE = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
where = {"cache_dir": sys.argv[2]} if sys.argv[2:] else {}
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], **where)
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], **where)
chat = [{"role": "user", "content": "What is 2+2?"}]
inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
with torch.inference_mode():
    output = model.generate(**inputs, max_new_tokens=40, do_sample=False)
print(tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
"""

pytestmark = pytest.mark.model


def run(home: Home, *command: str, **environment: str) -> str:
    """Run another project's program in the home; return its output."""
    return home.start_program(*command, TQDM_DISABLE="1", **environment).finish(240).checked().out


def load(home: Home, name: str) -> str:
    """Return a model's answer from its own process."""
    trial = home.start("load", name, "--json").finish(240).checked().json
    assert trial["load_s"] > 0
    return str(trial["answer"])


def test_a_pulled_model_answers_and_every_tool_agrees_that_it_is_there(model_home: Home) -> None:
    """After our pull `hf` lists and verifies the model, and transformers finds it offline under its id."""
    model_home.run("add", "smol", DENSE).checked()

    asked = load(model_home, "smol")
    offline = {"HF_HOME": str(model_home.primary), "HF_HUB_OFFLINE": "1"}
    listed = run(model_home, str(HF), "cache", "ls", "--format", "json", **offline)
    verified = run(model_home, str(HF), "cache", "verify", DENSE, HF_HOME=str(model_home.primary))
    answer = run(model_home, sys.executable, "-c", GENERATE, DENSE, **offline)

    assert "4" in asked
    assert [entry["id"] for entry in json.loads(listed)] == [f"model/{DENSE}"]
    assert "All checksums match" in verified
    assert "4" in answer


def test_transformers_loads_what_is_on_the_secondary_from_the_primary(model_home: Home) -> None:
    """With VIEWS `from_pretrained` finds it offline by HF_HOME=PRIMARY and by `cache_dir=SECONDARY`, and it answers."""
    model_home.run("add", "smol", DENSE, "--to", "secondary", VIEWS="hf,cache_dir").checked()
    primary, secondary = str(model_home.primary), str(model_home.secondary)

    answer = run(model_home, sys.executable, "-c", GENERATE, DENSE, HF_HOME=primary, HF_HUB_OFFLINE="1")
    other = run(model_home, sys.executable, "-c", GENERATE, DENSE, secondary, HF_HUB_OFFLINE="1")
    verified = run(model_home, str(HF), "cache", "verify", DENSE, HF_HOME=primary)

    assert ("4" in answer, "4" in other) == (True, True)
    assert "All checksums match" in verified


def test_transformers_loads_straight_from_the_hub_face(model_home: Home) -> None:
    """`from_pretrained` with HF_ENDPOINT at `/hf` downloads the model into its own cache, and it answers."""
    answer = run(model_home, sys.executable, "-c", GENERATE, DENSE, HF_HOME=str(model_home.root / "own"))

    assert "4" in answer


def test_hf_download_gets_the_gguf_from_the_hub_face_byte_for_byte(model_home: Home, upstream_base: Path) -> None:
    """`hf download` with HF_ENDPOINT at `/hf` brings exactly the bytes on the tier."""
    name = "SmolLM2-135M-Instruct.Q4_1.gguf"

    run(model_home, str(HF), "download", GGUF, name, "--local-dir", str(model_home.root / "got"))

    repo = upstream_base / "hub" / f"models--{GGUF.replace('/', '--')}"
    served = next(repo.glob(f"snapshots/*/{name}"))
    assert (model_home.root / "got" / name).read_bytes() == served.read_bytes()


def test_the_gguf_is_loaded_through_transformers(model_home: Home) -> None:
    """A repository with only a GGUF loads through transformers from the secondary."""
    model_home.run("add", "gguf", GGUF, "--to", "secondary", "--include", "*.gguf").checked()

    assert "4" in load(model_home, "gguf")


def test_python_loads_a_model_in_its_own_process(model_home: Home) -> None:
    """`modelshelf.open().load(name)` returns model and tokenizer, and one more use is recorded."""
    model_home.run("add", "smol", DENSE).checked()
    code = (
        "import modelshelf\n"
        "with modelshelf.open() as shelf:\n"
        "    model, tokenizer = shelf.load('smol')\n"
        "    print(type(model).__name__, len(tokenizer), shelf.model('smol').row.uses)\n"
    )

    said = run(model_home, sys.executable, "-c", code)

    assert said.split() == ["LlamaForCausalLM", "49152", "1"]


def test_a_model_moves_between_the_disks_while_it_is_used(model_home: Home) -> None:
    """A model in use moves and answers from its new place, and its old copy goes when the program ends."""
    model_home.run("add", "smol", DENSE).checked()
    holder = (
        "import pathlib, sys, time\n"
        "held = [path.open('rb') for path in pathlib.Path(sys.argv[1]).glob('*.safetensors')]\n"
        "pathlib.Path(sys.argv[2]).touch()\n"
        "while pathlib.Path(sys.argv[2]).exists():\n"
        "    time.sleep(0.02)\n"
    )
    held = model_home.root / "held"
    child = model_home.start("run", "smol", "--", sys.executable, "-c", holder, "{path}", str(held))
    wait_until(held.exists, "the program to open the model")

    moved = model_home.run("move", "smol", "secondary").checked()
    answer = load(model_home, "smol")
    held.unlink()
    child.finish().checked()
    model_home.run("move", "smol", "primary").checked()

    assert "is used by" in moved.err
    assert "4" in answer
    assert model_home.run("path", "smol").checked().out.startswith(str(model_home.primary))
    assert not list(model_home.secondary.glob("hub/models--*"))


@pytest.mark.parametrize("mode", ["leave", "link"])
def test_a_cache_that_was_there_before_answers_where_it_was_promised(model_home: Home, mode: str) -> None:
    """A cache of `hf download`, adopted, answers through modelshelf, and under its id from both places."""
    old = model_home.root / "home/.cache/huggingface"
    run(model_home, str(HF), "download", DENSE, HF_HOME=str(old))
    promised = [old] if mode == "leave" else [old, model_home.primary]

    model_home.run("adopt", f"--{mode}").checked()

    assert "4" in load(model_home, "smollm2-135m-instruct")
    for base in promised:
        assert "4" in run(model_home, sys.executable, "-c", GENERATE, DENSE, HF_HOME=str(base), HF_HUB_OFFLINE="1")
