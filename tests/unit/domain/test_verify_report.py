"""What findings say, and which command fixes them."""

from __future__ import annotations

import pytest

from modelshelf.domain.verify_report import OTHER_NAMES, Fault, Finding, VerifyReport

MADE_UP = "0" * 12 + "a" * 28
PATH = "/b/hub/models--org--name/blobs/" + "a" * 64


def finding(kind: Fault, path: str = PATH, **values: object) -> Finding:
    """Return a finding of the repository org/name."""
    return Finding(kind, "/b", path, repo_id="org/name", **values)


@pytest.mark.parametrize("kind", list(Fault))
def test_every_kind_has_a_sentence_and_a_command(kind: Fault) -> None:
    """Every kind of finding has a sentence and a command, for a registered model and for others."""
    ours, nobodys = finding(kind, model_name="m"), finding(kind)

    assert ours.detail.endswith(".")
    assert "{" not in ours.detail
    assert ours.hint
    assert nobodys.hint


@pytest.mark.parametrize(
    ("found", "hint"),
    [
        (finding(Fault.WRONG_BYTES, model_name="m"), "shelf verify m --repair"),
        (finding(Fault.WRONG_BYTES), "shelf verify --all --repair"),
        (finding(Fault.WRONG_BYTES, quarantined="/q"), "hf download org/name"),
        (finding(Fault.DANGLING_LINK, commit_hash="c" * 40), f"hf download org/name --revision {'c' * 40}"),
        (
            finding(Fault.DANGLING_REF, "/b/hub/datasets--org--name/refs/refs/pr/1"),
            "rm /b/hub/datasets--org--name/refs/refs/pr/1",
        ),
        (
            finding(Fault.DANGLING_LINK, "/b/hub/datasets--org--name/snapshots/c/a", commit_hash="c" * 40),
            f"hf download org/name --repo-type dataset --revision {'c' * 40}",
        ),
        (finding(Fault.LINK_LEAVES_BASE, "/b/hub/models--org--name"), "rm /b/hub/models--org--name"),
        (finding(Fault.UNREADABLE_TREE, "/b/a b.json", model_name="m"), "sudo chmod a+r '/b/a b.json'"),
        (finding(Fault.UNREADABLE_FOLDER, "/b/hub"), "sudo chmod a+rx /b/hub"),
        (finding(Fault.UNREADABLE_FILE, "/b/x", model_name="m"), "sudo chmod a+r /b/x"),
        (finding(Fault.UNREADABLE_FILE, fact=OTHER_NAMES, model_name="m"), "shelf adopt FOLDER --move --copy"),
        (finding(Fault.INCOMPLETE, model_name="m"), "shelf pull m"),
        (finding(Fault.WRONG_BYTES, model_name="m", commit_hash=MADE_UP), "shelf verify m --repair"),
        (finding(Fault.WRONG_BYTES, model_name="m", repaired=True), ""),
    ],
)
def test_the_hint_is_the_command_that_mends_it(found: Finding, hint: str) -> None:
    """The hint is a command that can be pasted into a shell."""
    assert found.hint == hint


def test_nobody_is_told_to_change_the_rights_of_another_users_file() -> None:
    """No hint tells a person to change the mode of another user's file."""
    theirs = finding(Fault.UNREADABLE_FILE, fact=": it belongs to user 998")

    assert theirs.detail == "This user can't read it: it belongs to user 998."
    assert theirs.hint == "Run the command as that user, or ask them to let you read it."


def test_a_commit_that_no_hub_has_is_not_repaired_twice() -> None:
    """After a failed repair of a made-up commit, the hint is to adopt the folder again or to remove the model."""
    found = finding(Fault.WRONG_BYTES, model_name="m", commit_hash=MADE_UP, trouble="No hub has it.")

    assert "shelf adopt FOLDER --move" in found.hint
    assert "shelf rm m" in found.hint
    assert "--repair" not in found.hint


def test_the_detail_says_why_a_repair_failed() -> None:
    """After a failed repair, the detail says first what was found, then why the repair failed."""
    found = finding(Fault.WRONG_SIZE, fact="3 bytes instead of 5", trouble="The hub is away.")

    assert found.detail == "It has 3 bytes instead of 5. The hub is away."


def test_what_was_repaired_is_not_wrong_any_more() -> None:
    """A repaired finding stays in the report and doesn't count as a problem."""
    mended, open_one = finding(Fault.WRONG_BYTES, repaired=True), finding(Fault.MISSING_FILE, model_name="m")

    assert VerifyReport(2, 10, 0, 0, (), (mended, open_one)).wrong == [open_one]
