"""The page as a browser without scripts sees it: a real server, forms, hostile names, and who may do what."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx2
import pytest

from modelshelf.server.web import words
from modelshelf.store.layout import engines_folder
from tests.fakes.hub import FakeHub
from tests.headers import gguf
from tests.integration import legacy
from tests.world import Home, Server, random_bytes, wait_until

NBSP = "\N{NO-BREAK SPACE}"
REPO = "org/name"
KEY = "a long secret"
HOSTILE = "<img src=x onerror=alert(1)>.txt"
FILES = {
    "config.json": b"{}",
    "model.safetensors": random_bytes(200_000),
    "README.md": b"# Title\n\n<script>alert(1)</script>\n\n[x](javascript:alert(1))",
    HOSTILE: b"x",
}
PAGES = (
    "/",
    "/models",
    "/models/m",
    "/models/m/actions",
    "/activity",
    "/move?model=m",
    "/remove?model=m",
    "/make-room",
    "/settings",
    "/settings/plan?PROMOTE=never",
    "/tools",
    "/doctor",
)


@dataclass(frozen=True)
class Page:
    """An answer as a browser gets it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body of one that isn't compressed."""
        return self.body.decode()


def browse(server: Server, path: str, sent: Mapping[str, str | Sequence[str]] | None = None, **headers: str) -> Page:
    """Get a page, or send a form, as a browser does; redirects aren't followed."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    said = {"Accept": "text/html", "Host": address.netloc, **{name.replace("_", "-"): v for name, v in headers.items()}}
    if sent is not None:
        said |= {"Content-Type": "application/x-www-form-urlencoded"}
        said.setdefault("Origin", server.url)
    connection.request(
        "GET" if sent is None else "POST", path, None if sent is None else urlencode(sent, doseq=True), said
    )
    answer = connection.getresponse()
    page = Page(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    connection.close()
    return page


@pytest.fixture
def library(hub: FakeHub, home: Home) -> Home:
    """A home with one model, m."""
    hub.add_repo(REPO, FILES)
    home.run("add", "m", REPO).checked()
    return home


def test_every_page_is_whole_and_loads_nothing_from_elsewhere(library: Home) -> None:
    """Each page is HTML under a policy without inline code, and all that it loads is on the server and kept."""
    with library.serve() as server:
        for path in PAGES:
            page = browse(server, path)
            policy = page.headers["content-security-policy"]
            assert (page.status, path) == (200, path)
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|<[^>]*\s(?:style|on\w+)=", page.text), path
            loaded = re.findall(r'<(?:script|link|img)[^>]*\b(?:src|href)="([^"]+)"', page.text)
            assert loaded
            assert all(one.startswith("/static/page/") for one in loaded)
            assert page.headers["cache-control"] == "no-store"
        kept = [browse(server, one) for one in loaded]
        assert {(one.status, "immutable" in one.headers["cache-control"]) for one in kept} == {(200, True)}


def test_a_page_comes_compressed(library: Home) -> None:
    """Who takes gzip gets pages, style and scripts so; all of the first page together is below 150 kB on the wire."""
    with library.serve() as server:
        page = browse(server, "/")
        scripts = re.findall(r'"(/static/page/[^"]+)"', page.text)
        answers = [browse(server, path, Accept_Encoding="gzip") for path in ("/", "/models", "/parts/models", *scripts)]
        fact = browse(server, "/api/models/m", Accept_Encoding="gzip")

    assert gzip.decompress(answers[0].body).decode().startswith("<!doctype html>")
    large = [answer for answer in answers if len(answer.body) > 1000]
    assert {answer.headers["content-encoding"] for answer in large} == {"gzip"}
    assert {answer.headers["vary"] for answer in large} == {"Accept-Encoding"}
    assert sum(len(answer.body) for answer in answers) < 150_000
    assert "content-encoding" not in fact.headers


def test_the_table_comes_alone_for_a_page_that_is_there(library: Home) -> None:
    """What a sort or a filter changes is asked for without all that stands around it, and is as the page has it."""
    with library.serve() as server:
        whole, part, none = (browse(server, path).text for path in ("/models", "/parts/models", "/parts/models?q=none"))

    assert "<!doctype" not in part
    assert part.partition("<table")[2].partition("</table>")[0] in whole
    assert "No model matches" in none


def test_names_of_strangers_are_text(library: Home) -> None:
    """A file's name and a README from the hub show as text, what an engine wrote and what a person typed too."""
    log = engines_folder(library.settings().state_home) / "m.log"
    log.parent.mkdir(parents=True)
    log.write_text("ready <img src=x onerror=alert(1)>\n")
    with library.serve() as server:
        model, search = browse(server, "/models/m"), browse(server, "/models?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")

    assert "&lt;img src=x onerror=alert(1)&gt;.txt" in model.text
    assert "ready &lt;img src=x" in model.text
    assert "<h3>Title</h3>" in model.text
    for page in (model, search):
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert 'href="javascript:' not in page.text


