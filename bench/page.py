"""How the page stays fluid with a large library: bytes and time of the first page, sort, filter and scroll, and idling.

    python bench/page.py [--models 5000] [--jobs 10000] [--rounds 9] [--seconds 60] [--folder FOLDER]

Every page is asked over loopback as a browser asks for it: pages, style and scripts come compressed (gzip); JSON of the
API, event streams, answers of models and files of `/hf` don't. The first page is counted with all that it loads.
Chromium (apt-get install chromium) then loads the table of models, sorts and filters it and scrolls through it; each
figure is the time from the click or key as the page gets it until the frame with what it changed is painted. The CPU
time of the server, and of the browser's main thread (parsing, script, style, layout), says the same on a machine that
does other things as well. Last, the server's
share of a core is measured with that page open and nobody doing anything.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import random
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

import _measure
import idle
import look
from modelshelf.registry import tables

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession, Page

AIM_BYTES, AIM_S, AIM_ACT_S = 150_000, 0.3, 0.1
PAGES = ("/", "/models", "/activity", "/models/model-0001", "/tools", "/settings")
_FIELD = "form[data-auto] [name=q]"
_WATCH = """() => {{
    window.painted = new Promise(done => addEventListener("{event}", event => {{
        const look = () => requestAnimationFrame(() => setTimeout(() => done(performance.now() - event.timeStamp)));
        new MutationObserver((changes, watch) => {{
            if ({is_shown}) {{ watch.disconnect(); look(); }}
        }}).observe(document.body, {{subtree: true, childList: true, attributes: true}});
    }}, {{once: true, capture: true}}));
}}"""
_PAINTED = "() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))"


def main() -> None:
    """Build the library, ask, look and idle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=5000, help="models (5000)")
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs that are over (10000)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds that count (9)")
    parser.add_argument("--seconds", type=int, default=60, help="how long idling is measured (60)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the base is put")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="modelshelf-bench-") as name:
        folder = Path(name)
        print(f"building {args.models} models and {args.jobs} jobs", flush=True)
        environment = look.build(folder, args.models, 2)
        add_jobs(folder, args.jobs)
        with idle.serving(f"{args.models} models", environment, folder) as server:
            print(_measure.machine(folder), flush=True)
            ask(server, args.rounds)
            browse(server, args.rounds, args.seconds)


def add_jobs(folder: Path, jobs: int) -> None:
    """Write finished jobs, and when models were used."""
    dice = random.Random(2)
    now_s = time.time()
    needed = [column for column in tables.jobs.columns if not (column.nullable or column.primary_key)]
    over: dict[str, Any] = {column.name: "" if isinstance(column.type, sa.Text) else 0 for column in needed}
    over |= {"kind": "verify", "params": "{}", "state": "done", "attempts": 1}
    database = sa.create_engine(f"sqlite:///{folder / 'base/modelshelf/registry.db'}")
    with database.begin() as connection:
        rows = connection.execute(sa.text("SELECT id, model_name FROM models")).all()
        for number in range(jobs):
            model_id, model_name = rows[number % len(rows)]
            at = now_s - (jobs - number) * 60
            size = dice.randrange(10**9)
            times = {"due_at": at, "heartbeat_at": at, "created_at": at, "finished_at": at + 5}
            row = {"model_id": model_id, "model_name": model_name, "done_bytes": size, "total_bytes": size}
            connection.execute(sa.insert(tables.jobs), over | row | times)
        for model_id, _ in rows:
            used = {"m": model_id, "at": now_s - dice.random() * 100 * 86400, "u": dice.randrange(200)}
            connection.execute(sa.text("UPDATE models SET last_used_at = :at, uses = :u WHERE id = :m"), used)
    database.dispose()


def ask(server: idle.Server, rounds: int) -> None:
    """Time each page as bytes over loopback."""
    found = []
    for path in PAGES:
        times, cpu, wire, whole = [], [], 0, b""
        for number in range(rounds + 1):
            before, began = server.cpu_s(), time.perf_counter()
            wire, whole = fetch(server.address, path)
            if number:
                times.append(time.perf_counter() - began)
                cpu.append(server.cpu_s() - before)
        sizes = [f"{wire:,}", f"{len(whole):,}"]
        found.append([path, *sizes, f"{statistics.median(times):.3f}", f"{min(times):.3f}", f"{min(cpu):.2f}"])
        if path == "/":
            size = wire + sum(fetch(server.address, one)[0] for one in loaded_by(whole.decode()))
            told = size < AIM_BYTES and statistics.median(times) < AIM_S
            first = f"First page: {size:,} bytes with style and scripts, {statistics.median(times):.3f} s"
            print(f"{first}; aim {AIM_BYTES:,} and {AIM_S} s: {'reached' if told else 'missed'}")
    _measure.table(["page", "bytes sent (gzip)", "bytes of HTML", "median s", "least s", "cpu s"], found)


