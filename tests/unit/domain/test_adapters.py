"""A base model counts as used when an adapter of it on its tier, or on a faster one, was used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelshelf.domain.adapters import Need, Seen, need_of, preferred
from modelshelf.domain.eviction import Candidate, plan_eviction
from modelshelf.domain.models import ModelRow
from modelshelf.domain.names import ModelName
from modelshelf.domain.tiers import Room
from modelshelf.domain.watermarks import Watermarks
from tests.unit.domain.test_clean import row

PLACE = ("org/base", "a" * 40)


def adapter(name: str, location: str, *, used_at: float | None = None) -> ModelRow:
    """Return an adapter on a tier that came at 100."""
    return replace(row(name), cache_location=location, arrived_at=100.0, last_used_at=used_at)


@pytest.mark.parametrize(
    ("tier", "names"),
    [("primary", ("fast",)), ("secondary", ("fast", "slow"))],
)
def test_adapters_on_the_tier_and_on_faster_ones_need_it(tier: str, names: tuple[str, ...]) -> None:
    """A base is needed by the adapters on its tier and on faster ones, not by those on slower or unknown disks."""
    adapters = [adapter("slow", "secondary"), adapter("fast", "primary"), adapter("usb", "custom")]

    need = need_of(adapters, tier)

    assert need is not None
    assert need.adapters == names


def test_a_base_without_an_adapter_there_is_not_needed() -> None:
    """A base whose adapters are all on slower tiers isn't needed on its own."""
    assert need_of([adapter("slow", "secondary")], "primary") is None


def test_an_adapter_that_was_never_used_counts_from_its_arrival() -> None:
    """Of several adapters the one that was used or came last counts."""
    need = need_of([adapter("old", "primary", used_at=50.0), adapter("new", "primary")], "primary")

    assert need == Need((ModelName("new"), ModelName("old")), 100.0)


@pytest.mark.parametrize(
    ("seen", "used_at"),
    [
        (Seen(), 10.0),
        (Seen({PLACE: 20.0}), 20.0),
        (Seen({PLACE: 20.0}, {PLACE: Need((ModelName("lora"),), 30.0)}), 30.0),
        (Seen({PLACE: 5.0}, {PLACE: Need((ModelName("lora"),), 6.0)}), 10.0),
    ],
    ids=["itself", "another program", "an adapter", "itself last"],
)
def test_the_last_use_counts_whoever_it_was(seen: Seen, used_at: float) -> None:
    """A placement's last use is the latest of its own, another program's and its adapters'."""
    assert seen.later(PLACE, 10.0) == used_at


def test_who_needs_a_placement_is_named() -> None:
    """A placement's adapters are named, and none for another placement."""
    seen = Seen({}, {PLACE: Need((ModelName("lora"),), 30.0)})

    assert (seen.needed_by(PLACE), seen.needed_by(("org/other", "b" * 40))) == (("lora",), ())


def test_a_base_with_a_used_adapter_is_not_the_first_to_go() -> None:
    """Of two models that were used equally long ago, the one without a newly used adapter leaves."""
    seen = Seen({}, {PLACE: Need((ModelName("lora"),), 900.0)})
    base = Candidate("base", 1, 100, seen.later(PLACE, 10.0), 0.0, needed_by=seen.needed_by(PLACE))
    other = Candidate("other", 2, 100, 20.0, 0.0)

    plan = plan_eviction(50, Room(200, 200, 0, 10_000, 0), [base, other], Watermarks(low=1.0, min_stay_s=0), 1000.0)

    assert plan.model_names == ["other"]


def test_an_adapter_in_gguf_takes_a_gguf() -> None:
    """An adapter in GGUF takes a GGUF of the repository that it names, or made from that; else what there is."""
    gguf, plain = replace(row("gguf"), format="GGUF"), replace(row("plain"), format="safetensors")
    made = replace(row("made"), format="GGUF")

    assert preferred([plain, gguf], [made], "GGUF") == [gguf]
    assert preferred([plain], [made], "GGUF") == [made]
    assert preferred([plain], [], "GGUF") == [plain]
