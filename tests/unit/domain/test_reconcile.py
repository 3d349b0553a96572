"""What reconcile decides from what it saw."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelshelf.domain.models import FileEntry, ModelRow
from modelshelf.domain.reconcile import Action, ReconcilePlan, plan_reconcile
from modelshelf.domain.reconcile_input import BaseSeen, RowSeen, Seen, SidecarSeen, Unregistered
from modelshelf.domain.sidecars import Sidecar

REPO = "org/name"
C1, C2 = "1" * 40, "2" * 40
FAST, SLOW, USB = "/fast", "/slow", "/usb"
FILES = (FileEntry("a.bin", 7, "a" * 64), FileEntry("b.txt", 3, "b" * 40))


def sidecar_of(name: str = "m", commit: str = C1, **more: object) -> Sidecar:
    """Return a sidecar."""
    sidecar = Sidecar(name, REPO, "main", commit, (), False, "", FILES)
    return replace(sidecar, **more)


def row_of(name: str = "m", **more: object) -> ModelRow:
    """Return a row of a whole model on the primary."""
    row = ModelRow(
        id=1, model_name=name, hf_path=REPO, revision="main", commit_hash=C1, cache_location="primary",
        cache_path=FAST, allow_patterns=(), pinned=False, pin_reason="", complete=True, signature="1:2", size_bytes=10,
        format="", quantisation="", created_at=1.0, arrived_at=2.0, last_used_at=None, uses=0, job_id=None, job_kind="",
        job_state="", job_detail="", job_done_bytes=0, job_total_bytes=0, job_owner="",
    )  # fmt: skip
    return replace(row, **more)


def seen_row(row: ModelRow, *whole_on: str, base: str = FAST, **more: object) -> RowSeen:
    """Return what reconcile saw of a row."""
    sidecar = sidecar_of(row.model_name, row.commit_hash or "", pinned=row.pinned, allow_patterns=row.allow_patterns)
    seen = RowSeen(
        row, base, "", sidecar if row.commit_hash else None, True, whole_on, 0 if base in whole_on else 2, None
    )
    return replace(seen, **more)


def base_of(path: str, *sidecars: SidecarSeen, refs: dict[str, str] | None = None, **more: object) -> BaseSeen:
    """Return an online base whose ref `main` is right."""
    location = {FAST: "primary", SLOW: "secondary"}.get(path, "custom")
    seen = BaseSeen(path, location, f"id{path}", "", True, sidecars, {REPO: {"main": C1} if refs is None else refs})
    return replace(seen, **more)


def said(plan: ReconcilePlan) -> list[tuple[str, str, str]]:
    """Return the steps as (action, model, base)."""
    return [(step.action.value, step.model_name, step.base) for step in plan.steps]


def test_nothing_is_done_where_all_agrees() -> None:
    """A whole model with its sidecar and its ref needs no step."""
    seen = Seen((base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,))),), (seen_row(row_of(), FAST),))

    assert plan_reconcile(seen) == ReconcilePlan((), (), ())


def test_a_model_whose_files_are_gone_is_not_complete_any_more() -> None:
    """A model whose files are gone is marked incomplete, and stays registered with its sidecar."""
    seen = Seen((base_of(FAST, SidecarSeen(FAST, sidecar_of(), ())),), (seen_row(row_of()),))

    plan = plan_reconcile(seen)

    assert said(plan) == [("incomplete", "m", FAST)]
    assert plan.steps[0].why == "2 of 2 files are missing: shelf pull m"


def test_files_that_are_back_make_it_complete_again() -> None:
    """Files that came back complete the model again, because its sidecar says that they were verified here."""
    row = row_of(complete=False)
    seen = Seen((base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,))),), (seen_row(row, FAST),))

    [step] = plan_reconcile(seen).steps

    assert (step.action, step.complete) == (Action.PLACE, True)


def test_files_that_nobody_verified_do_not_make_it_complete() -> None:
    """Files without a sidecar don't complete a model; a pull has to verify them."""
    row = row_of(complete=False, signature="")

    assert plan_reconcile(Seen((base_of(FAST),), (seen_row(row, FAST),))).steps == ()


