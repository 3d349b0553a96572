"""A repository of which clients of the mirror fetched a part alone."""

from __future__ import annotations

import json

from tests.fakes.hub import FakeHub
from tests.headers import safetensors
from tests.world import MIB, Home, random_bytes, wait_until

SHARDS = [f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
INDEX = {"weight_map": {f"{shard}.weight": shard for shard in SHARDS}}
FILES = {
    "config.json": b'{"architectures": ["LlamaForCausalLM"]}',
    "model.safetensors.index.json": json.dumps(INDEX).encode(),
    **{
        shard: safetensors({f"{shard}.weight": ("U8", [5])}) + random_bytes(5 * MIB, seed)
        for seed, shard in enumerate(SHARDS)
    },
}
SMALL = {"SHELF_MIRROR": "on", "PRIMARY_CACHE_LIMIT_GB": "0.1", "SHELF_MIRROR_SHARE": "0.12"}


def test_a_model_without_all_its_shards_is_offered_to_nobody(home: Home, hub: FakeHub) -> None:
    """What outgrew the share is refused with what is held, isn't listed, and loading it says what is missing."""
    hub.add_repo("org/split", FILES)
    with home.serve(**SMALL) as server:
        answers = [server.ask("GET", f"/hf/org/split/resolve/main/{name}") for name in FILES]
        wait_until(lambda: all(job["finished_at"] for job in server.get("/api/jobs")), "the jobs to end")
        listed, tags = server.get("/v1/models")["data"], server.get("/api/tags")["models"]
        asked = server.ask("POST", "/v1/completions", {"model": "split-mirror", "prompt": "Hi"})
        refused = home.run("load", "split-mirror", **SMALL)
        shown = home.run("show", "split-mirror", "--json", **SMALL).checked().json
        one = server.ask("GET", "/v1/models/split-mirror")

    why = "1 part of its weights isn't among its files."
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 507]
    assert "org/split would take 15.7 MB, with the 10.5 MB that it has, and mirrored models" in answers[-1].text
    assert (listed, tags, one.status) == ([], [], 404)
    assert (asked.status, why in asked.text) == (400, True)
    assert (refused.code, why in refused.err) == (2, True)
    assert (shown["facts"]["unread"], shown["facts"]["runs_with"]) == ([why], [])
