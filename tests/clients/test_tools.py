"""Clients other than Hugging Face's Python libraries: curl, aria2c, the JS clients, llama-server."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import KEY, MODEL, QUANTS, Client, Cutter, Library
from tests.fakes.hub import FakeHub
from tests.world import Home, free_port, wait_until

FILE = "org/name/resolve/main/model.safetensors"
JS = """
import {{ downloadFileToCacheDir, fileExists, listModels, snapshotDownload, whoAmI }} from "@huggingface/hub";
import {{ gguf }} from "@huggingface/gguf";
const at = {{ hubUrl: {url!r}, accessToken: {token} }};
const repo = "org/name";
const folder = await snapshotDownload({{ repo, cacheDir: {cache!r}, ...at }});
const file = await downloadFileToCacheDir({{ repo, path: "model.safetensors", cacheDir: {cache!r} + "2", ...at }});
const names = [];
for await (const model of listModels(at)) names.push(model.name);
const exist = [];
for (const path of ["model.safetensors", "config.json", "no.json"])
  exist.push(await fileExists({{ repo, path, ...at }}));
const headers = at.accessToken ? {{ Authorization: "Bearer " + at.accessToken }} : {{}};
const known = await gguf(at.hubUrl + "/org/gg/resolve/main/gg-Q4_K_M.gguf", {{ additionalFetchHeaders: headers }});
const who = at.accessToken ? (await whoAmI(at)).auth.accessToken.role : "";
const kind = known.metadata["general.architecture"];
console.log(JSON.stringify({{ folder, file, names, exist, kind, who }}));
"""


@pytest.mark.parametrize("keyed", [True, False], ids=["with a key", "without"])
@pytest.mark.parametrize("tool", ["curl", "aria2c"])
def test_a_file_arrives_over_a_line_that_breaks(library: Library, tmp_path: Path, tool: str, keyed: bool) -> None:
    """After a cut the tool resumes where it was and has every byte right."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    line = Cutter(library.keyed_url if keyed else library.open_url, cuts=1, after_bytes=8_000_000)
    header = [f"--header=Authorization: Bearer {KEY}"] if keyed else []
    curl = ["curl", "-sSf", "-C", "-", *[word for one in header for word in one.split("=", 1)], "-o", "got"]
    aria = ["aria2c", "-q", "-c", "-x4", "--file-allocation=none", *header, "-o", "got"]
    command = [*(curl if tool == "curl" else aria), f"{line.url}/{FILE}"]
    codes = []
    for _ in range(3):
        codes.append(subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300).returncode)
        if codes[-1] == 0:
            break
    line.close()

    assert (codes[-1], line.cut) == (0, 1)
    assert (tmp_path / "got").read_bytes() == MODEL["model.safetensors"]


@pytest.mark.parametrize("tool", [["curl", "-sSf"], ["aria2c", "-q"]], ids=["curl", "aria2c"])
def test_a_tool_with_a_wrong_key_gets_nothing(library: Library, tmp_path: Path, tool: list[str]) -> None:
    """With a wrong key the tool fails and leaves no file that looks like the model."""
    if shutil.which(tool[0]) is None:
        pytest.skip(f"{tool[0]} is not installed")
    command = [*tool, "--header", "Authorization: Bearer hf_wrong", "-o", "got", f"{library.keyed_url}/{FILE}"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300)

    assert done.returncode != 0
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize("keyed", [True, False], ids=["with a key", "without"])
def test_the_js_clients_find_everything(library: Library, tmp_path: Path, keyed: bool) -> None:
    """@huggingface/hub lays out a snapshot under its true commit, and @huggingface/gguf reads a header."""
    client = Client("npm", tmp_path)
    url, token = (library.keyed_url, json.dumps(KEY)) if keyed else (library.open_url, "undefined")

    said = json.loads(_node(client, JS.format(url=url, token=token, cache=str(client.cache / "hub"))))

    assert client.files("org/name") == MODEL
    assert Path(said["folder"]).name == Path(said["file"]).parent.name == _commit(library)
    assert {"org/name", "org/gg"} <= set(said["names"])
    assert (said["exist"], said["kind"], said["who"]) == ([True, True, False], "llama", "read" if keyed else "")


def test_the_js_client_says_that_a_key_is_wrong(library: Library, tmp_path: Path) -> None:
    """With a wrong key the JS client's error has the status 401."""
    code = JS.format(url=library.keyed_url, token=json.dumps("hf_wrong"), cache=str(tmp_path))

    with pytest.raises(subprocess.CalledProcessError) as caught:
        _node(Client("npm", tmp_path), code)

    assert "401" in caught.value.stderr


def _node(client: Client, code: str) -> str:
    """Run JavaScript beside the npm packages."""
    modules = Path(client.environment.program("node")).parents[1] / "node_modules"
    (client.root / "node_modules").symlink_to(modules)
    (client.root / "main.mjs").write_text(code)
    command = ["node", "main.mjs"]
    done = subprocess.run(command, cwd=client.root, text=True, capture_output=True, timeout=300, check=True)
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("place", ["with a key", "without", "in place"])
def test_llama_server_finds_the_quantisation_that_is_here(library: Library, tmp_path: Path, place: str) -> None:
    """llama-server with `-hf org/gg` gets the file from face or tier, and ends because it isn't a real model."""
    client = Client("llama-server", tmp_path)
    more = {"HF_TOKEN": KEY} if place == "with a key" else {}
    more |= {"HF_HOME": str(library.home.primary)} if place == "in place" else {}
    words = ["-hf", "org/gg:Q4_K_M", "--port", str(free_port()), *(["--offline"] if place == "in place" else [])]

    url = library.keyed_url if "HF_TOKEN" in more else library.open_url
    done = client.run("llama-server-vulkan", *words, url=url, **more)

    if place != "in place":
        assert QUANTS["gg-Q4_K_M.gguf"] in client.files("org/gg").values(), done.stderr[-2000:]
    assert "gg-Q4_K_M.gguf" in done.stderr + done.stdout


def test_llama_server_gets_a_quantisation_through_a_mirror(tmp_path: Path) -> None:
    """llama-server with `-hf org/gg` gets the file of its quantisation from a mirror that has nothing, and it alone."""
    client = Client("llama-server", tmp_path)
    with FakeHub() as hub:
        hub.add_repo("org/gg", QUANTS)
        home = Home(tmp_path / "user", hub.url)
        with home.serve(SHELF_MIRROR="on") as server:
            words = ["-hf", "org/gg:Q4_K_M", "--port", str(free_port())]
            done = client.run("llama-server-vulkan", *words, url=f"{server.url}/hf")
            wait_until(lambda: server.get("/api/models")[0]["state"] == "ready", "the fetch to end")
            (model,) = server.get("/api/models")
        fetched = {
            request.path.rpartition("/")[2] for request in hub.requests if request.method == "GET" and request.range
        }

    assert QUANTS["gg-Q4_K_M.gguf"] in client.files("org/gg").values(), done.stderr[-2000:]
    assert (model["model_name"], model["allow_patterns"]) == ("gg-mirror", ["gg-Q4_K_M.gguf"])
    assert len(fetched) == 1


def _commit(library: Library) -> str:
    found = library.home.run("ls", "--json").checked().json
    return next(str(model["commit_hash"]) for model in found if model["hf_path"] == "org/name")
