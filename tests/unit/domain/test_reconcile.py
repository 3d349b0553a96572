"""What reconcile decides from what was observed."""

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
    return replace(sidecar, **more)  # type: ignore[arg-type]


def row_of(name: str = "m", **more: object) -> ModelRow:
    """Return a row of a model that is whole on the primary."""
    row = ModelRow(
        id=1, model_name=name, hf_path=REPO, revision="main", commit_hash=C1, cache_location="primary",
        cache_path=FAST, allow_patterns=(), pinned=False, pin_reason="", complete=True, signature="1:2", size_bytes=10,
        created_at=1.0, arrived_at=2.0, last_used_at=None, uses=0, job_id=None, job_kind="", job_state="",
        job_detail="", job_done_bytes=0, job_total_bytes=0, job_owner="",
    )  # fmt: skip
    return replace(row, **more)  # type: ignore[arg-type]


def seen_row(row: ModelRow, *whole_on: str, base: str = FAST, **more: object) -> RowSeen:
    """Return what was observed of a row."""
    sidecar = sidecar_of(row.model_name, row.commit_hash or "", pinned=row.pinned, allow_patterns=row.allow_patterns)
    seen = RowSeen(
        row, base, "", sidecar if row.commit_hash else None, True, whole_on, 0 if base in whole_on else 2, None
    )
    return replace(seen, **more)  # type: ignore[arg-type]


def base_of(path: str, *sidecars: SidecarSeen, refs: dict[str, str] | None = None, **more: object) -> BaseSeen:
    """Return an online base whose ref `main` is as it should be."""
    location = {FAST: "primary", SLOW: "secondary"}.get(path, "custom")
    seen = BaseSeen(path, location, f"id{path}", "", True, sidecars, {REPO: {"main": C1} if refs is None else refs})
    return replace(seen, **more)  # type: ignore[arg-type]


def said(plan: ReconcilePlan) -> list[tuple[str, str, str]]:
    """Return the steps as (action, model, base)."""
    return [(step.action.value, step.model_name, step.base) for step in plan.steps]


def test_nothing_is_done_where_all_agrees() -> None:
    """A whole model with its sidecar and its ref needs no step."""
    seen = Seen((base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,))),), (seen_row(row_of(), FAST),))

    assert plan_reconcile(seen) == ReconcilePlan((), (), ())


def test_a_model_whose_files_are_gone_is_not_complete_any_more() -> None:
    """Nothing of it is forgotten: it stays registered, sidecar and all."""
    seen = Seen((base_of(FAST, SidecarSeen(FAST, sidecar_of(), ())),), (seen_row(row_of()),))

    plan = plan_reconcile(seen)

    assert said(plan) == [("incomplete", "m", FAST)]
    assert plan.steps[0].why == "2 of 2 files are missing: shelf pull m"


def test_files_that_are_back_make_it_complete_again() -> None:
    """A sidecar says that they were verified here before."""
    row = row_of(complete=False)
    seen = Seen((base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,))),), (seen_row(row, FAST),))

    [step] = plan_reconcile(seen).steps

    assert (step.action, step.complete) == (Action.PLACE, True)


def test_files_that_nobody_verified_do_not_make_it_complete() -> None:
    """Bytes that lie there without a sidecar are for a pull to check."""
    row = row_of(complete=False, signature="")

    assert plan_reconcile(Seen((base_of(FAST),), (seen_row(row, FAST),))).steps == ()


def test_a_model_that_was_moved_by_hand_is_found() -> None:
    """Its row follows its bytes to the other tier, gets a sidecar there and loses the one that is not true any more."""
    bases = (base_of(FAST, SidecarSeen(FAST, sidecar_of(), (SLOW,))), base_of(SLOW))

    plan = plan_reconcile(Seen(bases, (seen_row(row_of(), SLOW),)))

    assert said(plan) == [("placed", "m", SLOW), ("sidecar_written", "m", SLOW), ("sidecar_removed", "m", FAST)]
    assert (plan.steps[0].location, plan.steps[0].complete) == ("secondary", True)


def test_a_model_that_was_never_here_does_not_follow_the_bytes_of_others() -> None:
    """What was registered for the primary and not downloaded stays there, whoever has its bytes elsewhere."""
    row = row_of(complete=False, signature="")
    seen = Seen((base_of(FAST), base_of(SLOW)), (seen_row(row, SLOW),))

    assert plan_reconcile(seen).steps == ()