def loaded_by(html: str) -> list[str]:
    """Return the paths of what a page loads, and of the modules that its script imports."""
    named = re.findall(r'(?:src|href)="(/static/page/[^"]+)"', html)
    folder = next(path for path in named if path.endswith("/page.js")).rpartition("/")[0]
    return [*named, *(f"{folder}/{name}.js" for name in ("sheets", "keys", "rows", "table", "live"))]


def fetch(address: str, path: str) -> tuple[int, bytes]:
    """Return how many bytes an answer is on the wire, and the answer."""
    connection = http.client.HTTPConnection(address)
    connection.request("GET", path, headers={"Accept": "text/html", "Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, (path, answer.status)
    connection.close()
    return len(body), gzip.decompress(body) if answer.headers["Content-Encoding"] == "gzip" else body


def browse(server: idle.Server, rounds: int, seconds: int) -> None:
    """Time what a person does in Chromium, then how much the server works while the page only stands there."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("There is no chromium here: nothing is measured in a browser.")
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        page.goto(f"http://{server.address}/models")
        tab = page.context.new_cdp_session(page)
        tab.send("Performance.enable", {"timeDomain": "threadTicks"})
        acts = {"sort": sort, "filter": search, "scroll": scroll}
        rows = []
        for name, act in acts.items():
            found = [measured(server, page, tab, act, number) for number in range(rounds + 1)][1:]
            times, *parts = map(list, zip(*found, strict=True))
            reached = "reached" if statistics.median(times) < AIM_ACT_S else "missed"
            cpu = [f"{1000 * statistics.median(part):.0f}" for part in parts]
            rows.append([name, f"{statistics.median(times):.3f}", f"{min(times):.3f}", reached, *cpu])
        heads = ["server, cpu ms", "browser, cpu ms", "of it layout, style"]
        _measure.table(["in Chromium", "median s", "least s", f"aim {AIM_ACT_S} s", *heads], rows)
        page.goto(f"http://{server.address}/")
        time.sleep(10)
        idle.report([server], seconds)
        browser.close()


def measured(
    server: idle.Server, page: Page, tab: CDPSession, act: Callable[[Page, int], float], number: int
) -> tuple[float, float, float, float]:
    """Return the seconds of an act, and the processor seconds of the server, of the browser, and of its layout."""

    def spent() -> tuple[float, float]:
        found = {one["name"]: one["value"] for one in tab.send("Performance.getMetrics")["metrics"]}
        return found["TaskDuration"], found["LayoutDuration"] + found["RecalcStyleDuration"]

    of_server, (of_browser, of_layout) = server.cpu_s(), spent()
    took_s = act(page, number)
    after = spent()
    return took_s, server.cpu_s() - of_server, after[0] - of_browser, after[1] - of_layout


def timed(page: Page, event: str, is_shown: str, act: Callable[[], Any]) -> float:
    """Return the seconds from the event in the page that an act causes until what `is_shown` asks for is painted.

    The page itself takes the time: what Playwright needs to find a place to click isn't in it.
    """
    page.evaluate(_WATCH.format(event=event, is_shown=is_shown))
    act()
    return float(page.evaluate("() => window.painted")) / 1000


def sort(page: Page, number: int) -> float:
    """Sort by another column."""
    name = ("Size", "Name")[number % 2]
    link = page.get_by_role("link", name=name, exact=True)
    return timed(page, "click", f"document.querySelector('th[aria-sort]').textContent == '{name}'", link.click)


def search(page: Page, number: int) -> float:
    """Type what leaves some models; the pause after typing, in which one may go on, isn't counted."""
    wanted = f"model-0{number % 10}00"
    field = page.locator(_FIELD)
    field.evaluate("(field, wanted) => { field.value = wanted; }", wanted)
    took_s = timed(
        page, "keydown", f"document.querySelector('tr[id^=m-]').id == 'm-{wanted}'", lambda: field.press("Enter")
    )
    page.goto(page.url.partition("?")[0])
    return took_s


def scroll(page: Page, number: int) -> float:
    """Scroll by a screen."""
    began = time.perf_counter()
    page.evaluate(f"scrollBy(0, {900 if number % 2 else -900})")
    page.evaluate(_PAINTED)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