def test_a_model_that_was_moved_by_hand_is_found() -> None:
    """A model that was moved by hand keeps its row, which follows the bytes; the new tier gets the sidecar."""
    bases = (base_of(FAST, SidecarSeen(FAST, sidecar_of(), (SLOW,))), base_of(SLOW))

    plan = plan_reconcile(Seen(bases, (seen_row(row_of(), SLOW),)))

    assert said(plan) == [("placed", "m", SLOW), ("sidecar_written", "m", SLOW), ("sidecar_removed", "m", FAST)]
    assert (plan.steps[0].location, plan.steps[0].complete) == ("secondary", True)


def test_a_model_that_was_never_here_does_not_follow_the_bytes_of_others() -> None:
    """A model registered for the primary and not downloaded stays there, wherever the same bytes are."""
    row = row_of(complete=False, signature="")
    seen = Seen((base_of(FAST), base_of(SLOW)), (seen_row(row, SLOW),))

    assert plan_reconcile(seen).steps == ()


@pytest.mark.parametrize("whole", [True, False], ids=["files-there", "files-gone"])
def test_a_sidecar_without_a_model_is_registered_again(whole: bool) -> None:
    """A sidecar without a model registers it again under its name, pinned as it says, complete if the files exist."""
    sidecar = sidecar_of(pinned=True)
    plan = plan_reconcile(Seen((base_of(FAST, SidecarSeen(FAST, sidecar, (FAST,) if whole else ())),), ()))

    assert said(plan) == [("added", "m", FAST)]
    assert (plan.steps[0].sidecar, plan.steps[0].complete, plan.steps[0].location) == (sidecar, whole, "primary")


def test_a_whole_model_without_a_sidecar_gets_one() -> None:
    """A whole model without a sidecar gets one, so that it survives the loss of the registry."""
    assert said(plan_reconcile(Seen((base_of(FAST),), (seen_row(row_of(), FAST),)))) == [("sidecar_written", "m", FAST)]


def test_a_sidecar_that_says_something_else_is_written_anew() -> None:
    """A sidecar that differs from the registry is rewritten, such as after a crash between a pin and its sidecar."""
    seen = Seen((base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,))),), (seen_row(row_of(pinned=True), FAST),))

    assert said(plan_reconcile(seen)) == [("sidecar_written", "m", FAST)]


def test_a_rename_that_died_half_way_is_one_model() -> None:
    """After an interrupted rename, the sidecar under the earlier name doesn't register a second model."""
    seen = Seen((base_of(FAST, SidecarSeen(FAST, sidecar_of("old"), (FAST,))),), (seen_row(row_of("new"), FAST),))

    assert said(plan_reconcile(seen)) == [("sidecar_written", "new", FAST), ("sidecar_removed", "old", FAST)]


def test_another_commit_of_a_repository_is_another_model() -> None:
    """A sidecar without a model isn't taken for an earlier name of a model with another commit of its repository."""
    sidecars = [SidecarSeen(FAST, sidecar_of(), (FAST,)), SidecarSeen(FAST, sidecar_of("old", C2), (FAST,))]
    plan = plan_reconcile(Seen((base_of(FAST, *sidecars),), (seen_row(row_of(), FAST),)))
    assert said(plan) == [("added", "old", FAST)]


def test_an_interrupted_move_whose_target_is_whole_ends_there() -> None:
    """With the registry lost, an interrupted move whose target is whole ends there; the source is a second copy."""
    source = SidecarSeen(FAST, sidecar_of(), (FAST,))
    target = SidecarSeen(SLOW, sidecar_of(arriving_from=FAST), (SLOW,))
    snapshots = (Unregistered(FAST, REPO, C1, 10), Unregistered(SLOW, REPO, C1, 10))

    plan = plan_reconcile(Seen((base_of(FAST, source), base_of(SLOW, target)), (), snapshots=snapshots))

    assert said(plan) == [("added", "m", SLOW), ("sidecar_written", "m", SLOW), ("sidecar_removed", "m", FAST)]
    assert plan.steps[1].sidecar == sidecar_of()
    assert plan.unregistered == (Unregistered(FAST, REPO, C1, 10, "m"),)


@pytest.mark.parametrize("source_whole", [True, False], ids=["source-whole", "source-damaged"])
def test_an_interrupted_move_whose_target_is_not_whole_never_was(source_whole: bool) -> None:
    """With the registry lost, an interrupted move whose target isn't whole ends at the source."""
    source = SidecarSeen(FAST, sidecar_of(), (FAST,) if source_whole else ())
    target = SidecarSeen(SLOW, sidecar_of(arriving_from=FAST), ())

    plan = plan_reconcile(Seen((base_of(FAST, source), base_of(SLOW, target)), ()))

    assert said(plan) == [("added", "m", FAST), ("sidecar_removed", "m", SLOW)]
    assert plan.steps[0].complete is source_whole


