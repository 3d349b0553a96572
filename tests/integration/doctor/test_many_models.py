"""The doctor asks the registry once for all models."""

from __future__ import annotations

from modelshelf.bootstrap.doctor_and_setup import open_doctor
from tests.fakes.hub import FakeHub
from tests.world import Home


def test_the_registry_is_asked_as_often_for_four_models_as_for_one(
    hub: FakeHub, home: Home, statements: list[str]
) -> None:
    """The doctor sends the registry as many statements for four models as for one."""
    counts = []
    for names in (["one"], ["two", "three", "four"]):
        for name in names:
            hub.add_repo(f"org/{name}", {"config.json": b"{}"})
            home.run("add", name, f"org/{name}").checked()
        with open_doctor(home.environ()) as doctor:
            statements.clear()
            doctor.examine()
            counts.append(len(statements))

    assert counts[0] == counts[1]