def test_the_home_page_says_when_it_measured(library: Home) -> None:
    """What another program wrote is in the figure after the next change; the page says how old the figure is."""
    figure = re.compile(r'class="fig"><b>([\d.]+)<i>.B')
    with library.serve() as server:
        before = browse(server, "/").text
        (library.primary / "theirs.bin").write_bytes(random_bytes(5_000_000))
        browse(server, "/pin", {"model": "m", "pinned": "1"})
        after = browse(server, "/").text

    assert "Measured <code>" in before
    assert figure.findall(before)[0] != figure.findall(after)[0]


def test_a_form_changes_what_it_says(library: Home) -> None:
    """Pinning, moving and forgetting a model by forms is what the command line then shows."""
    with library.serve() as server:
        assert browse(server, "/pin", {"model": "m", "pinned": "1"}).status == 303
        assert server.get("/api/models/m")["pinned"] is True
        assert browse(server, "/pin", {"model": "m", "pinned": ""}).headers["location"] == "/models"
        assert browse(server, "/move", {"model": "m", "to": "secondary"}).headers["location"] == "/activity"
        wait_until(lambda: server.get("/api/models/m")["cache_location"] == "secondary", "the move")
        wait_until(lambda: not [j for j in server.get("/api/jobs") if j["finished_at"] is None], "the end of all jobs")
        assert "Moved to secondary" in browse(server, "/models/m").text
        assert browse(server, "/remove", {"model": "m", "files": "keep"}).status == 303
        assert server.get("/api/models") == []


def test_the_history_goes_back_page_by_page(library: Home) -> None:
    """Every job that is over stands on one page of the history: a hundred each, the newest first."""
    with library.open() as shelf:
        registry = shelf.services.registry
        for _ in range(150):
            job = registry.add_job("verify", "m", {})
            registry.update_job(job.id, {"state": "done", "finished_at": time.time()})
    with library.serve() as server:
        newest = browse(server, "/activity").text
        (earlier,) = re.findall(r'rel="next" href="([^"]+)"', newest)
        oldest = browse(server, earlier).text

    assert [newest.count(">verified<"), oldest.count(">verified<")] == [100, 50]
    assert 'rel="next"' not in oldest
    assert 'href="/activity">Newest' in oldest


def test_a_model_is_found_and_added(hub: FakeHub, home: Home) -> None:
    """A pasted address shows the files and the plan, and its form adds the model under the chosen name."""
    hub.add_repo("org/gguf", {"m-Q4_K_M.gguf": random_bytes(1000), "m-Q8_0.gguf": random_bytes(2000, 1)})
    with home.serve() as server:
        shown = browse(server, "/add?q=https://huggingface.co/org/gguf&pick=Q8_0")
        nothing = browse(server, "/add?q=org/none")
        sent = {"q": "org/gguf", "pick": "Q4_K_M", "to": "secondary", "name": "mine", "pinned": "1"}
        added = browse(server, "/add", sent)
        model = server.wait_for_state("mine", "ready")

    assert all(label in shown.text for label in ("Q4_K_M", "Q8_0", "shelf add gguf-q8_0 org/gguf:Q8_0"))
    assert (nothing.status, "org/none" in nothing.text) == (200, True)
    assert (added.status, added.headers["location"]) == (303, "/activity")
    assert (model["cache_location"], model["pinned"], model["size_bytes"]) == ("secondary", True, 1000)


