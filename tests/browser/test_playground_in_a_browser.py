"""Talking to models in a browser: the demo's real model, alone and side by side, stopped, and copied as Python."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ALL, DEADLINE_MS, serious
from tests.e2e.conftest import model_home, upstream, upstream_base  # noqa: F401 - fixtures
from tests.e2e.test_real_model import GGUF
from tests.world import Home

pytestmark = [ALL, pytest.mark.model]
expect.set_options(timeout=DEADLINE_MS)


WATCH = """() => {
    window.waits = [];
    new MutationObserver(() => document.querySelectorAll(".wait").forEach(one => window.waits.push(one.textContent)))
        .observe(document.body, {subtree: true, childList: true});
}"""
"""Notes what the page says while an answer hasn't begun."""


def test_two_models_answer_side_by_side(model_home: Home, look: Callable[..., Page]) -> None:  # noqa: F811
    """Two names of the real model answer one question, each with its speed, and say before that they load."""
    for name in ("smol", "twin"):
        model_home.run("add", name, GGUF).checked()
    with model_home.serve() as server:
        page = look(f"{server.url}/playground?model=smol")
        page.get_by_label("Side by side with").select_option("twin")
        page.get_by_label("System prompt").fill("Answer briefly.")
        page.get_by_label("Answer at most").fill("64")
        page.get_by_label("Message").fill("What is 2+2?")
        page.evaluate(WATCH)
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".meas")).to_have_count(2)
        first, *later = page.evaluate("window.waits")
        assert first == "Waiting for the first word."
        # A load of over a second is told, too; the demo's model may take less.
        assert all(text == first or text.startswith("Loading ") for text in later)
        expect(page.locator(".wait")).to_have_count(0)
        for place in page.locator(".answers .a").all():
            expect(place.locator(".said")).not_to_be_empty()
            speed = re.compile(r"first token \d+\.\d+ s · [\d.]+ tok/s · \d+ tokens")
            expect(place.locator(".meas")).to_have_text(speed)
        assert serious(page) == []

        page.get_by_label("Side by side with").select_option("")
        page.get_by_label("Answer at most").fill("2048")
        page.get_by_label("Message").fill("Tell me a very long story.")
        page.keyboard.press("Control+Enter")
        page.get_by_role("button", name="Stop smol").click()
        expect(page.get_by_text("Stopped.")).to_be_visible()
        expect(page.get_by_role("button", name="Send")).to_be_enabled()

        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_role("button", name="As Python").click()
        expect(page.get_by_text("Copied as Python.").last).to_be_visible()
        copied = page.evaluate("navigator.clipboard.readText()")
        compile(copied, "copied", "exec")
        assert "Tell me a very long story." in copied
