"""Real containers and the host use the same folders at the same time."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.containers.conftest import INSIDE, USB, Container, Engine, Running, start_server
from tests.fakes.hub import FakeHub
from tests.sides import (
    DIGESTS,
    USER,
    A,
    B,
    Side,
    bases_of,
    check_shared,
    let_time_pass,
    needs_namespaces,
    seen,
    size,
    use_in_turn,
)
from tests.world import DEADLINE_S, MIB, ROOT, Home, free_port, load_offline, tree, wait_until

DENSE = "HuggingFaceTB/SmolLM2-135M-Instruct"


def two_sides(home: Home, engine: Engine, outside: int = USER, inside: int = USER) -> tuple[Side, Container]:
    """Return a user of the host who owns the bases, and a container; an ordinary user runs either."""
    needs_namespaces()
    owner = outside or inside
    bases_of(home, owner, owner)
    host = Side(home, "outside", outside, outside, umask=0o077)
    return host, Container(home, "inside", inside, inside, umask=0o077, engine=engine)


@pytest.mark.parametrize(
    ("outside", "inside"),
    [(USER, 0), (0, USER), (USER, USER)],
    ids=["root inside, a user outside", "a user inside, root outside", "the same user"],
)
@pytest.mark.parametrize("inside_first", [True, False], ids=["inside first", "outside first"])
def test_host_and_container_see_and_change_the_same_library(
    home: Home, engine: Engine, outside: int, inside: int, inside_first: bool
) -> None:
    """What host or container downloads, moves or removes is the same for both: names, sizes, tiers and bytes."""
    host, container = two_sides(home, engine, outside, inside)
    one, other = (container, host) if inside_first else (host, container)

    use_in_turn(one, other)


def test_both_read_the_same_bytes(home: Home, engine: Engine) -> None:
    """A program in the container reads what the host downloaded, and huggingface_hub finds it there offline."""
    host, container = two_sides(home, engine, USER, 0)
    host.run("add", "a", "org/a").checked()

    read = [
        side.start_program("shelf", "run", "a", "--", "python", "-c", DIGESTS, "{path}").finish().checked().out
        for side in (host, container)
    ]
    find = "from huggingface_hub import snapshot_download as s; print(s('org/a', local_files_only=True))"
    found = container.start_program("shelf", "run", "a", "--", "python", "-c", find).finish().checked()

    assert read[0] == read[1]
    assert found.out.strip() == str(INSIDE / load_offline(home, home.primary, "org/a").relative_to(home.primary))


def test_a_server_in_a_container_and_commands_outside_share_models_and_jobs(
    hub: FakeHub, home: Home, engine: Engine, background: list[Running]
) -> None:
    """A container's download is a job on the host while it runs, and a model when it has ended."""
    host, container = two_sides(home, engine, USER, 0)
    port = free_port()
    start_server(container, background, port)
    hub.pause(after_bytes=MIB)
    body = {"model_name": "a", "hf_path": "org/a", "cache_location": "primary", "cache_path": None}

    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
        created = client.post("/api/models", json=body)
        hub.wait_for_bytes(MIB, timeout_s=DEADLINE_S)
        wait_until(lambda: [j for j in host.run("jobs", "--json").json if j["state"] == "running"], "the job")
        hub.resume()
        wait_until(lambda: seen(host) == [("a", size(A), "ready", "primary")], "the model")
        host.run("move", "a", "secondary").checked()
        moved = client.get("/api/models/a").json()
        client.delete("/api/models/a?delete_files=true").raise_for_status()

    assert created.status_code == 201
    assert (moved["cache_location"], moved["state"]) == ("secondary", "ready")
    assert seen(host) == []
    assert tree(home.secondary / "hub/models--org--a") == {}
    check_shared(home)


def test_sigterm_puts_what_runs_back_and_the_host_goes_on_with_it(
    hub: FakeHub, home: Home, engine: Engine, background: list[Running]
) -> None:
    """A stopped container exits with 0, its download is queued, and another process resumes it."""
    host, container = two_sides(home, engine, USER, 0)
    port = free_port()
    server = start_server(container, background, port)
    hub.pause(after_bytes=MIB)
    body = {"model_name": "a", "hf_path": "org/a", "cache_location": "primary", "cache_path": None}
    httpx2.post(f"http://127.0.0.1:{port}/api/models", json=body, timeout=30)
    hub.wait_for_bytes(MIB, timeout_s=DEADLINE_S)

    code = server.exit_code()
    [job] = host.run("jobs", "--json").checked().json
    hub.resume()
    host.run("pull", "a").checked()

    assert (code, job["state"]) == (0, "queued")
    assert seen(host) == [("a", size(A), "ready", "primary")]
    check_shared(home)


