"""Libraries that load models from the hub face, with and without a key, and from a tier in place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.conftest import KEY, Client, Library
from tests.world import tree

WORDS = """
from tokenizers import Tokenizer, models, pre_tokenizers
words = Tokenizer(models.WordLevel({"[UNK]": 0, "[PAD]": 1, "hello": 2, "world": 3}, unk_token="[UNK]"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
words.save("made/tokenizer.json")
"""
BERT = """
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
BertModel(BertConfig(vocab_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
    max_position_embeddings=16)).save_pretrained({0!r})
words = PreTrainedTokenizerFast(tokenizer_file="made/tokenizer.json", unk_token="[UNK]", pad_token="[PAD]")
words.save_pretrained({0!r})
"""
MAKE = {
    "tokenizers": WORDS,
    "transformers": WORDS + BERT.format("made"),
    "sentence-transformers": WORDS
    + BERT.format("base")
    + "from sentence_transformers import SentenceTransformer\nSentenceTransformer('base').save('made')\n",
    "diffusers": "from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel\n"
    "unet = UNet2DModel(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(32,), layers_per_block=1,"
    " down_block_types=('DownBlock2D',), up_block_types=('UpBlock2D',))\n"
    "DDPMPipeline(unet, DDPMScheduler()).save_pretrained('made')\n",
}
LOAD = {
    "tokenizers": "from tokenizers import Tokenizer; print(Tokenizer.from_pretrained({0!r}).encode('hello').ids)",
    "transformers": "from transformers import AutoModel, AutoTokenizer as T; AutoModel.from_pretrained({0!r});"
    "print(T.from_pretrained({0!r})('hello').input_ids)",
    "sentence-transformers": "from sentence_transformers import SentenceTransformer as S;"
    "print(S({0!r}).encode(['hello']).shape)",
    "diffusers": "from diffusers import DDPMPipeline as P; print(type(P.from_pretrained({0!r})).__name__)",
}
SAYS = {"tokenizers": "[2]", "transformers": "[2]", "sentence-transformers": "(1, 8)", "diffusers": "DDPMPipeline"}


@pytest.fixture(scope="module", params=MAKE)
def library_name(request: pytest.FixtureRequest, library: Library, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Each library, with a tiny model of its own making on the shelf."""
    name = str(request.param)
    maker = Client(name, tmp_path_factory.mktemp(name))
    (maker.root / "made").mkdir()
    made = maker.python(MAKE[name])
    assert made.returncode == 0, made.stderr
    library.add(f"org/tiny-{name}", tree(maker.root / "made"))
    return name


@pytest.mark.parametrize("place", ["with a key", "without", "in place"])
def test_a_model_loads(library: Library, library_name: str, tmp_path: Path, place: str) -> None:
    """The library's own `from_pretrained` loads the model."""
    client = Client(library_name, tmp_path)
    code = LOAD[library_name].format(f"org/tiny-{library_name}")

    if place == "in place":
        done = client.python(code, HF_HOME=str(library.home.primary), HF_HUB_OFFLINE="1")
    elif place == "without":
        done = client.python(code, url=library.open_url)
    else:
        done = client.python(code, url=library.keyed_url, HF_TOKEN=KEY)

    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().splitlines()[-1] == SAYS[library_name]


def test_a_wrong_key_loads_nothing(library: Library, library_name: str, tmp_path: Path) -> None:
    """With a wrong key the library fails and leaves nothing in its cache."""
    client = Client(library_name, tmp_path)

    done = client.python(LOAD[library_name].format(f"org/tiny-{library_name}"), url=library.keyed_url, HF_TOKEN="hf_no")

    assert done.returncode != 0
    assert client.files(f"org/tiny-{library_name}") == {}