def test_an_interrupted_move_from_a_source_without_a_sidecar_finds_its_bytes() -> None:
    """With the registry lost and no sidecar at the source, the target's sidecar names the files to look for there."""
    target = SidecarSeen(SLOW, sidecar_of(arriving_from=FAST), (FAST,))

    plan = plan_reconcile(Seen((base_of(FAST), base_of(SLOW, target)), ()))

    assert said(plan) == [("added", "m", FAST), ("sidecar_written", "m", FAST), ("sidecar_removed", "m", SLOW)]


def test_an_interrupted_move_whose_source_is_away_waits_for_it() -> None:
    """With one half of an interrupted move offline, nothing is decided."""
    target = SidecarSeen(SLOW, sidecar_of(arriving_from=USB), ())

    plan = plan_reconcile(Seen((base_of(SLOW, target), base_of(USB, offline="not mounted")), ()))

    assert (plan.steps, [(left.model_name, left.why) for left in plan.untouched]) == ((), [("m", "not mounted")])


def test_a_cancelled_move_leaves_no_arriving_sidecar() -> None:
    """After a cancelled move the model is at the source, and the target's sidecar is deleted."""
    bases = (
        base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,))),
        base_of(SLOW, SidecarSeen(SLOW, sidecar_of(arriving_from=FAST), ())),
    )

    assert said(plan_reconcile(Seen(bases, (seen_row(row_of(), FAST),)))) == [("sidecar_removed", "m", SLOW)]


def test_of_two_sidecars_of_one_name_the_whole_one_is_the_model() -> None:
    """Of two sidecars with one name, the one whose copy is whole is registered, and the other is deleted."""
    bases = (
        base_of(FAST, SidecarSeen(FAST, sidecar_of(), (SLOW,))),
        base_of(SLOW, SidecarSeen(SLOW, sidecar_of(), (SLOW,))),
    )

    assert said(plan_reconcile(Seen(bases, ()))) == [("added", "m", SLOW), ("sidecar_removed", "m", FAST)]


def test_of_two_whole_copies_the_faster_one_is_the_model() -> None:
    """Of two whole copies the one on the faster tier is registered, and the other is named as a second copy."""
    bases = (
        base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,))),
        base_of(SLOW, SidecarSeen(SLOW, sidecar_of(), (SLOW,))),
    )

    assert said(plan_reconcile(Seen(bases, ()))) == [("added", "m", FAST), ("sidecar_removed", "m", SLOW)]


def test_two_repositories_of_one_name_are_both_kept() -> None:
    """Two repositories under one name, such as from another machine's base, are both kept; one gets a free name."""
    other = sidecar_of(hf_path="org/other")
    bases = (
        base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,))),
        base_of(USB, SidecarSeen(USB, other, (USB,)), refs={}),
    )

    plan = plan_reconcile(Seen(bases, (seen_row(row_of(), FAST),)))

    added = [
        ("added", "m-2", USB),
        ("sidecar_written", "m-2", USB),
        ("sidecar_removed", "m", USB),
        ("ref_set", "m-2", USB),
    ]
    assert said(plan) == added
    assert plan.steps[0].sidecar == replace(other, model_name="m-2")


def test_a_number_that_is_taken_is_left_to_whoever_has_it() -> None:
    """A free name has the next free number, and a run that died after writing the sidecar makes no third model."""
    other = sidecar_of(hf_path="org/other")
    usb = (SidecarSeen(USB, other, (USB,)), SidecarSeen(USB, replace(other, model_name="m-2"), (USB,)))
    fast = base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,)), SidecarSeen(FAST, sidecar_of("m-2"), (FAST,)))
    rows = (seen_row(row_of(), FAST), seen_row(row_of("m-2"), FAST))
    row = row_of("m-2", hf_path="org/other", cache_location="custom", cache_path=USB)
    seen = replace(seen_row(row, USB, base=USB), sidecar=replace(other, model_name="m-2"))

    names = [
        name for action, name, _ in said(plan_reconcile(Seen((fast, base_of(USB, usb[0])), rows))) if action == "added"
    ]
    assert names == ["m-3"]
    plan = plan_reconcile(Seen((base_of(FAST, fast.sidecars[0]), base_of(USB, *usb, refs={})), (rows[0], seen)))
    assert said(plan)[0] == ("sidecar_removed", "m", USB)
    assert not [step for step in plan.steps if step.action is Action.ADD]


