"""Whatever takes time is a job that `shelf jobs` lists, with its tiers, times and cause."""

from __future__ import annotations

from tests.fakes.hub import FakeHub
from tests.world import Home, random_bytes

REPO = "org/name"
SIZE = 1_500_000


def test_every_operation_is_a_job(hub: FakeHub, home: Home) -> None:
    """All that takes time is a row of one list, each of its kind."""
    for number, name in enumerate(("a", "b")):
        hub.add_repo(f"org/{name}", {"model.safetensors": random_bytes(SIZE, seed=number)})
    hub.add_repo("org/old", {"config.json": b"{}"})
    other = home.root / "other"
    home.hf(other, "download", "org/old").checked()
    full = {"PRIMARY_CACHE_LIMIT_GB": str(2.2 * SIZE / 1e9)}

    home.run("add", "a", "org/a").checked()
    for command in (["verify", "a"], ["gc"], ["dedupe"], ["reconcile"], ["adopt", str(other), "--leave"]):
        home.run(*command).checked()
    home.run("view", "add", "folder", str(home.root / "program"), "--all").checked()
    home.run("view", "sync").checked()
    home.run("move", "a", "secondary").checked()
    home.run("move", "a", "primary").checked()
    hub.add_repo("org/a", {"model.safetensors": random_bytes(SIZE, seed=7)})
    home.run("update", "a").checked()
    home.run("add", "b", "org/b", **full).checked()

    jobs = home.run("jobs", "--json").checked().json
    kinds = {job["kind"] for job in jobs}
    lookings = {"verify", "gc", "dedupe", "reconcile", "view_sync"}
    assert kinds == lookings | {"pull", "adopt", "move", "delete_old_copy", "update"}
    evictions = [job for job in jobs if job["kind"] == "move" and job["parent_id"]]
    (pull,) = [job for job in jobs if job["kind"] == "pull" and job["model_name"] == "b"]
    assert [(job["tiers"], job["parent_id"], job["reason"]) for job in evictions] == [
        (["primary", "secondary"], pull["id"], "Makes room for the pull of b.")
    ]
    assert pull["tiers"] == ["primary"]
    assert [job for job in jobs if not (job["created_at"] <= job["finished_at"])] == []
