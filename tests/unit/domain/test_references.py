"""What people type for a model on the hub."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.domain.patterns import Selection
from modelshelf.domain.references import (
    Reference,
    is_projector,
    parse_reference,
    patterns_of_quantisation,
    reference_in,
)
from modelshelf.errors import BadInput

HUB = "http://hub:8000/hf"
COMMIT = "c" * 40
PART = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9]|[._](?=[A-Za-z0-9])){0,12}", fullmatch=True).filter(
    lambda text: not text.endswith((".git", ".ipynb")) and text not in ("tree", "blob", "resolve", "raw", "commit")
)
ORG = PART.filter(lambda text: text not in ("datasets", "spaces", "kernels", "buckets"))
QUANTISATION = st.sampled_from(["Q4_K_M", "q8_0", "F16", "BF16", "IQ2_XXS", "UD-Q4_K_XL", "i1-Q4_K_M", "mxfp4"])


@given(ORG, PART)
def test_every_spelling_of_an_id_means_the_id(org: str, name: str) -> None:
    """With host, scheme or blanks around it, an id means the same repository at no given revision."""
    spellings = (
        "{0}",
        " {0}\n",
        "hf://{0}",
        "hf.co/{0}",
        "HF.co/{0}/",
        "huggingface.co/{0}",
        "https://huggingface.co/{0}?library=transformers#use",
        f"{HUB}/{{0}}",
    )

    for spelling in spellings:
        assert parse_reference(spelling.format(f"{org}/{name}"), HUB) == Reference(f"{org}/{name}"), spelling


@given(st.text() | st.text("hf:/@%refs.cotrblaq0123?#").map(lambda text: f"hf.co/{text}"), st.sampled_from(["", HUB]))
def test_any_text_is_a_model_or_an_error_with_the_way_out(text: str, endpoint: str) -> None:
    """Any text gives a model or a BadInput with a hint."""
    hint = ""
    try:
        parse_reference(text, endpoint)
    except BadInput as err:
        hint = err.hint or "none"

    assert hint != "none"


@pytest.mark.parametrize(
    ("text", "repo_id", "revision", "patterns"),
    [
        ("https://huggingface.co/org/m/tree/main", "org/m", "main", ()),
        ("https://huggingface.co/org/m/tree/refs%2Fpr%2F1/deep%20er", "org/m", "refs/pr/1", ("deep er/",)),
        ("https://huggingface.co/org/m/tree/refs/pr/1", "org/m", "refs/pr/1", ()),
        ("https://huggingface.co/org/m/blob/v1/a[1].gguf", "org/m", "v1", ("a[[]1].gguf",)),
        ("https://huggingface.co/gpt2/resolve/main/m.bin?download=true", "gpt2", "main", ("m.bin",)),
        (f"hf.co/org/m/raw/{COMMIT}/sub/config.json", "org/m", COMMIT, ("sub/config.json",)),
        (f"https://hf.co/org/m/commit/{COMMIT}", "org/m", COMMIT, ()),
        (f"{HUB}/org/m/tree/v2", "org/m", "v2", ()),
        ("org/m/resolve/main/sub/a.gguf", "org/m", "main", ("sub/a.gguf",)),
        ("hf://org/m@v1/sub/a.bin", "org/m", "v1", ("sub/a.bin",)),
        ("hf://org/m@refs%2Fpr%2F1", "org/m", "refs%2Fpr%2F1".replace("%2F", "/"), ()),
        ("hf://org/m/sub/", "org/m", None, ("sub/",)),
        ("hf.co/org/m/blob/main/m-00002-of-00003.gguf", "org/m", "main", ("m-*-of-00003.gguf",)),
        ("https://huggingface.co/org/m?show_file_info=a-00001-of-00002.gguf", "org/m", None, ("a-*-of-00002.gguf",)),
        ("https://hf.co/org/m/tree/v1?show_file_info=sub%2Fa.gguf#x", "org/m", "v1", ("sub/a.gguf",)),
        ("https://huggingface.co/org/m/discussions/7", "org/m", None, ()),
        ("hf.co/org/m/commits/v1", "org/m", "v1", ()),
        ("hf.co/org/m/edit/main/README.md", "org/m", "main", ()),
        ("https://huggingface.co/org/m.git", "org/m", None, ()),
        ("https://me:hf_secret@huggingface.co/org/m", "org/m", None, ()),
        ("git@hf.co:org/m.git", "org/m", None, ()),
        ('"org/m"', "org/m", None, ()),
        ("`org/m`", "org/m", None, ()),
        ("models--org--m", "org/m", None, ()),
        ("org/m@v1", "org/m", "v1", ()),
        ("hf.co/org/m@refs/pr/1", "org/m", "refs/pr/1", ()),
        ("org/m:latest", "org/m", None, ()),
        ("org/m/", "org/m", None, ()),
    ],
)
def test_a_pasted_address_keeps_what_it_says(
    text: str, repo_id: str, revision: str | None, patterns: tuple[str, ...]
) -> None:
    """A pasted address keeps the revision and the file, folder or split file of its page."""
    found = parse_reference(text, HUB)

    assert (found.repo_id, found.revision, found.patterns) == (repo_id, revision, patterns)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not an id",
        "org/m:",
        "org/m:a b",
        "org/m/extra",
        "hf://",
        "hf://org/m@",
        "hf.co/org/m/blob/main",
        "hf.co/org/m/resolve",
        "https://example.com/org/m",
        "http://hub:8000/other/org/m",
        "file:///org/m",
        "hf.co/org/m/blob/main/../../x",
    ],
)
def test_what_names_no_model_is_refused_with_the_forms(text: str) -> None:
    """Text that names no model is refused, and the hint lists the forms."""
    with pytest.raises(BadInput) as raised:
        parse_reference(text, HUB)

    assert "ORG/MODEL:Q4_K_M" in raised.value.hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("./m.gguf", "shelf adopt FOLDER"),
        ("/mnt/models", "shelf adopt FOLDER"),
        ("..", "shelf adopt FOLDER"),
        ("llama3.2:1b", "shelf search llama3.2"),
        ("https://ollama.com/library/llama3.2:1b", "shelf search llama3.2"),
        ("ollama.com/someone/model?x", "shelf search someone"),
        ("https://ollama.com/", "shelf search WORDS"),
        ("org/m/onnx/model.bin", "shelf add org/m --include onnx/model.bin"),
    ],
)
def test_what_others_would_understand_leads_on(text: str, hint: str) -> None:
    """A path, a name of Ollama, a revision behind an @ and a file behind a repository each have a hint of their own."""
    with pytest.raises(BadInput) as raised:
        parse_reference(text)

    assert hint in raised.value.hint


@pytest.mark.parametrize(
    "text",
    ["hf://datasets/org/x", "https://huggingface.co/spaces/org/x", f"{HUB}/kernels/org/x", "datasets--org--x"],
)
def test_what_is_no_model_is_named(text: str) -> None:
    """A data set, a Space or a kernel is refused, and the error says what it is."""
    with pytest.raises(BadInput, match=r" is a (data set|Space|kernel)\.") as raised:
        parse_reference(text, HUB)

    assert raised.value.hint == "modelshelf keeps models alone."


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("gpt2", "gpt2"),
        (f"{HUB}/org/m", "org/m"),
        ("smollm gguf", None),
        ("org/m gguf", None),
        ("llama3.2:1b", None),
    ],
)
def test_words_are_told_from_models(text: str, meant: str | None) -> None:
    """An id or an address names a model; words, and a name of Ollama, are for a search."""
    found = reference_in(text, HUB)

    assert (found and found.repo_id) == meant


@pytest.mark.parametrize("text", ["https://huggingface.co/datasets/org/x", "/my models/x", "~/m.gguf", "https://x.org"])
def test_an_address_or_a_path_is_no_search(text: str) -> None:
    """An address or a path that names no model is refused instead of being searched for."""
    with pytest.raises(BadInput):
        reference_in(text, HUB)


@given(
    QUANTISATION, st.booleans(), st.sampled_from(["model-{}.gguf", "{}/m.gguf", "m.{}-00001-of-00002.gguf", "{}.gguf"])
)
def test_a_quantisation_means_its_files(tag: str, is_upper: bool, form: str) -> None:
    """A quantisation means its files in upper or lower case, split or not, in a folder or not."""
    chosen = Selection(parse_reference(f"org/m:{tag}").patterns)

    assert form.format(tag.upper() if is_upper else tag.lower()) in chosen
    assert form.format("Q3_K_S") not in chosen
    assert form.format(f"{tag}X") not in chosen


def test_a_quantisation_is_no_part_of_another() -> None:
    """F16 doesn't match BF16; a projector comes along, and files other than GGUF don't."""
    names = ["m-F16.gguf", "m-BF16.gguf", "m-f16.gguf.part", "mmproj-model-f32.gguf", "README-F16.md", "config.json"]
    chosen = Selection(patterns_of_quantisation("f16"))

    assert [name for name in names if name in chosen] == ["m-F16.gguf", "mmproj-model-f32.gguf"]
    assert [name for name in names if is_projector(name)] == ["mmproj-model-f32.gguf"]


def test_a_tag_may_be_a_file() -> None:
    """A tag that is the name of a GGUF file means that file, as in Ollama."""
    assert parse_reference("hf.co/org/m:My-Model.gguf").patterns == ("My-Model.gguf", "*mmproj*.gguf")