def test_a_stale_sidecar_on_a_base_that_is_read_only_stays() -> None:
    """A stale sidecar on a read-only base stays, and the next run says nothing about it."""
    bases = (
        base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,))),
        base_of(USB, SidecarSeen(USB, sidecar_of(), ()), writable=False),
    )

    assert plan_reconcile(Seen(bases, (seen_row(row_of(), FAST),))).steps == ()


def test_a_model_on_a_tier_that_is_away_is_left_as_it_is() -> None:
    """A model on an offline tier isn't changed, even if its bytes are found elsewhere."""
    seen = Seen((base_of(FAST, offline="not mounted"), base_of(SLOW)), (seen_row(row_of(), SLOW),))

    plan = plan_reconcile(seen)

    assert (plan.steps, [left.why for left in plan.untouched]) == ((), ["not mounted"])


def test_a_drive_that_is_mounted_elsewhere_takes_its_models_along() -> None:
    """A drive that is mounted elsewhere keeps its models, because the marker's id is the same."""
    gone = base_of(USB, offline="not mounted", tier_id="drive")
    here = base_of("/usb2", SidecarSeen("/usb2", sidecar_of(), ("/usb2",)), tier_id="drive")
    row = row_of(cache_location="custom", cache_path=USB)

    plan = plan_reconcile(Seen((gone, here), (seen_row(row, "/usb2", base=USB),)))

    assert [(s.action, s.base, s.location, s.why) for s in plan.steps] == [
        (Action.PLACE, "/usb2", "custom", "Its drive is mounted at /usb2 now.")
    ]


def test_a_custom_base_that_the_settings_name_now_becomes_that_tier() -> None:
    """A custom base that the settings now name as the secondary becomes that tier in its models' rows."""
    row = row_of(cache_location="custom", cache_path=SLOW)
    seen = seen_row(row, SLOW, base="", why="/slow is the secondary base.")

    plan = plan_reconcile(Seen((base_of(FAST), base_of(SLOW, SidecarSeen(SLOW, sidecar_of(), (SLOW,)))), (seen,)))

    assert [(s.action, s.base, s.location) for s in plan.steps] == [(Action.PLACE, SLOW, "secondary")]


def test_a_model_without_a_tier_in_this_process_is_left() -> None:
    """A process that sees one disk, such as a container, doesn't change models on the other."""
    row = row_of(cache_location="secondary", cache_path=SLOW)
    plan = plan_reconcile(Seen((base_of(FAST),), (seen_row(row, base="", why="There is no secondary tier."),)))

    assert (plan.steps, plan.untouched[0].why) == ((), "There is no secondary tier.")


def test_a_model_that_a_job_works_on_is_left() -> None:
    """A model with a running job isn't changed, and neither are its sidecars."""
    bases = (base_of(FAST), base_of(SLOW, SidecarSeen(SLOW, sidecar_of(arriving_from=FAST), ())))
    plan = plan_reconcile(Seen(bases, (seen_row(row_of(), job_id=7),)))

    assert (plan.steps, plan.untouched[0].why) == ((), "Job 7 works on it or waits to: shelf jobs")


def test_a_removed_model_whose_drive_was_away_is_not_added_again() -> None:
    """If a model was removed while its drive was offline, its sidecar is deleted and doesn't register it again."""
    seen = Seen((base_of(USB, SidecarSeen(USB, sidecar_of(), (USB,))),), (), leaving=frozenset({(USB, "m")}))

    assert said(plan_reconcile(seen)) == [("sidecar_removed", "m", USB)]


def test_a_registry_from_a_backup_follows_the_disks() -> None:
    """After the registry was restored from a backup, a model follows its sidecar to the newer commit that is whole."""
    newer = sidecar_of(commit=C2, revision="other")
    bases = (base_of(FAST, SidecarSeen(FAST, newer, (FAST,)), refs={"main": C2}),)

    [step, written] = plan_reconcile(Seen(bases, (seen_row(row_of()),))).steps

    assert (step.action, step.complete, step.sidecar) == (Action.PLACE, True, sidecar_of(commit=C2))
    assert (written.action, written.sidecar) == (Action.WRITE_SIDECAR, sidecar_of(commit=C2))


