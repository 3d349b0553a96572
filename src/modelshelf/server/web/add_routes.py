"""Adding a model from the hub."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from modelshelf.domain.choices import Choice, RepoFiles
from modelshelf.domain.models import Registration
from modelshelf.domain.names import RefName
from modelshelf.domain.patterns import patterns_of
from modelshelf.domain.plans import AddPlan
from modelshelf.domain.references import Reference, parse_reference, reference_in, words_of
from modelshelf.domain.weight_files import quantisation_in
from modelshelf.errors import NotFound, ShelfError
from modelshelf.server.web import render, words
from modelshelf.server.web.add_page import AddPage, choice_of, chosen_of, nothing_asked, repo_page, search_page
from modelshelf.server.web.look import Look
from modelshelf.server.web.site import Fields, Site, form, see
from modelshelf.services.lifecycle.register import registration

_FOUND = 20
_Text = Annotated[str, Query(max_length=1000)]


def add(router: APIRouter, site: Site) -> None:
    """Add the routes."""

    @router.get("/add")
    def ask(request: Request, q: _Text = "", pick: _Text = "", to: _Text = "", name: _Text = "") -> Response:
        """Show what the hub has, and the plan for what is chosen of it."""
        look, text = site.look(measure=True), q.strip()
        page = _page(site, look, text, {"q": text, "pick": pick, "to": to, "name": name.strip()})
        twins = (
            ("Terminal", f"shelf files {page.repo} --json" if page.repo else f"shelf search {text or 'WORDS'} --json"),
            ("HTTP", "POST /api/models"),
        )
        return render.page("add.html", site.frame(request, "add", look, twins), page=page)

    @router.post("/add")
    def register(sent: Annotated[Fields, Depends(form)]) -> Response:
        """Register a model, and start its download."""
        reference = parse_reference(sent.one("q"), site.shelf.services.finder.hub.endpoint)
        repo, choice = _chosen(site, reference, sent.one("pick"))
        wanted = _wanted(site, reference, repo, choice, sent.one("to"), sent.one("name"))
        wanted = replace(wanted, pinned=bool(sent.one("pinned")))
        site.shelf.services.registrar.register(wanted)
        site.shelf.services.registrar.enqueue_pull(wanted.model_name)
        return see("/activity")


def _page(site: Site, look: Look, text: str, asked: dict[str, str]) -> AddPage:
    if not text:
        return nothing_asked()
    hub = site.shelf.services.finder.hub
    try:
        reference = reference_in(text, hub.endpoint)
        if reference is not None:
            try:
                return _repo(site, look, text, reference, asked)
            except NotFound:
                if "/" in text:
                    raise
        return search_page(text, hub.search(words_of(text), _FOUND))
    except ShelfError as err:
        return nothing_asked(text, err)


def _repo(site: Site, look: Look, text: str, reference: Reference, asked: dict[str, str]) -> AddPage:
    repo, choice = _chosen(site, reference, asked["pick"])
    suggested = choice.fit.cache_location if choice is not None and choice.fit is not None else None
    to = asked["to"] or suggested or "primary"
    tiers = [
        (words.tier_key(tier), words.tier_name(tier.location, tier.base)) for tier in site.shelf.services.tiers.all()
    ]
    wanted = _wanted(site, reference, repo, choice, to, asked["name"])
    label = choice.group.label if choice is not None else ""
    said = {**asked, "to": to, "pick": label}
    said["reference"] = choice.reference if choice is not None else repo.words_for(reference)
    return repo_page(look, text, repo, choice, chosen_of(look, said, wanted, _plan(site, wanted), tiers))


def _chosen(site: Site, reference: Reference, label: str) -> tuple[RepoFiles, Choice | None]:
    revision = reference.revision or RefName("main")
    repo = site.shelf.services.finder.files(reference.repo_id, revision)
    return repo, choice_of(repo, reference, label)


def _wanted(
    site: Site, reference: Reference, repo: RepoFiles, choice: Choice | None, to: str, name: str
) -> Registration:
    """Return the registration of what is chosen; without a name under the one that the library suggests.

    Raises:
        Conflict: The same model is on another tier already.
    """
    site.tier(to)
    wanted = registration(name or "x", replace(reference, repo_id=repo.repo_id), to)
    if choice is not None:
        wanted = replace(wanted, allow_patterns=patterns_of(choice.patterns))
    if name:
        return wanted
    behind = reference.quantisation or quantisation_in("".join(reference.patterns))
    if choice is not None:
        behind = choice.group.label if choice.patterns else ""
    return site.shelf.services.registrar.with_name(wanted, behind)


def _plan(site: Site, wanted: Registration) -> AddPlan | ShelfError:
    try:
        return site.shelf.services.registrar.plan(wanted)
    except ShelfError as err:
        return err