def test_a_use_in_a_container_holds_the_model_and_ends_with_it(home: Home, engine: Engine) -> None:
    """A model in use in a container keeps its old copy, and for a minute at most after the container was killed."""
    host, container = two_sides(home, engine, USER, 0)
    host.run("add", "a", "org/a").checked()
    container.start_program("shelf", "run", "a", "--", "sleep", "600")
    wait_until(lambda: host.run("lease", "--json").json, "the lease")

    refused = host.run("rm", "a", "--files", "--json")
    [name] = engine.of(home)
    engine.run("kill", name, check=True)
    let_time_pass(home, 120)
    host.run("rm", "a", "--files").checked()

    assert refused.code == 5
    assert "used by" in refused.problem["detail"]


def test_a_custom_base_has_two_paths(home: Home, engine: Engine) -> None:
    """With CACHE_PATH_MAP a container may name its own path or the host's, and both sides resolve the base."""
    host, container = two_sides(home, engine, USER, 0)

    container.run("add", "a", "org/a", "--to", str(USB)).checked()
    container.run("add", "b", "org/b", "--to", str(home.custom)).checked()
    paths = {Path(host.run("path", name).checked().out.strip()).relative_to(home.custom).parts[1] for name in "ab"}
    host.run("rm", "a", "--files").checked()

    assert paths == {"models--org--a", "models--org--b"}
    assert seen(host) == seen(container) == [("b", size(B), "ready", "custom")]


def test_a_container_without_a_mount_says_that_models_would_vanish(engine: Engine) -> None:
    """Without a mounted base a container warns, and with SHELF_REQUIRE_MOUNT=1 it doesn't start."""
    warned = engine.run("run", "--rm", engine.image, "shelf", "ls")
    refused = engine.run("run", "--rm", "--env", "SHELF_REQUIRE_MOUNT=1", engine.image, "shelf", "ls")

    assert warned.returncode == 0
    assert "is lost with the container" in warned.stderr
    assert refused.returncode == 2
    assert "is lost with the container" in refused.stderr


def test_the_image_is_no_root_and_says_how_it_is(engine: Engine) -> None:
    """The image runs as user 1000 by default, as one process, with a health check, and stops on SIGTERM."""
    who = engine.run("run", "--rm", engine.image, "id", "-u").stdout.strip()
    [config] = json.loads(engine.run("image", "inspect", engine.image, check=True).stdout)

    assert who == "1000"
    assert config["Config"]["Cmd"] == ["shelf", "serve"]
    assert "/healthz" in str(config.get("Healthcheck") or config["Config"].get("Healthcheck"))
    assert config["Config"].get("StopSignal") in ("SIGTERM", "15")


def test_the_token_of_the_base_is_not_the_containers(home: Home, engine: Engine) -> None:
    """huggingface_hub in the container doesn't use the base's token, though HF_HOME is the base."""
    host, container = two_sides(home, engine, USER, 0)
    host.run("add", "a", "org/a").checked()
    (home.primary / "token").write_text("hf_secret_of_the_host")

    code = "from huggingface_hub import get_token; print(get_token())"
    said = container.start_program("shelf", "run", "a", "--", "python", "-c", code).finish().checked()

    assert said.out.strip() == "None"


@pytest.fixture
def compose(engine: Engine, tmp_path: Path) -> Iterator[list[str]]:
    """The command line of Compose; with podman over its Docker-compatible socket."""
    words = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    if engine.program != "podman":
        yield words
        return
    address = f"unix://{tmp_path}/podman.sock"
    service = subprocess.Popen(["podman", "system", "service", "--time=0", address])
    wait_until((tmp_path / "podman.sock").exists, "podman's socket")
    yield ["env", f"DOCKER_HOST={address}", *words]
    service.terminate()
    service.wait()


