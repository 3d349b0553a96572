"""A short answer is one packet: its head and its body are written together."""

from __future__ import annotations

from modelshelf.services.shelf import Shelf
from tests.serving import parse, serving


def test_a_short_answer_comes_at_once_and_a_head_alone(shelf: Shelf) -> None:
    """One read gives a whole answer, again on the same connection; what has no body is answered all the same."""
    with serving(shelf) as server, server.connect() as connection:
        ask = f"{{}} HTTP/1.1\r\nHost: {server.host}\r\n\r\n"
        said = []
        for line in ("GET /healthz", "GET /api/models/none", "HEAD /hf/none/resolve/main/x", "GET /healthz"):
            connection.sendall(ask.format(line).encode())
            said.append(connection.recv(1 << 16))
    first, missing, head, again = (parse(each) for each in said)

    assert first is not None
    assert first.json["status"] == "ok"
    assert missing is not None
    assert missing.json["status"] == missing.status == 404
    assert head is not None
    assert (head.status, head.body) == (404, b"")
    assert again is not None
    assert again.body == first.body