def test_a_lost_list_of_files_is_restored() -> None:
    """A lost list of files is restored from a sidecar or a tree list."""
    seen = seen_row(row_of(), FAST, listed=False)

    plan = plan_reconcile(Seen((base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,))),), (seen,)))

    assert [(s.action, s.complete) for s in plan.steps] == [(Action.PLACE, True)]


def test_a_model_of_which_nothing_is_known_is_left() -> None:
    """A model without a commit or a list of files isn't changed, because there is nothing to compare."""
    row = row_of(commit_hash=None, complete=False, signature="")

    assert plan_reconcile(Seen((base_of(FAST),), (seen_row(row),))).steps == ()


@pytest.mark.parametrize(
    ("refs", "whole", "steps"),
    [
        pytest.param({}, (), ["ref_set"], id="gone"),
        pytest.param({"main": C2}, (), ["ref_set"], id="dangling-or-partial"),
        pytest.param({"main": C2}, (C2,), [], id="another-whole-snapshot"),
        pytest.param({"main": C1}, (), [], id="right"),
    ],
)
def test_a_ref_that_leads_to_nothing_whole_is_set_back(
    refs: dict[str, str], whole: tuple[str, ...], steps: list[str]
) -> None:
    """A ref that leads to nothing whole is set back; a ref to another whole commit stays."""
    snapshots = tuple(Unregistered(FAST, REPO, commit, 10) for commit in whole)
    bases = (base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,)), refs=refs),)

    plan = plan_reconcile(Seen(bases, (seen_row(row_of(), FAST),), snapshots=snapshots))

    assert [action for action, _, _ in said(plan)] == steps


def test_two_models_of_one_revision_do_not_fight_over_its_ref() -> None:
    """If two models have one revision, a ref to the commit of either is right."""
    sidecars = (SidecarSeen(FAST, sidecar_of(), (FAST,)), SidecarSeen(FAST, sidecar_of("newer", C2), (FAST,)))
    rows = (seen_row(row_of(), FAST), seen_row(row_of("newer", commit_hash=C2, arrived_at=9.0), FAST))
    for refs, steps in (({"main": C1}, []), ({"main": C2}, []), ({}, [("ref_set", "newer", FAST)])):
        assert said(plan_reconcile(Seen((base_of(FAST, *sidecars, refs=refs),), rows))) == steps


def test_a_model_at_a_commit_has_no_ref_to_set() -> None:
    """A model whose revision is a commit hash needs no ref."""
    row, sidecar = row_of(revision=C1), sidecar_of(revision=C1)
    seen = replace(seen_row(row, FAST), sidecar=sidecar)

    assert plan_reconcile(Seen((base_of(FAST, SidecarSeen(FAST, sidecar, (FAST,)), refs={}),), (seen,))).steps == ()


def test_nothing_is_written_to_a_base_that_is_read_only() -> None:
    """Nothing is written to a read-only base, but the registry is updated."""
    bases = (
        base_of(FAST, SidecarSeen(FAST, sidecar_of(), (USB,))),
        base_of(USB, SidecarSeen(USB, sidecar_of("n"), (USB,)), refs={}, writable=False),
        base_of("/copy", tier_id=f"id{USB}", writable=False),
    )

    plan = plan_reconcile(Seen(bases, (seen_row(row_of(), USB),)))

    assert said(plan) == [("placed", "m", USB), ("sidecar_removed", "m", FAST), ("added", "n", USB)]


def test_the_copy_of_a_base_gets_an_id_of_its_own() -> None:
    """A copied base gets an id of its own, because two tiers with one id would share reservations."""
    bases = (base_of(FAST, tier_id="one"), base_of(USB, tier_id="one"))

    assert said(plan_reconcile(Seen(bases, ()))) == [("new_id", "", USB)]


def test_whole_snapshots_of_nobody_are_only_named() -> None:
    """Whole snapshots without a model are only named, because adopt takes them in."""
    found = Unregistered(FAST, "org/other", C2, 5)

    plan = plan_reconcile(Seen((base_of(FAST),), (), snapshots=(found,)))

    assert (plan.steps, plan.unregistered) == ((), (found,))
