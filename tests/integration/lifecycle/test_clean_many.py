"""`shelf clean` reads what is the same for all models once."""

from __future__ import annotations

from modelshelf.domain.clean import CleanWish
from tests.fakes.hub import FakeHub
from tests.world import Home

YEAR_S = 365 * 86400


def test_the_registry_is_asked_as_often_for_four_unused_models_as_for_one(
    hub: FakeHub, home: Home, statements: list[str]
) -> None:
    """Measuring four unused models, and looking for old revisions, sends as many statements as for one."""
    counts, sizes = [], []
    for names in (["one"], ["two", "three", "four"]):
        for name in names:
            hub.add_repo(f"org/{name}", {"config.json": b"{}", "model.bin": name.encode() * 1000})
            home.run("add", name, f"org/{name}").checked()
        with home.open() as shelf:
            cleaner, now_s = shelf.services.cleaner, shelf.services.clock.now()
            statements.clear()
            plan = cleaner.plan(CleanWish(), now_s + YEAR_S)
            counts.append(len(statements))
            sizes.append({item.model_name: item.free_bytes for item in plan.items})

    assert counts[0] == counts[1]
    assert sizes == [{"one": 3002}, {"one": 3002, "two": 3002, "three": 5002, "four": 4002}]


def test_a_model_whose_files_are_gone_frees_nothing(hub: FakeHub, home: Home) -> None:
    """An unused model of whose repository nothing is here is listed, and frees nothing."""
    hub.add_repo("org/m", {"config.json": b"{}"})
    home.run("add", "m", "org/m", "--no-download").checked()
    with home.open() as shelf:
        plan = shelf.services.cleaner.plan(CleanWish(), shelf.services.clock.now() + YEAR_S)

    assert [(item.model_name, item.free_bytes) for item in plan.items] == [("m", 0)]
