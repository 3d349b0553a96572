"""Jobs as people read them: cause, rate, and what needs a decision."""

from __future__ import annotations

import json

from modelshelf.domain.job_files import JobFile, JobFiles
from modelshelf.domain.jobs import DONE, FAILED, PAUSED, QUEUED, WAITING
from modelshelf.server.web.activity import HISTORY, STEADY, activity_page
from modelshelf.server.web.words import NBSP
from tests.unit.web.looks import GB, NOW_S, job, look, row


def test_an_eviction_stands_below_the_pull_that_caused_it() -> None:
    """Running jobs are first, and each is followed by what it caused, which is paused and cancelled with it alone."""
    params = {"cache_location": "secondary", "cache_path": None, "keep_source": False, "makes_room": True}
    jobs = [
        job("move", id=3, parent_id=2, params=json.dumps(params), reason="Makes room."),
        job(id=2, state=QUEUED),
        job(id=1),
    ]

    page = activity_page(look(jobs=jobs), {}, [], {})

    assert [(one.id, one.is_kid) for one in page.jobs] == [(1, False), (2, False), (3, True)]
    assert page.jobs[2].tiers == [("t2", "secondary")]
    assert [len(one.verbs) for one in page.jobs] == [2, 4, 0]


def test_a_stalled_job_has_no_estimate() -> None:
    """A job without bytes for some seconds says 0 B/s, no estimate, and isn't shown as running well."""
    one = row("m")
    seen = look(one, jobs=[job(id=1, model_id=one.id, rate_bytes_per_s=0)])
    page = activity_page(seen, {}, [], {1: (0,) * STEADY})
    (shown,) = page.jobs

    assert (shown.rate, shown.behind, shown.css) == (f"0{NBSP}B/s", "no estimate", "stall")
    assert "1 stalled" in page.summary


def test_a_job_that_just_began_is_neither_stalled_nor_estimated() -> None:
    """The rate of a first moment says nothing about how long a job takes, nor does none."""
    (slow,) = activity_page(look(jobs=[job(id=1, rate_bytes_per_s=18)]), {}, [], {1: (18,)}).jobs
    (resumed,) = activity_page(look(jobs=[job(id=1, rate_bytes_per_s=0)]), {}, [], {1: (0,)}).jobs

    assert (slow.behind, resumed.behind, resumed.stalled) == ("", "", False)


def test_what_is_paused_does_not_wait() -> None:
    """The sentence above the jobs counts those that a person paused apart from those that wait for their turn."""
    jobs = [job(id=1, state=PAUSED), job(id=2, state=QUEUED)]

    assert activity_page(look(jobs=jobs), {}, [], {}).summary == "0 running · 1 waiting · 1 paused"


def test_a_waiting_job_says_for_what() -> None:
    """A job that waits has no rate, and its reason."""
    (shown,) = activity_page(look(jobs=[job(state=WAITING, detail="The hub isn't reachable.")]), {}, [], {}).jobs

    assert (shown.rate, shown.why) == ("–", "The hub isn't reachable.")


def test_a_failed_download_needs_a_decision() -> None:
    """A model whose download failed is named with its error and what to do; a whole one isn't."""
    error = json.dumps({"title": "Denied", "detail": "It is gated.", "hint": "Accept the license."})
    broken = row("m", complete=False, job_id=1, job_state=FAILED, job_detail="It is gated.")
    whole = row("n", job_state=FAILED)
    failure = job(id=1, state=FAILED, error=error, finished_at=NOW_S)

    (decision,) = activity_page(look(broken, whole), {broken.id: failure}, [], {}).decisions

    assert (decision.name, decision.what) == ("m", "m: denied")
    assert decision.means == "It is gated. Accept the license."


def test_history_says_what_was_done() -> None:
    """A job that is over has its verb, bytes, time and cause."""
    past = [job("verify", state=DONE, done_bytes=GB, finished_at=NOW_S - 4)]

    (shown,) = activity_page(look(), {}, past, {}).history

    assert (shown.what, shown.size, shown.after, shown.ended) == ("verified", f"1.0{NBSP}GB", f"6.0{NBSP}s", "just now")


def test_broken_json_of_an_error_breaks_nothing() -> None:
    """An error that can't be read is shown without a hint."""
    broken = row("m", complete=False, job_id=1, job_state=FAILED, job_detail="It failed.")

    (decision,) = activity_page(look(broken), {broken.id: job(id=1, state=FAILED, error="{")}, [], {}).decisions

    assert decision.means == "It failed."


def test_files_on_their_way_are_shown_first() -> None:
    """A job shows the files that it works on, then those that wait, not those that are whole, and counts all."""
    listed = (JobFile("a", 2 * GB, 2 * GB), JobFile("b", 0, GB), JobFile("c", GB, 4 * GB), *many(9))
    (shown,) = activity_page(look(jobs=[job(files=JobFiles(1, 12, listed).to_json())]), {}, [], {}).jobs

    assert [file.path for file in shown.files] == ["c", "b", "f0", "f1", "f2", "f3"]
    assert [file.label for file in shown.files[:2]] == [f"1.0{NBSP}GB of 4.0{NBSP}GB", f"waits, 1.0{NBSP}GB"]
    assert shown.label.endswith(", 1 of 12 files")


def test_the_only_file_of_a_job_is_the_job() -> None:
    """A job of one file has one bar."""
    (shown,) = activity_page(look(jobs=[job(files=JobFiles(0, 1, tuple(many(1))).to_json())]), {}, [], {}).jobs

    assert (shown.files, "files" in shown.label) == ([], False)


def many(count: int) -> list[JobFile]:
    """Return files that nobody has begun."""
    return [JobFile(f"f{number}", 0, GB) for number in range(count)]


def test_a_running_job_has_its_rate_as_a_line() -> None:
    """The rates of the last minute are a line beside a job that runs, and nothing beside one that waits."""
    going, waits = job(id=1), job(id=2, state=WAITING)
    shown = {
        one.id: one.spark for one in activity_page(look(jobs=[going, waits]), {}, [], {1: (0, 100), 2: (5, 5)}).jobs
    }

    assert shown == {1: "M0 18L100 2", 2: ""}


def test_of_very_many_decisions_the_others_are_counted() -> None:
    """A page shows fifty models that failed, and how many more there are."""
    broken = [row(f"m{number}", complete=False, job_id=number, job_state=FAILED) for number in range(1, 53)]

    page = activity_page(look(*broken), {}, [], {})

    assert (len(page.decisions), page.undecided) == (50, 2)


def test_a_full_page_of_history_leads_to_what_was_before() -> None:
    """With as many jobs as a page holds there is an address for those before the last one; with fewer there is none."""
    past = [job(id=number, state=DONE, finished_at=NOW_S) for number in range(HISTORY + 7, 7, -1)]

    assert activity_page(look(), {}, past, {}).earlier == "/activity?after=8"
    assert not activity_page(look(), {}, past[1:], {}).earlier
