"""What adopt does once for a model and not for each of its files."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from tests.builders import lay_out
from tests.world import Home


def test_what_was_verified_is_written_for_many_files_at_once(tmp_path: Path, home: Home) -> None:
    """The registry is told of the good bytes of a small model now and then, and knows all of them."""
    files = "".join(f"\n    part-{number}.txt {number + 1}" for number in range(10))
    old = lay_out(tmp_path / "old", f"model org/name\n  commit a main\n    config.json 20{files}").base
    told: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        told.extend([statement] if statement.startswith("INSERT INTO checks") else [])

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        with home.open() as shelf:
            report = shelf.adopt(old.path, "leave")
            known = shelf.services.registry.verified.of_tier(shelf.services.registry.tier_ids()[str(old.path)])
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)

    assert report["registered"] == ["name"]
    assert len(known) == 11
    assert 0 < len(told) < len(known)
