"""OpenAI's protocol through the door: what the engine is asked, what the client gets, and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import socket
import struct
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from modelshelf.domain.engine_kinds import Endpoint
from modelshelf.errors import BadInput, EngineFailed, TooMany, Unavailable
from modelshelf.services.shelf import Shelf
from tests.fakes.upstream import KEY, NAME, OneEngine, Upstream
from tests.serving import Reply, Serving, parse, read_all, serving
from tests.world import wait_until

CHAT = "/v1/chat/completions"
LEAVE_AT_ONCE = struct.pack("ii", 1, 0)


def chat(text: str = "hi", model: str = "smol", **more: Any) -> dict[str, Any]:
    """Return a conversation of one message."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def ask(door: Serving, body: Any, path: str = CHAT, *headers: str) -> Reply:
    """Post JSON."""
    return door.ask("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)


def dechunked(body: bytes) -> bytes:
    """Return a body without the sizes of its chunks, as far as it came."""
    parts = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        parts.append(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :]
    return b"".join(parts)


def events(reply: Reply) -> list[Any]:
    """Return the events of a stream: JSON where they are."""
    lines = [line for line in dechunked(reply.body).decode().split("\n\n") if line]
    return [json.loads(line[6:]) if line.startswith("data: {") else line for line in lines]


@contextlib.contextmanager
def begin(door: Serving, body: Any, receive_bytes: int = 0) -> Iterator[socket.socket]:
    """Send a request, and give the connection on which its answer comes."""
    with socket.socket() as connection:
        _begin(door, connection, body, receive_bytes)
        yield connection


def _begin(door: Serving, connection: socket.socket, body: Any, receive_bytes: int) -> None:
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", door.port))
    content = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: {door.host}\r\nConnection: close\r\nContent-Length: {len(content)}\r\n\r\n"
    connection.sendall(head.encode() + content)


def leave(connection: socket.socket) -> None:
    """Leave without waiting for anything."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LEAVE_AT_ONCE)
    connection.close()


def test_an_answer_carries_the_name_that_was_asked_for(door: Serving, engine: Upstream) -> None:
    """The engine is asked by its own name, and the client reads its own; a text that looks like a name stays."""
    reply = ask(door, chat(temperature=0.5))

    assert reply.status == 200
    assert reply.json["model"] == "smol"
    assert reply.json["choices"][0]["message"]["content"] == f'she said {{"model":"{NAME}"}}'
    assert engine.bodies == [chat(model=NAME, temperature=0.5)]
    assert reply.headers["content-type"] == "application/json"


def test_a_stream_carries_the_name_in_every_event(door: Serving, engine: Upstream) -> None:
    """Each event has the client's name, also one that came in two pieces, and the end is the engine's."""
    reply = ask(door, chat(stream=True))

    *said, end = events(reply)
    assert [one["choices"][0]["delta"]["content"] for one in said] == ["one", "two"]
    assert {one["model"] for one in said} == {"smol"}
    assert (end, reply.headers["content-type"]) == ("data: [DONE]", "text/event-stream")


def test_no_key_passes_the_door(shelf: Shelf, door: Serving, engines: OneEngine, engine: Upstream) -> None:
    """The engine gets its own key and nothing of the client's head, and the client nothing of the engine's."""
    with serving(shelf, engines=engines, api_key="ours") as locked:
        replies = [
            ask(locked, chat(), CHAT, "Authorization: Bearer ours", "Cookie: a=b", "X-Secret: c"),
            ask(locked, chat(), CHAT, "x-api-key: ours"),
        ]
        refused = [ask(locked, chat()), ask(locked, chat(), CHAT, "x-api-key: theirs")]

    assert [reply.status for reply in replies] == [200, 200]
    assert {head["Authorization"] for head in engine.heads} == {f"Bearer {KEY}"}
    assert not [head for head in engine.heads if "ours" in str(head) or "Cookie" in head or "X-Secret" in head]
    assert not [reply for reply in replies if KEY in str(reply.headers) + str(reply.body)]
    assert [(reply.status, reply.json["error"]["type"]) for reply in refused] == [(401, "authentication_error")] * 2


def test_keep_alive_is_the_librarys(door: Serving, engines: OneEngine, engine: Upstream) -> None:
    """The pool is told how long the model stays, and the engine, which knows no such field, isn't."""
    ask(door, chat(keep_alive="5m"))
    ask(door, chat(keep_alive=-1))

    assert [use[:3] for use in engines.uses] == [("smol", Endpoint.CHAT, 300), ("smol", Endpoint.CHAT, -1)]
    assert all("keep_alive" not in body for body in engine.bodies)


@pytest.mark.parametrize("endpoint", [e for e in Endpoint if e is not Endpoint.CHAT], ids=lambda e: e.value)
def test_every_endpoint_leads_to_the_same_of_the_engine(door: Serving, engine: Upstream, endpoint: Endpoint) -> None:
    """What is asked below /v1 is asked there of the engine; `tokenize` alone is at an engine's root."""
    reply = ask(door, {"model": "smol", "input": "hi", "prompt": "hi"}, f"/v1/{endpoint.value}")

    assert (reply.status, reply.json["model"]) == (200, "smol")
    assert engine.paths == ["/tokenize" if endpoint is Endpoint.TOKENIZE else f"/v1/{endpoint.value}"]


@pytest.mark.parametrize("name", ["prompt", "content"])
def test_the_text_to_tokenize_has_two_names(door: Serving, engine: Upstream, name: str) -> None:
    """An engine gets the text whose tokens are wanted under vLLM's name and llama.cpp's; without one it isn't asked."""
    ask(door, {"model": "smol", name: "hi there"}, "/v1/tokenize")
    refused = ask(door, {"model": "smol"}, "/v1/tokenize")

    assert [(body["prompt"], body["content"]) for body in engine.bodies] == [("hi there", "hi there")]
    assert (refused.status, refused.json["error"]["message"]) == (400, "The field prompt is missing.")


@pytest.mark.parametrize(
    "name", ["org/smol-gguf", "SMOL", "smol:latest", "smol:q4_k_m", "Org/Smol-GGUF:Q4_K_M"], ids=str
)
def test_a_model_has_other_names(door: Serving, engines: OneEngine, name: str) -> None:
    """Its repository, any case, Ollama's tag and its quantisation lead to a model, and the answer has that name."""
    replies = [ask(door, chat(model=name)) for _ in range(2)]

    assert [reply.json.get("model") for reply in replies] == [name, name], replies
    assert engines.uses[-1][0] == "smol"


def test_a_name_that_may_be_two_models_is_refused(shelf: Shelf, door: Serving) -> None:
    """The client is told which ones, and nothing is started."""
    shelf.register("second", "Org/Smol-GGUF", "secondary")

    reply = ask(door, chat(model="org/smol-gguf"))

    assert (reply.status, reply.json["error"]["param"]) == (400, "model")
    assert "second, smol" in reply.json["error"]["message"]


def test_an_unknown_model_names_those_that_come_near(door: Serving) -> None:
    """The answer is OpenAI's 404, with what was meant."""
    reply = ask(door, chat(model="smoll"))

    assert (reply.status, reply.json["error"]["code"]) == (404, "model_not_found")
    assert "smol" in reply.json["error"]["message"].partition("Did you mean")[2]


@pytest.mark.parametrize("path", ["/v1/models/a%0Ab", "/v1/nothing", "/v1"], ids=["newline", "unknown", "bare"])
def test_a_path_that_is_not_there_is_openais_404(door: Serving, path: str) -> None:
    """Below /v1 the answer has OpenAI's shape also where no route fits; elsewhere it is a problem document."""
    reply = door.ask("GET", path)

    assert reply.status == 404
    assert ("error" in reply.json) == path.startswith("/v1/")
    assert "There is no such page." in str(reply.json)
    assert "OpenAI's and Anthropic's protocols are below /v1, Ollama's below /api, the Hub's below /hf" in str(
        reply.json
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[" * 100_000, None),
        (b"[]", None),
        (b"\xff\xfe", None),
        ({"messages": []}, "model"),
        ({"model": 7}, "model"),
        ({"model": ""}, "model"),
        (chat(stream="yes"), "stream"),
        (chat(tell_loading=1), "tell_loading"),
        (chat(keep_alive="soon"), "keep_alive"),
        (chat(keep_alive=[]), "keep_alive"),
    ],
    ids=str,
)
def test_a_body_that_cannot_be_meant_is_refused(door: Serving, engines: OneEngine, body: Any, param: str) -> None:
    """The answer is 400 in OpenAI's shape and names the field; no engine is asked for."""
    reply = ask(door, body)

    assert (reply.status, reply.json["error"]["type"]) == (400, "invalid_request_error")
    assert (reply.json["error"]["param"], engines.uses) == (param, [])


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": [{}]}, "messages"),
    ({"messages": ["hi"]}, "messages"),
    ({"messages": [{"role": "user"}]}, "messages"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages"),
    ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]}, "messages"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -2}, "max_tokens"),
    ({"max_tokens": "x"}, "max_tokens"),
    ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
    ({"n": 0}, "n"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": float("nan")}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": 7}, "top_p"),
    ({"stop": 5}, "stop"),
    ({"seed": "a"}, "seed"),
    ({"logit_bias": "x"}, "logit_bias"),
    ({"logit_bias": {"1": 10**400}}, "logit_bias"),
    ({"logit_bias": {"1": "x"}}, "logit_bias"),
    ({"tools": "x"}, "tools"),
    ({"response_format": "json"}, "response_format"),
]
ELSEWHERE: list[tuple[str, dict[str, Any], str]] = [
    ("completions", {}, "prompt"),
    ("completions", {"prompt": 5}, "prompt"),
    ("completions", {"prompt": "a", "max_tokens": 0}, "max_tokens"),
    ("embeddings", {}, "input"),
    ("embeddings", {"input": []}, "input"),
    ("responses", {}, "input"),
    ("responses", {"input": 5}, "input"),
    ("responses", {"input": [{"role": "user", "content": 5}]}, "input"),
    ("responses", {"input": [{"type": "input_text"}]}, "input"),
    ("responses", {"input": "a", "max_output_tokens": 0}, "max_output_tokens"),
]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [("chat/completions", chat() | fields, param) for fields, param in MISTAKES]
    + [(path, {"model": "smol"} | fields, param) for path, fields, param in ELSEWHERE],
    ids=str,
)
def test_a_clients_mistake_is_told_before_an_engine_is_asked(
    door: Serving, engines: OneEngine, path: str, body: dict[str, Any], param: str
) -> None:
    """A field that isn't what it must be is 400 and named, whichever engine would have answered."""
    reply = ask(door, body, f"/v1/{path}")

    assert (reply.status, reply.json["error"]["type"]) == (400, "invalid_request_error")
    assert (reply.json["error"]["param"], engines.uses) == (param, [])