@pytest.mark.parametrize("whole", [True, False], ids=["files-there", "files-gone"])
def test_a_sidecar_without_a_model_is_registered_again(whole: bool) -> None:
    """Under its name, pinned as the sidecar says, complete if its files are there."""
    sidecar = sidecar_of(pinned=True)
    plan = plan_reconcile(Seen((base_of(FAST, SidecarSeen(FAST, sidecar, (FAST,) if whole else ())),), ()))

    assert said(plan) == [("added", "m", FAST)]
    assert (plan.steps[0].sidecar, plan.steps[0].complete, plan.steps[0].location) == (sidecar, whole, "primary")


def test_a_whole_model_without_a_sidecar_gets_one() -> None:
    """So that it survives the next loss of the registry."""
    assert said(plan_reconcile(Seen((base_of(FAST),), (seen_row(row_of(), FAST),)))) == [("sidecar_written", "m", FAST)]


def test_a_sidecar_that_says_something_else_is_written_anew() -> None:
    """The registry is believed about wishes: a pin that a crash kept from the sidecar is written to it."""
    seen = Seen((base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,))),), (seen_row(row_of(pinned=True), FAST),))

    assert said(plan_reconcile(seen)) == [("sidecar_written", "m", FAST)]


def test_a_rename_that_died_half_way_is_one_model() -> None:
    """The sidecar under the earlier name is that model's, and not another model."""
    seen = Seen((base_of(FAST, SidecarSeen(FAST, sidecar_of("old"), (FAST,))),), (seen_row(row_of("new"), FAST),))

    assert said(plan_reconcile(seen)) == [("sidecar_written", "new", FAST), ("sidecar_removed", "old", FAST)]


def test_an_interrupted_move_whose_target_is_whole_ends_there() -> None:
    """With the registry lost, the target wins; the source's bytes are named as a second copy and stay."""
    source = SidecarSeen(FAST, sidecar_of(), (FAST,))
    target = SidecarSeen(SLOW, sidecar_of(arriving_from=FAST), (SLOW,))
    snapshots = (Unregistered(FAST, REPO, C1, 10), Unregistered(SLOW, REPO, C1, 10))

    plan = plan_reconcile(Seen((base_of(FAST, source), base_of(SLOW, target)), (), snapshots=snapshots))

    assert said(plan) == [("added", "m", SLOW), ("sidecar_written", "m", SLOW), ("sidecar_removed", "m", FAST)]
    assert plan.steps[1].sidecar == sidecar_of()
    assert plan.unregistered == (Unregistered(FAST, REPO, C1, 10, "m"),)


@pytest.mark.parametrize("source_whole", [True, False], ids=["source-whole", "source-damaged"])
def test_an_interrupted_move_whose_target_is_not_whole_never_was(source_whole: bool) -> None:
    """With the registry lost, the model is where the move came from."""
    source = SidecarSeen(FAST, sidecar_of(), (FAST,) if source_whole else ())
    target = SidecarSeen(SLOW, sidecar_of(arriving_from=FAST), ())

    plan = plan_reconcile(Seen((base_of(FAST, source), base_of(SLOW, target)), ()))

    assert said(plan) == [("added", "m", FAST), ("sidecar_removed", "m", SLOW)]
    assert plan.steps[0].complete is source_whole


def test_an_interrupted_move_from_a_source_without_a_sidecar_finds_its_bytes() -> None:
    """The sidecar of the target knows the files, and they are found where it came from."""
    target = SidecarSeen(SLOW, sidecar_of(arriving_from=FAST), (FAST,))

    plan = plan_reconcile(Seen((base_of(FAST), base_of(SLOW, target)), ()))

    assert said(plan) == [("added", "m", FAST), ("sidecar_written", "m", FAST), ("sidecar_removed", "m", SLOW)]


def test_an_interrupted_move_whose_source_is_away_waits_for_it() -> None:
    """Nothing is decided while one half cannot be seen."""
    target = SidecarSeen(SLOW, sidecar_of(arriving_from=USB), ())

    plan = plan_reconcile(Seen((base_of(SLOW, target), base_of(USB, offline="not mounted")), ()))

    assert (plan.steps, [(left.model_name, left.why) for left in plan.untouched]) == ((), [("m", "not mounted")])


