"""What is written down of running engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.domain.names import ModelName
from modelshelf.store import engine_files
from modelshelf.store.engine_files import EngineLog, EngineRecord, LogReader, forget, recorded, records
from modelshelf.store.layout import engines_folder

RECORD = EngineRecord("abc123", "boot:pid:1:2")


def test_a_log_is_bounded(tmp_path: Path) -> None:
    """Of a log that grows beyond its bound the older half is dropped, at a line's end, and the next one adds to it."""
    log = EngineLog(tmp_path, ModelName("tiny"))
    for number in range(30_000):
        log.write(f"{number:>60}")
    log.close()
    log.close()
    again = EngineLog(tmp_path, ModelName("tiny"))
    again.write(f"{30_000:>60}")
    again.close()

    text = log.path.read_text()
    assert engine_files.LOG_BYTES // 2 < len(text) <= engine_files.LOG_BYTES + 122
    assert [line.strip() for line in text.splitlines()[-2:]] == ["29999", "30000"]
    assert {len(line) for line in text.splitlines()} == {60}


def test_a_closed_log_takes_no_line(tmp_path: Path) -> None:
    """What a stray process writes after its engine's end isn't in the log, which the next engine has by then."""
    log = EngineLog(tmp_path, ModelName("tiny"))
    log.write("one")
    log.close()
    log.write("a stray")

    assert log.path.read_text() == "one\n"


def test_a_log_is_read_as_it_grows(tmp_path: Path) -> None:
    """Whole lines that were added are read once, and reading goes on where the older half was dropped meanwhile."""
    log, reader = EngineLog(tmp_path, ModelName("tiny")), LogReader(tmp_path, ModelName("tiny"))
    with pytest.raises(FileNotFoundError):
        reader.read()
    log.write("one")
    log.write("two")
    assert [reader.read(), reader.read()] == ["one\ntwo\n", ""]
    with log.path.open("a") as other:
        other.write("half")
    assert reader.read() == ""
    for number in range(17_000):
        log.write(f"{number:>60}")
    reader.read()
    for number in range(2_000):
        log.write(f"later {number:>60}")

    assert reader.read().splitlines()[-1].split() == ["later", "1999"]
    log.close()


def test_a_log_that_cannot_be_written_is_gone_without(tmp_path: Path) -> None:
    """Where the state folder is a file, lines are lost and nothing is raised."""
    (tmp_path / "modelshelf").write_text("")

    log = EngineLog(tmp_path, ModelName("tiny"))
    log.write("lost")
    with recorded(tmp_path, RECORD):
        assert records(tmp_path) == []


def test_a_record_lasts_as_long_as_its_child(tmp_path: Path) -> None:
    """A record is found while its block runs and not after it; what isn't a record is passed over."""
    folder = engines_folder(tmp_path)

    with recorded(tmp_path, RECORD):
        (folder / "tiny.log").write_text("")
        (folder / "broken.json").write_text("[")
        (folder / "strange.json").write_text('{"mark": "../x", "owner": ""}')
        found = records(tmp_path)

    assert found == [RECORD]
    assert records(tmp_path) == []
    forget(tmp_path, RECORD)