def test_what_clients_send_without_asking_for_anything_passes(door: Serving, engine: Upstream) -> None:
    """Null asks for the default, 20.0 is a whole number, and a turn may be a call of a tool alone."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    talk = [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "so"},
    ]
    nothing = dict.fromkeys(("temperature", "stop", "seed", "tools", "response_format", "n", "logit_bias"))

    reply = ask(door, {"model": "smol", "messages": talk, "max_tokens": 20.0, "top_p": 1, **nothing})

    assert (reply.status, engine.bodies[0]["messages"]) == (200, talk)


def test_what_engines_spell_otherwise_is_said_plainly(door: Serving, engine: Upstream) -> None:
    """transformers fails on an empty list of stops, a bias that is a whole number and LM Studio's word for no limit."""
    reply = ask(door, chat(stop=[], logit_bias={"7": -100}, max_tokens=-1))

    told = {name: engine.bodies[0][name] for name in ("stop", "logit_bias", "max_tokens")}
    assert (reply.status, told) == (200, {"stop": None, "logit_bias": {"7": -100.0}, "max_tokens": None})


def test_a_response_is_not_streamed_unless_that_is_asked(door: Serving, engine: Upstream) -> None:
    """An engine whose default is a stream is told OpenAI's default; what a client says itself stays."""
    for said in ({}, {"stream": None}, {"stream": False}, {"stream": True}):
        ask(door, {"model": "smol", "input": "hi", **said}, "/v1/responses")

    assert [body["stream"] for body in engine.bodies] == [False, False, False, True]