@pytest.mark.parametrize(("key", "without_key"), [("key", 401), ("", 200)], ids=["with a key", "without a key"])
def test_compose_up_and_the_host_are_one_library(
    hub: FakeHub, home: Home, engine: Engine, compose: list[str], tmp_path: Path, key: str, without_key: int
) -> None:
    """`docker-compose up -d` as documented: healthy, the host's models, a download over the LAN from another shelf.

    Published on loopback it needs no key.
    """
    host, _ = two_sides(home, engine)
    project, port, far_port = tmp_path / "project", free_port(), free_port()
    project.mkdir()
    shutil.copy(ROOT / "docker-compose.yml", project)
    address = _address()
    (project / ".env").write_text(
        f"PRIMARY_CACHE_PATH={home.primary}\nSECONDARY_CACHE_PATH={home.secondary}\nSHELF_UID={USER}\nSHELF_GID={USER}\n"
        f"SHELF_API_KEY={key}\nSHELF_PUBLISH=127.0.0.1:{port}\nHF_TOKEN=far\nHF_ENDPOINT=http://{address}:{far_port}/hf\n"
    )
    host.run("add", "a", "org/a").checked()
    far = Home(tmp_path / "far", hub.url)
    far.run("add", "b", "org/b").checked()

    def say(*words: str) -> str:
        done = subprocess.run([*compose, *words], cwd=project, capture_output=True, text=True, env=_plain())
        assert done.returncode == 0, done.stderr
        return done.stdout

    with far.serve(SHELF_HOST="0.0.0.0", SHELF_API_KEY="far", SHELF_PORT=str(far_port)):
        say("up", "--detach", "--no-build")
        try:
            url, headers = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {key}"} if key else {}
            wait_until(lambda: _ok(f"{url}/healthz"), "the server in the container")
            name = say("ps", "-q").strip()
            wait_until(lambda: _is_healthy(engine, name), "its health")
            with httpx2.Client(base_url=url, headers=headers, trust_env=False) as client:
                first = client.get("/api/models").json()
                body = {"model_name": "b", "hf_path": "org/b", "cache_location": "secondary", "cache_path": None}
                client.post("/api/models", json=body).raise_for_status()
                wait_until(lambda: ("b", size(B), "ready", "secondary") in seen(host), "the download")
                host.run("rm", "a", "--files").checked()
                last = [model["model_name"] for model in client.get("/api/models").json()]
                keyless = httpx2.get(f"{url}/api/models", trust_env=False).status_code
            inside = say("exec", "-T", "shelf", "shelf", "ls", "--json")
        finally:
            say("down")

    assert [(m["model_name"], m["size_bytes"], m["state"]) for m in first] == [("a", size(A), "ready")]
    assert last == ["b"]
    assert [m["model_name"] for m in json.loads(inside)] == ["b"]
    assert keyless == without_key
    assert seen(host) == [("b", size(B), "ready", "secondary")]
    check_shared(home)


@pytest.mark.model
def test_the_real_model_is_loaded_outside_and_read_inside(upstream: str, home: Home, engine: Engine) -> None:
    """A model that the container downloaded answers a question on the host while the container reads its bytes."""
    home.endpoint = upstream
    _, container = two_sides(home, engine, 0, 0)
    container.run("add", "smol", DENSE).checked()

    answer = home.start("load", "smol", "--json").finish(240).checked().json["answer"]
    read = container.start_program("shelf", "run", "smol", "--", "python", "-c", DIGESTS, "{path}").finish().checked()
    outside = home.start_program("shelf", "run", "smol", "--", sys.executable, "-c", DIGESTS, "{path}").finish()

    assert "4" in answer
    assert read.out == outside.checked().out


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[str]:
    """A hub with the demo's model, built once."""
    from demo.build_models import build

    base = ROOT / ".demo" / "upstream"
    build(base)
    with Home(tmp_path / "upstream", "http://127.0.0.1:9", {"PRIMARY_CACHE_PATH": str(base)}).serve() as server:
        yield f"{server.url}/hf"


def _address() -> str:
    """Return an address of this machine that a container can reach."""
    found = [a.address for sidecars in psutil.net_if_addrs().values() for a in sidecars if a.family == socket.AF_INET]
    found = [address for address in found if not address.startswith("127.")]
    if not found:
        pytest.skip("this machine has no address but loopback")
    return found[0]


def _plain() -> dict[str, str]:
    """Return the environment without our settings, so that only `.env` counts."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("SHELF_", "HF_", "PRIMARY_"))}


def _ok(url: str) -> bool:
    try:
        return httpx2.get(url, trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False


def _is_healthy(engine: Engine, name: str) -> bool:
    if engine.program == "podman":  # without systemd nothing runs the check at its interval
        return engine.run("healthcheck", "run", name).returncode == 0
    return engine.run("inspect", name, "--format", "{{.State.Health.Status}}", check=True).stdout.strip() == "healthy"
