"""What progress bars say about a running job."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from modelshelf.cli.bars import Lines, Steady, drawn, file_lines, said
from modelshelf.cli.fitting import cells
from modelshelf.domain.job_files import JobFile, JobFiles
from modelshelf.domain.jobs import Job

JOB = Job(
    id=1,
    kind="pull",
    model_id=1,
    model_name="qwen",
    params="{}",
    state="running",
    phase="downloading",
    done_bytes=1_700_000_000,
    total_bytes=3_400_000_000,
    rate_bytes_per_s=12_300_000,
    detail="",
    error="",
    result="",
    attempts=0,
    due_at=0,
    owner="",
    heartbeat_at=0,
    created_at=0,
    finished_at=None,
    parent_id=None,
    reason="",
)
STALLED = replace(JOB, rate_bytes_per_s=0, detail="No data for 40 s, reconnecting.")


def test_a_job_is_one_line() -> None:
    """A job's line has name, phase, bar, bytes, rate and the remaining time."""
    assert re.fullmatch(
        r"qwen downloading  (█+)(░+)  1\.7 GB of 3\.4 GB  12\.3 MB/s  ETA 2:18", drawn("qwen", JOB, 138.0, 80)
    )
    assert said("qwen", JOB, 138.0) == "qwen: downloading, 1.7 GB of 3.4 GB, 12.3 MB/s, ETA 2:18"
    assert said("qwen", JOB, 7265.0).endswith("ETA 2:01:05")


@pytest.mark.parametrize("job", [JOB, STALLED, replace(JOB, total_bytes=0), replace(JOB, state="waiting")])
@pytest.mark.parametrize("columns", [20, 40, 80, 120])
def test_a_drawn_line_fits(job: Job, columns: int) -> None:
    """A drawn line is never wider than the terminal, whatever the name is."""
    for name in ("q", "x" * 96, "你好" * 40):
        assert cells(drawn(name, job, 1e6, columns)) < columns


def test_what_keeps_a_job_is_said_in_place_of_its_rate() -> None:
    """A waiting job says what it waits for, in place of rate and remaining time."""
    assert said("qwen", STALLED, None) == "qwen: downloading, 1.7 GB of 3.4 GB, No data for 40 s, reconnecting."
    assert said("qwen", replace(JOB, rate_bytes_per_s=0), None).endswith("0 B/s, ETA --")
    assert said("", replace(JOB, state="waiting", detail="Waits."), None).endswith(
        ": waiting, 1.7 GB of 3.4 GB, Waits."
    )


def test_a_new_phase_does_not_say_how_long_it_takes() -> None:
    """A new phase shows no remaining time, because the rate of its first second would say 104 hours."""
    steady, slow = Steady(), replace(JOB, rate_bytes_per_s=3)

    assert steady.eta_s(slow, 100.0) is None
    assert steady.eta_s(JOB, 102.9) is None
    assert steady.eta_s(JOB, 103.0) == pytest.approx(138.2, abs=0.1)
    assert steady.eta_s(STALLED, 104.0) is None
    assert steady.eta_s(replace(JOB, phase="verifying"), 106.0) is None


def test_after_a_stall_the_rate_has_its_pause_in_it() -> None:
    """For the ten seconds of which the rate is told, what is left would be told ten times too long."""
    steady = Steady()
    assert steady.eta_s(JOB, 100.0) is None

    assert steady.eta_s(STALLED, 104.0) is None
    assert steady.eta_s(JOB, 113.9) is None
    assert steady.eta_s(JOB, 114.0) == pytest.approx(138.2, abs=0.1)


def test_without_a_terminal_there_is_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal a job prints a line every ten seconds, and a short one none."""
    lines = Lines("qwen", 0.0)
    for half_second in range(50):
        lines.say(JOB, half_second / 2)

    assert capsys.readouterr().err.splitlines() == [said("qwen", JOB, JOB.eta_s)] * 2


def test_each_file_has_a_line() -> None:
    """Below the job stand its files that aren't whole, as wide as the terminal and no more than fit."""
    listed = (
        JobFile("whole", 9, 9),
        JobFile("model-00001-of-00002.safetensors", 500, 1000),
        JobFile("second", 0, 1000),
    )
    one = replace(JOB, files=JobFiles(1, 3, listed).to_json())

    lines = file_lines(one, 60, 10)

    assert lines[0] == "  1 of 3 files"
    assert [cells(line) <= 60 for line in lines] == [True] * 3
    assert "500 B of 1.0 kB" in lines[1]
    assert len(file_lines(one, 60, 2)) == 2
    assert file_lines(one, 0, 10)[1:] == [
        "  model-00001-of-00002.safetensors: 500 B of 1.0 kB",
        "  second: 0 B of 1.0 kB",
    ]
    assert file_lines(JOB, 60, 10) == []