def test_a_picture_fits_and_more_than_64_mib_does_not(door: Serving, engine: Upstream) -> None:
    """A body of some megabytes arrives whole; one that is too long is refused in OpenAI's shape."""
    picture = "p" * (5 << 20)
    assert ask(door, chat(f"see {picture}")).status == 200
    assert engine.bodies[0]["messages"][0]["content"] == f"see {picture}"

    reply = door.send(
        f"POST {CHAT} HTTP/1.1\r\nHost: {door.host}\r\nContent-Length: {65 << 20}\r\nConnection: close\r\n\r\n".encode()
    )
    assert reply is not None
    assert (reply.status, reply.json["error"]["type"]) == (413, "request_too_large")


def test_no_connection_is_used_after_a_stream(door: Serving, engine: Upstream) -> None:
    """llama.cpp closes the connection behind a stream, so a request that came at once would be lost with it."""
    assert [ask(door, chat(stream=stream)).status for stream in (True, False)] == [200, 200]

    assert [head.get("Connection", "") for head in engine.heads] == ["close", ""]


def test_a_field_that_the_backend_ignores_is_refused(door: Serving, engines: OneEngine, engine: Upstream) -> None:
    """The answer names field, model and backend; a value that asks for nothing passes."""
    engines.ignores = frozenset({"n", "response_format", "tools"})

    refused = ask(door, chat(response_format={"type": "json_object"}))
    passed = ask(door, chat(response_format={"type": "text"}, tools=None, n=1))

    assert (refused.status, refused.json["error"]["param"]) == (400, "response_format")
    assert refused.json["error"]["message"].startswith("smol runs on fake, which ignores response_format.")
    assert (passed.status, len(engine.bodies)) == (200, 1)


