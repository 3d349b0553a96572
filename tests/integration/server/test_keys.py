"""API keys: made and revoked on the command line, asked for by a server that runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx2
import pytest

from modelshelf.domain.keys import Scope
from modelshelf.server.security import scopes_for
from tests.world import Home, Result, Server, wait_until

Cli = Callable[..., Result]
NEW_MODEL = {"model_name": "m", "hf_path": "org/name", "download": False}


def made(cli: Cli, name: str, *scopes: str) -> str:
    """Make a key and return it."""
    words = [word for scope in scopes for word in ("--scope", scope)]
    return cli("key", "add", name, *words).checked().out.strip()


@pytest.fixture
def server(home: Home, cli: Cli) -> Iterator[Server]:
    """A server for other machines, which starts because there is a key."""
    made(cli, "first")
    with home.serve(SHELF_HOST="0.0.0.0") as running:
        running.url = running.url.replace("0.0.0.0", "127.0.0.1")
        yield running


def test_a_server_for_others_needs_a_key_of_either_kind(home: Home, cli: Cli) -> None:
    """Without a key the server doesn't start on every address, and says how to make one."""
    refused = cli("serve", "--host", "0.0.0.0", "--port", "0")

    assert (refused.code, refused.out) == (2, "")
    assert "hint: Make a key (shelf key add NAME), set SHELF_API_KEY=hf_" in refused.err


def test_each_key_may_do_what_it_is_for(server: Server, cli: Cli) -> None:
    """A key reads, asks models or manages; what it isn't for is 403 and names the scope, and no key is 401."""
    reader, asker, manager = (made(cli, scope, scope) for scope in ("read", "infer", "manage"))

    def statuses(key: str) -> list[int]:
        bearer = f"Bearer {key}"
        return [
            server.ask("GET", "/api/models", Authorization=bearer).status,
            server.ask("POST", "/v1/embeddings", {"model": "absent", "input": "a"}, Authorization=bearer).status,
            server.ask("POST", "/api/models", NEW_MODEL, Authorization=bearer).status,
        ]

    wait_until(lambda: statuses(manager)[0] == 200, "the server to know the keys")
    assert statuses(reader) == [200, 403, 403]
    assert statuses(asker) == [403, 404, 403]
    assert statuses(manager)[:2] == [200, 404]
    assert statuses("wrong") == [401, 401, 401]
    refused = server.ask("POST", "/api/models", NEW_MODEL, Authorization=f"Bearer {reader}").json
    assert refused["detail"] == "The key read isn't for this: it would need the scope manage."


def test_a_new_key_works_at_once(server: Server, cli: Cli) -> None:
    """A request with a key that was made a moment ago passes, and a browser logs in with it."""
    assert server.ask("GET", "/api/models", Authorization="Bearer wrong").status == 401
    status = server.ask("GET", "/api/models", Authorization=f"Bearer {made(cli, 'script')}").status
    token = server.ask("GET", "/hf/api/whoami-v2", Authorization=f"Bearer {made(cli, 'hub')}:token").status
    entered = httpx2.post(f"{server.url}/login", data={"key": made(cli, "browser")}, headers={"Origin": server.url})

    assert (status, token, entered.status_code) == (200, 200, 303)


def test_a_revoked_key_is_refused(server: Server, cli: Cli) -> None:
    """A server that runs stops taking a revoked key, and a use of a key is noted."""
    key = made(cli, "laptop")

    def status() -> int:
        return server.ask("GET", "/api/models", Authorization=f"Bearer {key}").status

    wait_until(lambda: status() == 200, "the server to know the key")
    wait_until(lambda: status() and _key(cli, "laptop")["last_used_at"], "its use to be noted")
    cli("key", "revoke", "laptop").checked()
    wait_until(lambda: status() == 401, "the server to refuse it")
    assert cli("key", "revoke", "laptop").code == 4


def test_a_key_is_shown_once(home: Home, cli: Cli) -> None:
    """The list has names, scopes and times; neither it nor the registry has the key."""
    key = made(cli, "laptop")

    listed = cli("key").checked().out
    assert listed.splitlines()[1].split()[:3] == ["laptop", "infer,", "read"]
    assert key not in listed + cli("key", "ls", "--json").checked().out
    assert key.encode() not in b"".join(path.read_bytes() for path in home.primary.glob("modelshelf/registry.db*"))
    assert cli("key", "add", "laptop").code == 5


@pytest.mark.parametrize(
    "words",
    [
        ("key", "add"),
        ("key", "ls", "x"),
        ("key", "drop", "x"),
        ("key", "add", "x", "--scope", "all"),
        ("key", "add", "a b"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_makes_no_key(cli: Cli, words: tuple[str, ...]) -> None:
    """A wrong verb, name or scope is an error with a hint, and there is no key afterwards."""
    refused = cli(*words)

    assert (refused.code, refused.out) == (2, "")
    assert "hint: " in refused.err
    assert cli("key").checked().err == "No keys. To make one: shelf key add NAME\n"


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/api/models", Scope.READ),
        ("HEAD", "/hf/org/name/resolve/main/config.json", Scope.READ),
        ("POST", "/hf/api/models/org/name/paths-info/main", Scope.READ),
        ("POST", "/v1/embeddings", Scope.INFER),
        ("POST", "/api/models/m/move", Scope.MANAGE),
        ("DELETE", "/v1/models/m", Scope.INFER),
        ("DELETE", "/api/models/m", Scope.MANAGE),
        ("POST", "/v1x", Scope.MANAGE),
        ("POST", "/api/chat", Scope.INFER),
        ("POST", "/api/psx", Scope.MANAGE),
    ],
    ids=str,
)
def test_every_request_needs_one_scope(method: str, path: str, scope: Scope) -> None:
    """Looking needs `read`, asking a model `infer`, everything else `manage`."""
    assert scopes_for(method, path) == (scope,)


def test_who_may_ask_models_may_list_them(server: Server, cli: Cli) -> None:
    """A key for asking lists and shows models in OpenAI's and Ollama's protocols, as one for looking does."""
    keys = [f"Bearer {made(cli, scope, scope)}" for scope in ("infer", "read")]
    paths = ("/v1/models", "/v1/models/absent", "/api/tags", "/api/version", "/api/ps")

    def statuses(key: str) -> list[int]:
        asked = [server.ask("GET", path, Authorization=key).status for path in paths]
        return [*asked, server.ask("POST", "/api/show", {"model": "absent"}, Authorization=key).status]

    wait_until(lambda: statuses(keys[0])[0] != 401, "the server to know the keys")
    assert [statuses(key) for key in keys] == [[200, 404, 200, 200, 200, 404]] * 2


def _key(cli: Cli, name: str) -> dict[str, object]:
    return next(key for key in cli("key", "ls", "--json").checked().json if key["name"] == name)