def test_a_cancelled_move_leaves_no_arriving_sidecar() -> None:
    """The model resolves to the source; the sidecar that announced it elsewhere is dropped."""
    bases = (
        base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,))),
        base_of(SLOW, SidecarSeen(SLOW, sidecar_of(arriving_from=FAST), ())),
    )

    assert said(plan_reconcile(Seen(bases, (seen_row(row_of(), FAST),)))) == [("sidecar_removed", "m", SLOW)]


def test_of_two_sidecars_of_one_name_the_whole_one_is_the_model() -> None:
    """Without a registry, the copy that is whole is registered and the other sidecar goes."""
    bases = (
        base_of(FAST, SidecarSeen(FAST, sidecar_of(), (SLOW,))),
        base_of(SLOW, SidecarSeen(SLOW, sidecar_of(), (SLOW,))),
    )

    assert said(plan_reconcile(Seen(bases, ()))) == [("added", "m", SLOW), ("sidecar_removed", "m", FAST)]


def test_of_two_whole_copies_the_faster_one_is_the_model() -> None:
    """The other one is named as a second copy."""
    bases = (
        base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,))),
        base_of(SLOW, SidecarSeen(SLOW, sidecar_of(), (SLOW,))),
    )

    assert said(plan_reconcile(Seen(bases, ()))) == [("added", "m", FAST), ("sidecar_removed", "m", SLOW)]


def test_two_repositories_of_one_name_are_both_kept() -> None:
    """A base that was copied from another machine calls something else by the same name: it gets a free one."""
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
    """The free name is the next one; and a run that died after its sidecar was written makes no third model."""
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
    """It is not true, and nothing can be done about it here; the next run says nothing either."""
    bases = (
        base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,))),
        base_of(USB, SidecarSeen(USB, sidecar_of(), ()), writable=False),
    )

    assert plan_reconcile(Seen(bases, (seen_row(row_of(), FAST),))).steps == ()


def test_a_model_on_a_tier_that_is_away_is_left_as_it_is() -> None:
    """Even where its bytes are found elsewhere: nothing is forgotten."""
    seen = Seen((base_of(FAST, offline="not mounted"), base_of(SLOW)), (seen_row(row_of(), SLOW),))

    plan = plan_reconcile(seen)

    assert (plan.steps, [left.why for left in plan.untouched]) == ((), ["not mounted"])


def test_a_drive_that_is_mounted_elsewhere_takes_its_models_along() -> None:
    """The marker's id tells that it is the same drive."""
    gone = base_of(USB, offline="not mounted", tier_id="drive")
    here = base_of("/usb2", SidecarSeen("/usb2", sidecar_of(), ("/usb2",)), tier_id="drive")
    row = row_of(cache_location="custom", cache_path=USB)

    plan = plan_reconcile(Seen((gone, here), (seen_row(row, "/usb2", base=USB),)))

    assert [(s.action, s.base, s.location, s.why) for s in plan.steps] == [
        (Action.PLACE, "/usb2", "custom", "Its drive is mounted at /usb2 now.")
    ]


def test_a_custom_base_that_the_settings_name_now_becomes_that_tier() -> None:
    """The row says `secondary` from then on, for as a custom path it resolves to nothing."""
    row = row_of(cache_location="custom", cache_path=SLOW)
    seen = seen_row(row, SLOW, base="", why="/slow is the secondary base.")

    plan = plan_reconcile(Seen((base_of(FAST), base_of(SLOW, SidecarSeen(SLOW, sidecar_of(), (SLOW,)))), (seen,)))

    assert [(s.action, s.base, s.location) for s in plan.steps] == [(Action.PLACE, SLOW, "secondary")]


def test_a_model_without_a_tier_in_this_process_is_left() -> None:
    """A container that sees one disk does not rearrange what lies on the other."""
    row = row_of(cache_location="secondary", cache_path=SLOW)
    plan = plan_reconcile(Seen((base_of(FAST),), (seen_row(row, base="", why="There is no secondary tier."),)))

    assert (plan.steps, plan.untouched[0].why) == ((), "There is no secondary tier.")


def test_a_model_that_a_job_works_on_is_left() -> None:
    """Its move or pull knows better; its sidecars are its own."""
    bases = (base_of(FAST), base_of(SLOW, SidecarSeen(SLOW, sidecar_of(arriving_from=FAST), ())))
    plan = plan_reconcile(Seen(bases, (seen_row(row_of(), job_id=7),)))

    assert (plan.steps, plan.untouched[0].why) == ((), "Job 7 is working on it.")