def test_tools_that_the_model_would_not_see_are_refused(door: Serving, engines: OneEngine, engine: Upstream) -> None:
    """The answer says that the template has no place for them; a request without tools passes."""
    engines.takes_tools = False

    refused = ask(door, chat(tools=[{"type": "function", "function": {"name": "call"}}], tool_choice="auto"))
    passed = ask(door, chat(tools=[]))

    assert (refused.status, refused.json["error"]["param"]) == (400, "tools")
    assert "has no place for tools" in refused.json["error"]["message"]
    assert (passed.status, len(engine.bodies)) == (200, 1)


PICTURE = "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}]}]}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": ""}}]}]}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "of tomorrow"}]}]}),
        ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PICTURE}]}]}),
        ("/v1/responses", {"input": [{"type": "input_image", "image_url": PICTURE}]}),
        ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]}]}),
        ("/api/chat", {"messages": [{"role": "user", "content": "hi", "images": ["AAAA"]}]}),
        ("/api/generate", {"prompt": "hi", "images": ["AAAA"]}),
    ],
    ids=["image_url", "input_audio", "unknown", "responses", "a part alone", "anthropic", "ollama", "generate"],
)  # fmt: skip
def test_what_the_model_would_not_see_is_refused(
    door: Serving, engines: OneEngine, engine: Upstream, path: str, body: dict[str, Any]
) -> None:
    """A picture or a sound for a model that reads texts alone is 400 in each protocol; one that sees gets it."""
    engines.takes_media = False
    refused = ask(door, {"model": "smol", "stream": False, **body}, path)
    engines.takes_media = True
    passed = ask(door, {"model": "smol", "stream": False, **body}, path)

    assert (refused.status, passed.status, len(engine.bodies)) == (400, 200, 1)
    assert "smol reads texts alone" in str(refused.json["error"])


def test_a_backend_is_told_to_sample_where_a_request_asks_for_it(
    door: Serving, engines: OneEngine, engine: Upstream
) -> None:
    """A temperature, a seed or top_p would be ignored without that; nothing, 0 and a wish of the client's own stay."""
    engines.samples_with = {"generation_config": "sample"}
    for said in ({"temperature": 1}, {"seed": 7}, {"top_p": 0.5}, {}, {"temperature": 0, "seed": 7}, {"top_p": 1}):
        ask(door, chat(**said))
    ask(door, chat(temperature=1, generation_config="mine"))

    assert [body.get("generation_config") for body in engine.bodies] == ["sample"] * 3 + [None] * 3 + ["mine"]


FAILURES = [
    (BadInput("It can't."), 400, "invalid_request_error", None),
    (TooMany("Too many."), 429, "rate_limit_error", "1"),
    (Unavailable("It loads.", retry_after_s=7), 503, "server_error", "7"),
    (EngineFailed("It died.", tail=("a", "out of tune")), 503, "server_error", None),
    (OSError(errno.EIO, "It broke."), 503, "server_error", None),
]