def test_the_file_of_a_pasted_address_is_what_is_added(hub: FakeHub, home: Home) -> None:
    """The file of a pasted address is what the page shows and its form adds, as `shelf add` takes it."""
    hub.add_repo("org/gguf", {"m-Q4_K_M.gguf": random_bytes(1000), "m-Q8_0.gguf": random_bytes(2000, 1)})
    hub.add_repo(REPO, FILES)
    ggufs, config = f"{hub.url}/org/gguf/blob/main/m-Q4_K_M.gguf", f"{hub.url}/{REPO}/blob/main/config.json"
    with home.serve() as server:
        quant, alone = browse(server, f"/add?q={ggufs}").text, browse(server, f"/add?q={config}").text
        for name, text in (("quant", ggufs), ("alone", config)):
            browse(server, "/add", {"q": text, "pick": "", "to": "primary", "name": name})
        sizes = [server.wait_for_state(name, "ready")["size_bytes"] for name in ("quant", "alone")]

    assert "Add Q4_K_M" in quant
    assert "Add config.json" in alone
    assert f"shelf add name {REPO} --include config.json" in alone
    assert sizes == [1000, len(FILES["config.json"])]


def test_a_word_is_searched_for(hub: FakeHub, home: Home) -> None:
    """One word is a repository without an organisation, or else a search; an address of something else is named."""
    for repo_id in ("org/SmolLM-360M", "gpt2"):
        hub.add_repo(repo_id, {"model.safetensors": random_bytes(1000)})
    with home.serve() as server:
        found, tagged = browse(server, "/add?q=smollm").text, browse(server, "/add?q=smollm:360m").text
        alone = browse(server, "/add?q=gpt2").text
        pasted = browse(server, f"/add?q={hub.url}/org/SmolLM-360M/blob/main/model.safetensors").text
        other = browse(server, "/add?q=https://huggingface.co/datasets/org/x").text

    assert all("Show org/SmolLM-360M" in text and "has no repository" not in text for text in (found, tagged))
    assert all("You already" not in text and "shelf add" in text for text in (alone, pasted))
    assert "is a data set." in other
    assert "Nothing is called so" not in other


def test_a_download_is_paused_and_resumed(hub: FakeHub, home: Home) -> None:
    """A form pauses a download, which the page then says, and another one lets it go on to its end."""
    hub.add_repo(REPO, {"model.safetensors": random_bytes(3_000_000)})
    hub.pause(after_bytes=1_000_000)
    with home.serve() as server:
        browse(server, "/add", {"q": REPO, "to": "primary", "name": "m"})
        job_id = wait_until(lambda: [j["id"] for j in server.get("/api/jobs") if j["done_bytes"]], "bytes")[0]
        assert browse(server, f"/jobs/{job_id}/pause", {}).status == 303
        paused = browse(server, "/activity")
        hub.resume()
        assert browse(server, f"/jobs/{job_id}/resume", {}).status == 303
        server.wait_for_state("m", "ready")
        unknown = browse(server, f"/jobs/{job_id}/explode", {})

    assert "paused; what arrived is kept" in paused.text
    assert 'aria-label="Resume pull m"' in paused.text
    assert unknown.status == 422


def test_deleting_the_only_copy_is_typed(library: Home) -> None:
    """Without its name typed the only copy stays; with it the files go, and the page had said how many bytes."""
    with library.serve() as server:
        asked = browse(server, "/remove?model=m")
        refused = browse(server, "/remove", {"model": "m", "files": "delete", "typed": "n"})
        assert (refused.status, server.get("/api/models/m")["state"]) == (422, "ready")
        done = browse(server, "/remove", {"model": "m", "files": "delete", "typed": "m"})
        left = server.get("/api/models")

    assert "frees 200.1\N{NO-BREAK SPACE}kB" in asked.text
    assert (done.status, left) == (303, [])


def test_another_file_of_the_repository_is_no_copy(hub: FakeHub, home: Home) -> None:
    """Of two quantisations of one repository each is the only copy; both are named, and stay until that is typed."""
    hub.add_repo("org/gguf", {"m-Q4_K_M.gguf": random_bytes(1000), "m-Q8_0.gguf": random_bytes(2000, 1)})
    home.run("add", "q4", "org/gguf:Q4_K_M").checked()
    home.run("add", "q8", "org/gguf:Q8_0").checked()
    with home.serve() as server:
        one, both = browse(server, "/remove?model=q4"), browse(server, "/remove?model=q4&model=q8")
        refused = browse(server, "/remove", {"model": ["q4", "q8"], "files": "delete"})
        left = [model["model_name"] for model in server.get("/api/models")]
        home.run("add", "twin", "org/gguf:Q4_K_M").checked()
        copied = browse(server, "/remove?model=q4")

    assert "Type <b>q4</b> to delete the only copy" in one.text
    assert all(said in both.text for said in ("Type <b>delete</b>", '<b dir="auto">q4</b>', '<b dir="auto">q8</b>'))
    assert (refused.status, left) == (422, ["q4", "q8"])
    assert "only copy" not in copied.text