def test_a_removed_model_whose_drive_was_away_is_not_added_again() -> None:
    """The job that deletes its sidecar is still waiting; the sidecar goes now."""
    seen = Seen((base_of(USB, SidecarSeen(USB, sidecar_of(), (USB,))),), (), leaving=frozenset({(USB, "m")}))

    assert said(plan_reconcile(seen)) == [("sidecar_removed", "m", USB)]


def test_a_registry_from_a_backup_follows_the_disks() -> None:
    """The model was updated since: its old commit is nowhere, and its sidecar has a newer one, whole."""
    newer = sidecar_of(commit=C2, revision="other")
    bases = (base_of(FAST, SidecarSeen(FAST, newer, (FAST,)), refs={"main": C2}),)

    [step, written] = plan_reconcile(Seen(bases, (seen_row(row_of()),))).steps

    assert (step.action, step.complete, step.sidecar) == (Action.PLACE, True, sidecar_of(commit=C2))
    assert (written.action, written.sidecar) == (Action.WRITE_SIDECAR, sidecar_of(commit=C2))


def test_a_lost_list_of_files_is_restored() -> None:
    """What the registry does not know any more comes from a sidecar or a tree list."""
    seen = seen_row(row_of(), FAST, listed=False)

    plan = plan_reconcile(Seen((base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,))),), (seen,)))

    assert [(s.action, s.complete) for s in plan.steps] == [(Action.PLACE, True)]


def test_a_model_of_which_nothing_is_known_is_left() -> None:
    """Without a commit or a list of files there is nothing to compare."""
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
    """What somebody else downloaded whole on purpose keeps its ref."""
    snapshots = tuple(Unregistered(FAST, REPO, commit, 10) for commit in whole)
    bases = (base_of(FAST, SidecarSeen(FAST, sidecar_of(), (FAST,)), refs=refs),)

    plan = plan_reconcile(Seen(bases, (seen_row(row_of(), FAST),), snapshots=snapshots))

    assert [action for action, _, _ in said(plan)] == steps


def test_two_models_of_one_revision_do_not_fight_over_its_ref() -> None:
    """A ref that leads to the commit of either is right."""
    sidecars = (SidecarSeen(FAST, sidecar_of(), (FAST,)), SidecarSeen(FAST, sidecar_of("newer", C2), (FAST,)))
    rows = (seen_row(row_of(), FAST), seen_row(row_of("newer", commit_hash=C2, arrived_at=9.0), FAST))
    for refs, steps in (({"main": C1}, []), ({"main": C2}, []), ({}, [("ref_set", "newer", FAST)])):
        assert said(plan_reconcile(Seen((base_of(FAST, *sidecars, refs=refs),), rows))) == steps


def test_a_model_at_a_commit_has_no_ref_to_set() -> None:
    """A revision that is a commit hash is no ref."""
    row, sidecar = row_of(revision=C1), sidecar_of(revision=C1)
    seen = replace(seen_row(row, FAST), sidecar=sidecar)

    assert plan_reconcile(Seen((base_of(FAST, SidecarSeen(FAST, sidecar, (FAST,)), refs={}),), (seen,))).steps == ()


def test_nothing_is_written_to_a_base_that_is_read_only() -> None:
    """The registry learns what lies there; its sidecars, refs and id stay."""
    bases = (
        base_of(FAST, SidecarSeen(FAST, sidecar_of(), (USB,))),
        base_of(USB, SidecarSeen(USB, sidecar_of("n"), (USB,)), refs={}, writable=False),
        base_of("/copy", tier_id=f"id{USB}", writable=False),
    )

    plan = plan_reconcile(Seen(bases, (seen_row(row_of(), USB),)))

    assert said(plan) == [("placed", "m", USB), ("sidecar_removed", "m", FAST), ("added", "n", USB)]


def test_the_copy_of_a_base_gets_an_id_of_its_own() -> None:
    """Two tiers of one id would share reservations."""
    bases = (base_of(FAST, tier_id="one"), base_of(USB, tier_id="one"))

    assert said(plan_reconcile(Seen(bases, ()))) == [("new_id", "", USB)]


def test_whole_snapshots_of_nobody_are_only_named() -> None:
    """Adopting them is another command."""
    found = Unregistered(FAST, "org/other", C2, 5)

    plan = plan_reconcile(Seen((base_of(FAST),), (), snapshots=(found,)))

    assert (plan.steps, plan.unregistered) == ((), (found,))