@pytest.mark.parametrize(("error", "status", "kind", "after"), FAILURES, ids=lambda value: str(value)[:12])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_what_the_pool_refuses_has_openais_shape(
    door: Serving, engines: OneEngine, stream: bool, error: Exception, status: int, kind: str, after: str | None
) -> None:
    """Status, type, when to ask again and an engine's last lines reach the client, also where a disk fails."""
    engines.error = error

    reply = ask(door, chat(stream=stream))

    assert (reply.status, reply.json["error"]["type"], reply.headers.get("retry-after")) == (status, kind, after)
    assert "out of tune" in reply.json["error"]["message"] or not isinstance(error, EngineFailed)


REFUSALS = [
    ('400 {"error": {"message": "Too long", "code": "context_length_exceeded"}}', 400, "context_length_exceeded"),
    ('422 {"detail": "Unexpected keys: {\'a\'}"}', 400, "bad_input"),
    ('501 {"error": {"code": 501, "message": "no embeddings"}}', 400, 501),
    ('500 {"error": "boom"}', 503, "engine_failed"),
    ("401 who are you", 503, "engine_failed"),
    ('429 {"error": {"message": "busy"}}', 429, "too_many"),
]


@pytest.mark.parametrize(("said", "status", "code"), REFUSALS, ids=lambda value: str(value)[:12])
def test_an_engines_refusal_is_passed_on(door: Serving, said: str, status: int, code: object) -> None:
    """What the client got wrong is 400 with the engine's words; what it can't help is the engine's failure."""
    reply = ask(door, chat(f"refuse {said}", stream=True))

    assert (reply.status, reply.json["error"]["code"]) == (status, code), reply.body
    assert '"Unexpected' not in reply.json["error"]["message"]


def test_a_stream_hears_of_the_load(door: Serving, engines: OneEngine) -> None:
    """A client that streams gets comments while its model loads, and then the answer in the same stream."""
    engines.ready.clear()
    with begin(door, chat(stream=True)) as connection:
        heard = b""
        while b": loading smol (starting)\n\n" not in heard:
            heard += connection.recv(1 << 16)
        engines.ready.set()
        reply = parse(heard + read_all(connection))

    assert reply is not None
    assert [one for one in events(reply) if isinstance(one, str)][-1] == "data: [DONE]"
    assert engines.uses[0][-1] is True


def test_a_chat_reads_of_the_load_where_thoughts_are(door: Serving, engines: OneEngine, engine: Upstream) -> None:
    """A client that wants it reads in `reasoning_content` that its model loads; the engine hears nothing of it."""
    engines.ready.clear()
    with begin(door, chat(stream=True, tell_loading=True)) as connection:
        heard = b""
        while b"loading smol (starting)" not in heard:
            heard += connection.recv(1 << 16)
        engines.ready.set()
        reply = parse(heard + read_all(connection))

    assert reply is not None
    first = next(one for one in events(reply) if not isinstance(one, str))
    assert first["choices"][0]["delta"] == {"reasoning_content": "loading smol (starting)\n"}
    assert first["model"] == "smol"
    assert "tell_loading" not in engine.bodies[0]


def test_a_load_that_fails_ends_the_stream_with_an_error(door: Serving, engines: OneEngine) -> None:
    """A stream that was begun with comments ends with an event that says what is wrong."""
    engines.ready.clear()
    with begin(door, chat(stream=True)) as connection:
        heard = connection.recv(1 << 16)
        engines.error = EngineFailed("It didn't start.")
        engines.ready.set()
        reply = parse(heard + read_all(connection))

    assert reply is not None
    assert events(reply)[-1]["error"]["message"] == "It didn't start."


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_who_leaves_while_the_model_loads_waits_no_more(door: Serving, engines: OneEngine, stream: bool) -> None:
    """The pool hears at once that a waiting client is gone."""
    engines.ready.clear()
    with begin(door, chat(stream=stream)) as connection:
        wait_until(lambda: engines.waiting, "the request")
        leave(connection)

    wait_until(lambda: not engines.waiting, "the pool to hear of it")
    assert engines.in_use == 0


def test_who_leaves_ends_the_generation(door: Serving, engines: OneEngine, engine: Upstream) -> None:
    """The engine sees that its client is gone, and the use of the model ends."""
    with begin(door, chat("hold", stream=True)) as connection:
        connection.recv(1000)
        assert engines.in_use == 1
        leave(connection)

    assert engine.left.wait(30)
    wait_until(lambda: engines.in_use == 0, "the use to end")