def test_a_model_is_in_the_views_of_all_models_too(hub: FakeHub, home: Home, tmp_path: Path) -> None:
    """A model's page names the views that have it, those that it was chosen for and those of all models; no other."""
    hub.add_repo(REPO, FILES)
    hub.add_repo("org/other", FILES)
    for name, repo in (("m", REPO), ("other", "org/other")):
        home.run("add", name, repo).checked()
    home.run("view", "add", "folder", str(tmp_path / "all"), "--all").checked()
    home.run("view", "add", "folder", str(tmp_path / "mine"), "m").checked()
    with home.serve() as server:
        mine, other = browse(server, "/models/m").text, browse(server, "/models/other").text

    assert all(str(tmp_path / folder) in mine for folder in ("all", "mine"))
    assert str(tmp_path / "all") in other
    assert str(tmp_path / "mine") not in other


def test_a_chosen_quantisation_is_called_so(hub: FakeHub, home: Home) -> None:
    """A model's page names the quantisation that it has, not the patterns for it; adding says that it is here."""
    hub.add_repo("org/gguf", {"m-Q4_1.gguf": random_bytes(1000), "m-Q8_0.gguf": random_bytes(2000, 1)})
    home.run("add", "q4", "org/gguf:Q4_1").checked()
    with home.serve() as server:
        shown, added = browse(server, "/models/q4").text, browse(server, "/add?q=org/gguf&pick=Q4_1").text

    assert "1 that match <code>Q4_1</code>" in shown
    assert "[qQ]4_1" not in shown
    assert added.count("is here already") == 1


def test_files_that_cannot_be_deleted_any_more_keep_all(library: Home) -> None:
    """Where one of several models can't be removed by now, no file is deleted; of what is forgotten the page tells."""
    library.run("add", "n", REPO).checked()
    library.run("pin", "n").checked()
    with library.serve() as server:
        refused = browse(server, "/remove", {"model": ["m", "n"], "files": "delete", "typed": "delete"})
        left = [model["model_name"] for model in server.get("/api/models")]

        partly = browse(server, "/remove", {"model": ["m", "n"], "files": "keep"})

    assert (refused.status, left) == (409, ["m", "n"])
    assert "nothing was removed" in refused.text
    assert "Removed m, then n stayed" in partly.text


def test_measuring_again_is_a_form_that_leads_back(library: Home) -> None:
    """The button that measures every file sends a form, and the page that follows doesn't measure them again."""
    with library.serve() as server:
        shown = browse(server, "/")
        asked = browse(server, "/rescan", {}, Referer=f"{server.url}/?tier=primary")

    assert 'action="/rescan"' in shown.text
    assert "rescan=" not in shown.text
    assert (asked.status, asked.headers["location"]) == (303, "/?tier=primary")


def test_an_error_is_a_page_with_what_to_do(library: Home) -> None:
    """What can't be done is answered by a page with the sentence and hint of the command line."""
    with library.serve() as server:
        nothing, pinned = browse(server, "/models/nope"), browse(server, "/pin", {"model": "nope"})
        whole = browse(server, "/models/m")

    assert (nothing.status, pinned.status) == (404, 404)
    assert "There is no model nope." in nothing.text
    assert "Bearer" not in whole.text
    assert "shelf ls lists them." in nothing.text


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_a_foreign_page_can_send_no_form(library: Home, origin: str) -> None:
    """A form that another site's page sends is refused, and changes nothing."""
    with library.serve() as server:
        refused = browse(server, "/remove", {"model": "m", "files": "delete", "typed": "m"}, Origin=origin)
        crossed = browse(server, "/pin", {"model": "m", "pinned": "1"}, Sec_Fetch_Site="cross-site")
        model = server.get("/api/models/m")

    assert (refused.status, crossed.status, model["pinned"]) == (403, 403, False)


