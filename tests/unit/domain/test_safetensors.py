"""What the header of a safetensors file says."""

from __future__ import annotations

import pytest

from modelshelf.domain.safetensors import SafetensorsHeader, header_of, main_type, merged, parameters
from modelshelf.errors import BadInput


def tensor(kind: str, *shape: int) -> dict[str, object]:
    """Return a tensor's entry in a header."""
    return {"dtype": kind, "shape": list(shape), "data_offsets": [0, 0]}


def test_parameters_are_counted_over_all_parts() -> None:
    """Parameters are added up over all files of a model."""
    first = header_of({"__metadata__": {"format": "pt"}, "a.weight": tensor("BF16", 10, 10)})
    second = header_of({"b.weight": tensor("BF16", 5), "b.bias": tensor("F32", 2), "ids": tensor("I64", 512)})

    both = merged([first, second])

    assert (parameters(both, None), main_type(first), main_type(merged([]))) == (107, "BF16", None)


def test_names_are_known_by_their_words() -> None:
    """The words of the tensors' names are kept without numbers, and of very many only some."""
    assert header_of({"a.0.weight": tensor("F32", 1)}).words == {"a", "weight"}
    assert len(header_of({f"x{number}": tensor("F32", 1) for number in range(5000)}).words) == 4096


@pytest.mark.parametrize(
    ("tensors", "bits", "count"),
    [
        ({"q.qweight": tensor("I32", 8, 64), "q.qzeros": tensor("I32", 8), "q.scales": tensor("F16", 8)}, 4, 4096),
        ({"q.weight": tensor("U8", 100, 1), "q.weight.absmax": tensor("F32", 9)}, 4, 200),
        ({"q.weight": tensor("U32", 4, 8), "q.scales": tensor("BF16", 2), "n.weight": tensor("BF16", 5)}, 4, 261),
        ({"e.gate_up_proj_blocks": tensor("U8", 10), "e.gate_up_proj_scales": tensor("U8", 3)}, 4, 20),
        ({"q.weight": tensor("F8_E4M3", 100), "q.weight_scale_inv": tensor("F32", 2)}, 8, 100),
        ({"q.qweight": tensor("I32", 8)}, None, None),
        ({"ids": tensor("I64", 8)}, None, None),
    ],
    ids=["gptq", "bitsandbytes", "mlx", "mxfp4", "fp8", "packed, nobody says how", "no weights"],
)
def test_packed_weights_are_counted_one_by_one(tensors: dict[str, object], bits: int | None, count: int | None) -> None:
    """Quantised weights packed into one number count each; scales and zero points don't."""
    assert parameters(header_of(tensors), bits) == count


@pytest.mark.parametrize(
    "said",
    [
        [],
        {"a": {"dtype": "F32"}},
        {"a": {"dtype": 7, "shape": [1]}},
        {"a": {"dtype": "F32", "shape": [-1]}},
        {"a": {"dtype": "F32", "shape": [1] * 17}},
        {"a": {"dtype": "F32", "shape": [2**62, 2**62]}},
    ],
    ids=["a list", "no shape", "no type", "a negative shape", "many dimensions", "too much"],
)
def test_what_is_no_header_is_refused(said: object) -> None:
    """A header that doesn't follow the format is refused."""
    with pytest.raises(BadInput):
        header_of(said)


def test_a_type_of_tomorrow_is_no_weight() -> None:
    """A tensor of an unknown type counts as zero parameters."""
    assert parameters(SafetensorsHeader({("Q9", "weight"): 7}), None) is None