def test_a_slow_reader_slows_the_engine(door: Serving, engine: Upstream) -> None:
    """The engine sends no more than the buffers hold until the client reads on, and the client gets all of it."""
    with begin(door, chat("much 10000", stream=True), receive_bytes=64 << 10) as connection:
        connection.recv(1000)
        for _ in range(30):
            ask(door, chat())
        sent_bytes = engine.sent_bytes
        reply = parse(b"HTTP/1.1 200 OK\r\n\r\n" + read_all(connection))

    assert reply is not None
    assert sent_bytes < 40_000_000
    assert engine.sent_bytes > 100_000_000
    assert reply.body.rstrip().endswith(b"data: [DONE]\n\n\r\n0")


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_an_engine_that_dies_is_an_error(door: Serving, engines: OneEngine, stream: bool) -> None:
    """A stream that was begun ends with an error event, and a whole answer is 503; the use ends."""
    reply = ask(door, chat("die", stream=stream))
    error = (events(reply)[-1] if stream else reply.json)["error"]

    assert (reply.status, error["code"]) == (200 if stream else 503, "engine_failed")
    assert "fake broke off its answer for smol" in error["message"]
    wait_until(lambda: engines.in_use == 0, "the use to end")


def test_a_request_is_sent_to_the_engine_once(door: Serving, engine: Upstream) -> None:
    """An engine that closes a used connection without an answer isn't asked again: it may have begun to answer."""
    ask(door, chat("hi"))

    reply = ask(door, chat("die"))

    assert (reply.status, [body["messages"][-1]["content"] for body in engine.bodies]) == (503, ["hi", "die"])


def test_who_asks_is_known_by_a_key_that_was_checked(door: Serving, engines: OneEngine, shelf: Shelf) -> None:
    """A header that nobody checks makes no share of its own; where keys are asked for, the key's name does."""
    for header in ("Authorization: Bearer one", "x-api-key: two", "Accept: */*"):
        ask(door, chat(), CHAT, header)
    with serving(shelf, engines=engines, api_key="secret") as closed:
        ask(closed, chat(), CHAT, "Authorization: Bearer secret")

    assert [use[3] for use in engines.uses] == ["", "", "", "SHELF_API_KEY"]


def test_an_engine_that_is_gone_is_an_error(door: Serving, engines: OneEngine) -> None:
    """Nobody listens where the engine was: the answer is 503."""
    engines.url = "http://127.0.0.1:9"

    assert ask(door, chat()).status == 503


def test_two_hundred_are_answered_at_once(door: Serving, engines: OneEngine) -> None:
    """Two hundred clients, half of them streaming, all get their own answer, and no use is left over."""

    async def one(session: aiohttp.ClientSession, number: int) -> str:
        body = chat(model="smol", stream=bool(number % 2))
        async with session.post(f"http://{door.host}{CHAT}", json=body) as reply:
            return f"{reply.status} {'smol' in await reply.text()}"

    async def all_of_them() -> set[str]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            return set(await asyncio.gather(*[one(session, number) for number in range(200)]))

    assert asyncio.run(all_of_them()) == {"200 True"}
    wait_until(lambda: engines.in_use == 0, "the uses to end")


def test_the_models_are_listed(door: Serving) -> None:
    """Models that are whole are listed as OpenAI's clients read them; one is found by its other names too."""
    listed = door.ask("GET", "/v1/models").json
    one = door.ask("GET", "/v1/models/SMOL").json
    none = door.ask("GET", "/v1/models/half")

    assert (listed["object"], [model["id"] for model in listed["data"]]) == ("list", ["smol"])
    assert one == listed["data"][0] | {"id": "SMOL"}
    assert listed["data"][0] | {"created": 0} == {"id": "smol", "object": "model", "created": 0, "owned_by": "Org"}
    assert (none.status, none.json["error"]["code"]) == (404, "model_not_found")


def test_a_page_of_another_site_may_not_ask(door: Serving, engines: OneEngine) -> None:
    """Host and Origin are checked as everywhere, and the refusal has OpenAI's shape."""
    reply = ask(door, chat(), CHAT, "Origin: http://evil.example")

    assert (reply.status, reply.json["error"]["type"], engines.uses) == (403, "permission_error", [])