def test_a_server_with_a_key_asks_a_browser_for_it(library: Home) -> None:
    """A page sends to the form; the key becomes a cookie that scripts can't read, which a log-out ends.

    What programs are shown to send has the key too, by its variable.
    """
    with library.serve(SHELF_API_KEY=KEY) as server:
        sent_away = browse(server, "/models?q=a")
        wrong = browse(server, "/login", {"key": "wrong", "next": "/models"})
        entered = browse(server, "/login", {"key": KEY, "next": "//evil.example"})
        cookie = entered.headers["set-cookie"].partition(";")[0]
        inside = browse(server, "/models/m", Cookie=cookie)
        changed = browse(server, "/pin", {"model": "m", "pinned": "1"}, Cookie=cookie)
        api = browse(server, "/api/models", Accept="application/json", Cookie=cookie)
        left = browse(server, "/logout", {}, Cookie=cookie)
        outside = browse(server, "/models", Cookie=cookie)
        program = browse(server, "/api/models", Accept="application/json")
        log = server.log.read_text()

    assert (sent_away.status, sent_away.headers["location"]) == (303, "/login?next=/models%3Fq%3Da")
    assert (wrong.status, "isn’t known" in wrong.text) == (401, True)
    assert (entered.status, entered.headers["location"]) == (303, "/")
    said = entered.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said
    assert [inside.status, changed.status, api.status, left.status, outside.status, program.status] == [
        *(200, 303, 200, 303, 303, 401),
    ]
    assert KEY not in cookie + log
    assert "Authorization: Bearer $SHELF_API_KEY" in inside.text
    assert "os.environ[" in inside.text


def test_who_may_only_read_logs_out(library: Home) -> None:
    """A session of a key that may change nothing ends when its browser says so."""
    key = library.run("key", "add", "reader", "--scope", "read", "--json").checked().json["key"]
    with library.serve(SHELF_API_KEY=KEY) as server:
        cookie = browse(server, "/login", {"key": key}).headers["set-cookie"].partition(";")[0]
        inside = browse(server, "/models", Cookie=cookie)
        left = browse(server, "/logout", {}, Cookie=cookie)
        outside = browse(server, "/models", Cookie=cookie)

    assert [inside.status, left.status, outside.status] == [200, 303, 303]


