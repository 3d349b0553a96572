"""What strangers say in a browser: READMEs, file names and answers are text, and another site's page can do nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from playwright.sync_api import Dialog, Page, expect

from tests.browser.conftest import ALL, DEADLINE_MS, MB
from tests.fakes.hub import FakeHub
from tests.world import Home, Server, random_bytes

pytestmark = ALL
expect.set_options(timeout=DEADLINE_MS)
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script><svg onload=alert(3)>"
README = f"# Hello\n\n{EVIL}\n\n[press](javascript:alert(4)) <iframe src=javascript:alert(5)></iframe>\n"
TEMPLATE = {"chat_template": "{{ ''.__class__ }}" + EVIL, "name": EVIL}


def test_what_strangers_write_is_inert(hub: FakeHub, home: Home, look: Callable[..., Page]) -> None:
    """A README, a file's name, a chat template and a description of a repository make no element and run nothing."""
    files = {
        "README.md": README.encode(),
        "tokenizer_config.json": json.dumps(TEMPLATE).encode(),
        "config.json": json.dumps({"model_type": EVIL, "architectures": [EVIL]}).encode(),
        "<img src=x onerror=alert(6)>.txt": b"x",
        "model.safetensors": random_bytes(MB),
    }
    hub.add_repo("org/evil", files)
    home.run("add", "evil", "org/evil").checked()
    with home.serve() as server:
        page = look(server.url)
        asked: list[str] = []

        def refuse(dialog: Dialog) -> None:
            asked.append(dialog.message)
            dialog.dismiss()

        page.on("dialog", refuse)
        for path in ("/models/evil", "/models", "/add?q=org/evil", f"/models?q={EVIL}", "/playground", "/tools"):
            page.goto(f"{server.url}{path}")
            bad = "[onerror], [onload], iframe, main script, main img, a[href^='javascript']"
            expect(page.locator(bad)).to_have_count(0)
        page.goto(f"{server.url}/models/evil")
        expect(page.get_by_role("heading", name="Hello")).to_be_visible()
        expect(page.get_by_text("<img src=x onerror=alert(6)>.txt")).to_be_visible()
        assert asked == []


def test_an_answer_is_text(library: Server, look: Callable[..., Page]) -> None:
    """What a model answers makes no element either; the answer is one that no real model can be made to give."""
    page = look(f"{library.url}/playground")
    said = json.dumps({"choices": [{"delta": {"content": EVIL}}]})
    page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(content_type="text/event-stream", body=f"data: {said}\n\ndata: [DONE]\n\n"),
    )
    page.get_by_label("Message").fill("Hi")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".said")).to_have_text(EVIL)
    expect(page.locator("#talk img, #talk script, #talk svg")).to_have_count(0)


def test_another_site_can_do_nothing(library: Server, look: Callable[..., Page]) -> None:
    """A form and a script of another origin change nothing and read nothing."""
    with another_site(library.url) as site:
        page = look(site)
        assert page.evaluate("fetch(target + '/api/models').then(() => 'read', () => 'refused')") == "refused"
        page.get_by_role("button", name="Win a prize").click()
        expect(page.locator("body")).to_contain_text("may not use this library")
    assert {model["model_name"] for model in library.get("/api/models")} == {"apple", "banana", "cherry"}


@contextmanager
def another_site(target: str) -> Iterator[str]:
    """Serve a page that sends a form to another site's server."""
    html = (
        f"<script>target = '{target}'</script><form method=post action='{target}/remove'>"
        "<input type=hidden name=model value=apple><input type=hidden name=files value=keep>"
        "<button>Win a prize</button></form>"
    )

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