def test_a_session_without_an_origin_changes_nothing(library: Home) -> None:
    """A cookie alone, without a browser's word which page sent the form, isn't enough for a change."""
    with library.serve(SHELF_API_KEY=KEY) as server:
        cookie = browse(server, "/login", {"key": KEY}).headers["set-cookie"].partition(";")[0]
        address = urlsplit(server.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        form = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
        connection.request("POST", "/pin", "model=m&pinned=1", form)
        assert connection.getresponse().status == 403
        connection.close()


def test_the_first_run_shows_three_ways(home: Home) -> None:
    """Without a model the home page offers to adopt, to add, and to try."""
    with home.serve() as server:
        page = browse(server, "/")

    assert page.status == 200
    assert all(words in page.text for words in ("Adopt what’s here", "Add a model", "Try a small one"))


def test_the_first_run_shows_what_other_programs_keep(home: Home) -> None:
    """Without a model the home page lists what `shelf adopt --all` finds, with its command; nothing is registered."""
    folder = home.root / "home" / ".lmstudio" / "models"
    legacy.lm_studio(folder)
    with home.serve() as server:
        page = browse(server, "/")
        models = server.get("/api/models")
    (place,) = home.run("adopt", "--all", "--dry-run", "--json").checked().json["places"]

    assert (place["program"], place["path"], models) == ("LM Studio", str(folder.resolve()), [])
    assert f"LM Studio: 1 model, {words.size(place['size_bytes'])}, in {place['path']}" in page.text
    assert "shelf adopt --all --dry-run" in page.text


def test_the_first_run_takes_in_what_other_programs_keep(home: Home) -> None:
    """The page shows the plan of every known place, and takes it in as a job; the program finds its file as before."""
    file = home.root / "home" / ".lmstudio" / "models" / "TheOrg" / "Tiny-GGUF" / "tiny.gguf"
    file.parent.mkdir(parents=True)
    file.write_bytes(gguf({"general.architecture": "llama"}))
    before = file.read_bytes()
    with home.serve() as server:
        assert 'href="/adopt?all=1"' in browse(server, "/").text
        plan = browse(server, "/adopt?all=1").text
        assert ("Take in 1 model" in plan, file.is_symlink(), server.get("/api/models")) == (True, False, [])
        stale = browse(server, "/adopt", {"all": "1", "seen": "another plan"})
        assert (stale.status, "changed meanwhile" in stale.text, server.get("/api/jobs")) == (409, True, [])
        seen = re.search(r'name="seen" value="(\w+)"', plan)
        assert seen
        assert browse(server, "/adopt", {"all": "1", "seen": seen[1]}).status == 303
        (model,) = wait_until(lambda: server.get("/api/models"), "the model to be registered")
        wait_until(lambda: server.get("/api/jobs")[0]["state"] == "done", "the job to be done")
    assert (model["hf_path"], file.is_symlink(), file.read_bytes() == before) == ("TheOrg/Tiny-GGUF", True, True)


def test_a_server_starts_anew_with_changed_settings(home: Home) -> None:
    """Asked to on the page, the server's process starts again with the limit written since, unless that is wrong."""
    with home.serve("env") as server:
        assert server.get("/api/cache")[0]["limit_bytes"] is None
        home.env_file.write_text("PRIMARY_CACHE_LIMIT_GB=-1\n")
        assert "Restart the server" in browse(server, "/settings").text
        assert browse(server, "/restart", {}).status == 400
        home.env_file.write_text("PRIMARY_CACHE_LIMIT_GB=1\n")
        assert browse(server, "/restart", {}).status == 303

        def limit() -> object:
            with contextlib.suppress(httpx2.TransportError):
                return server.get("/api/cache")[0]["limit_bytes"]
            return None

        assert wait_until(limit, "the server to be there again") == 10**9
        assert server.process.poll() is None


def test_a_server_that_could_not_start_anew_goes_on(home: Home) -> None:
    """Asked to restart with an address that needs a key, it refuses with what to do, and answers on."""
    with home.serve("env") as server:
        home.env_file.write_text("SHELF_HOST=0.0.0.0\n")
        refused = browse(server, "/restart", {})
        assert (refused.status, "SHELF_API_KEY" in refused.text) == (400, True)
        assert server.get("/healthz")["status"] == "ok"


def test_a_plan_that_went_stale_is_shown_anew(hub: FakeHub, home: Home) -> None:
    """Making room moves what was shown; where the plan is another by now, nothing moves and it is shown again."""
    for name in ("a", "b", "c"):
        hub.add_repo(f"org/{name}", {"model.safetensors": random_bytes(3_000_000, ord(name))})
        home.run("add", name, f"org/{name}").checked()
    limits = {"PRIMARY_CACHE_LIMIT_GB": "0.01"}
    with home.serve(**limits) as server:
        shown = browse(server, "/make-room?tier=primary&room=3%20MB")
        victims = re.findall(r'name="model" value="(\w)"', shown.text)
        stale = browse(server, "/make-room", {"tier": "primary", "room": "3 MB", "model": "zzz"})
        assert (stale.status, [m["cache_location"] for m in server.get("/api/models")]) == (409, ["primary"] * 3)
        body = [("tier", "primary"), ("room", "3 MB"), *(("model", victim) for victim in victims)]
        assert browse(server, "/make-room", body).status == 303
        wait_until(
            lambda: sum(m["cache_location"] == "secondary" for m in server.get("/api/models")) == len(victims),
            "the moves",
        )

    assert victims


def test_models_of_one_snapshot_leave_together(hub: FakeHub, home: Home) -> None:
    """A plan to make room names each model of a snapshot that leaves, and moves all of them."""
    hub.add_repo("org/gguf", {"m-Q4_K_M.gguf": random_bytes(3_000_000), "m-Q8_0.gguf": random_bytes(3_000_000, 1)})
    home.run("add", "q4", "org/gguf:Q4_K_M").checked()
    home.run("add", "q8", "org/gguf:Q8_0").checked()
    with home.serve(PRIMARY_CACHE_LIMIT_GB="0.01") as server:
        shown = browse(server, "/make-room?tier=primary&room=5%20MB")
        named = re.findall(r'name="model" value="(\w+)"', shown.text)
        assert browse(server, "/make-room", {"tier": "primary", "room": "5 MB", "model": named}).status == 303
        wait_until(lambda: {m["cache_location"] for m in server.get("/api/models")} == {"secondary"}, "the moves")

    assert sorted(named) == ["q4", "q8"]
    assert "shares the snapshot of" in shown.text
    assert f"Move 2 models, 6.0{NBSP}MB" in shown.text


def test_a_drive_that_is_away_is_told_calmly(hub: FakeHub, home: Home) -> None:
    """A base that isn't there is shown as not plugged in, with what stays registered."""
    hub.add_repo(REPO, {"model.safetensors": random_bytes(1000)})
    home.run("add", "m", REPO, "--to", str(home.custom)).checked()
    shutil.move(home.custom, home.root / "away")
    with home.serve() as server:
        page, model = browse(server, "/"), browse(server, "/models")

    assert "not plugged in" in page.text
    assert "stays registered and works again" in page.text
    assert "Drive not plugged in" in model.text
