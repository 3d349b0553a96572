"""What a model is by its files' parsed headers, without loading it.

What no file says is unknown: None, or empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelshelf.domain.engine_kinds import EngineKind
from modelshelf.domain.gguf import GgufHeader, has_tools
from modelshelf.domain.model_card import ModelCard
from modelshelf.domain.model_config import ModelConfig
from modelshelf.domain.model_memory import KvShape, Memory, memory_for
from modelshelf.domain.models import FileEntry
from modelshelf.domain.safetensors import SafetensorsHeader, main_type, parameters
from modelshelf.domain.weight_files import (
    GGUF,
    GGUF_ADAPTER,
    PYTORCH,
    SAFETENSORS,
    FileGroup,
    WeightFormat,
    formats_of,
    groups_of,
    in_part,
    missing_parts,
    quantisation_in,
)

USUAL_CONTEXT = 8192
"""Tokens for which memory is shown, unless the model takes fewer."""
_RUN = {
    GGUF: ("llama.cpp", "transformers"),
    SAFETENSORS: ("transformers", "vLLM", "mlx"),
    PYTORCH: ("transformers", "vLLM"),
}
"""Programs that load a format.

Source: transformers `docs/source/en/gguf.md`; vLLM `docs/models/supported_models.md`; mlx-lm's `load`, which takes
safetensors unchanged.
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of a model's files; None for what isn't there, or can't be read."""

    files: Sequence[FileEntry]
    """All files of the model, on the disk or not."""
    weights: FileGroup | None = None
    """The files that a program loads."""
    config: ModelConfig | None = None
    ggufs: Sequence[GgufHeader] = ()
    """The headers of its weights, if they are GGUF files and all of them were read."""
    tensors: SafetensorsHeader | None = None
    """The same for safetensors."""
    says_adapter: bool = False
    """Whether its weights are a GGUF file that says at its beginning that it is an adapter."""
    adapter: Mapping[str, object] | None = None
    """`adapter_config.json` of peft."""
    pipeline: str | None = None
    """The class in a pipeline's `model_index.json`."""
    card: ModelCard | None = None
    chat_template: str | None = None
    """The file that has one; empty if it is known that none has."""
    template: str | None = None
    """Its text; None where it wasn't read, because a GGUF header has it, or there is none."""
    parts: frozenset[str] = frozenset()
    """The weights that its index names; none without an index."""
    unread: Sequence[str] = ()
    """Why existing files couldn't be read, each in a sentence."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model is."""

    architecture: str | None
    """The class of transformers or diffusers, or the architecture of llama.cpp."""
    parameters: int | None
    experts: int | None
    """For a mixture of experts: how many each layer has."""
    experts_per_token: int | None
    context_length: int | None
    """Tokens."""
    quantisation: str | None
    """How most of its weights are written."""
    formats: Sequence[str]
    license: str | None
    base_models: Sequence[str]
    tags: Sequence[str]
    chat_template: bool | None
    chat_template_file: str
    """Empty without one."""
    runs_with: Sequence[str]
    """Programs that load its formats, of transformers, llama.cpp, vLLM, mlx and diffusers."""
    weights_bytes: int | None
    """The total size of the files that a program loads."""
    kv_shape: KvShape | None
    unread: Sequence[str]
    missing_parts: int
    """How many parts of its weights aren't among its files: if any, no program loads it."""
    kind: EngineKind = EngineKind.GENERATE
    """What it is for."""
    takes_tools: bool = True
    """Whether its chat template has a place for tools, or that isn't known."""
    takes_media: bool = True
    """Whether its configuration says that it reads pictures or sounds, or that isn't known."""
    needs_code: bool = False
    """Whether transformers would run code of its own to load it."""

    @property
    def is_pickle(self) -> bool:
        """Whether what transformers loads are Python pickles, which can run code: there is nothing safer beside."""
        return PYTORCH in self.formats and SAFETENSORS not in self.formats

    @property
    def lacks_template(self) -> bool:
        """Whether it is known that nothing of it says how a conversation is put; code of its own may."""
        return self.chat_template is False and not self.needs_code

    def memory(self, context: int | None = None) -> Memory | None:
        """Return the model's memory.

        Args:
            context: In tokens; None for the usual number, or all that the model takes.
        """
        context = context or min(USUAL_CONTEXT, self.context_length or USUAL_CONTEXT)
        return memory_for(self.weights_bytes, self.kv_shape, context)


def judge(found: Found) -> ModelFacts:
    """Return what a model is."""
    config, card = found.config or ModelConfig(), found.card or ModelCard()
    header = found.ggufs[0] if found.ggufs else None
    changed = _changed(found, header)
    base_models = (changed,) if changed else card.base_models
    missing = missing_parts(found.weights, {file.path for file in found.files}, found.parts)
    return ModelFacts(
        architecture=_architecture(found, config, header),
        parameters=_parameters(found, config),
        experts=config.experts or (_of(header, "expert_count") or None),
        experts_per_token=config.experts_per_token or (_of(header, "expert_used_count") or None),
        context_length=config.context_length or _of(header, "context_length"),
        quantisation=_quantisation(found, config, header),
        formats=formats_of(found.files),
        license=card.license or (header.text("general.license") if header else None),
        base_models=base_models,
        tags=card.tags,
        chat_template=None if found.chat_template is None else bool(found.chat_template),
        chat_template_file=found.chat_template or "",
        runs_with=_runs_with(found, config) if not missing else (),
        weights_bytes=found.weights.size_bytes if found.weights else None,
        kv_shape=config.kv_shape or (_kv_shape(header) if header else None),
        unread=(*found.unread, in_part(missing)) if missing else found.unread,
        missing_parts=missing,
        kind=_kind(found, config, header),
        takes_tools=header.takes_tools if header else found.template is None or has_tools(found.template),
        takes_media=config.takes_media,
        needs_code=config.has_code,
    )


def _changed(found: Found, header: GgufHeader | None) -> str | None:
    """Return the base model that an adapter names; None where it names none, or it isn't an adapter."""
    if header is not None and header.is_adapter:
        return header.base_repo
    said = (found.adapter or {}).get("base_model_name_or_path")
    return said if isinstance(said, str) and said else None


_POOLS, _RANKS = (1, 2, 3), 4
"""Source: `llama_pooling_type` of llama.h: none, mean, cls, last, rank."""


def _kind(found: Found, config: ModelConfig, header: GgufHeader | None) -> EngineKind:
    """Return what a model is for; what says nothing of it writes text.

    Source: sentence-transformers writes `modules.json`; the endings are those of the classes of transformers.
    """
    if header is not None:
        pooling = _of(header, "pooling_type")
        reads = header.metadata.get(f"{header.text('general.architecture')}.attention.causal") is False
        return EngineKind.RERANK if pooling == _RANKS else EngineKind.EMBED if pooling in _POOLS or reads else _WRITER
    architecture = config.architecture or ""
    if architecture.endswith("ForSequenceClassification"):
        return EngineKind.RERANK
    is_encoder = architecture.endswith(("Model", "ForMaskedLM")) and not architecture.endswith("LMHeadModel")
    return EngineKind.EMBED if is_encoder or _has_modules(found.files) else _WRITER


_WRITER = EngineKind.GENERATE


def _has_modules(files: Sequence[FileEntry]) -> bool:
    return any(file.path == "modules.json" for file in files)


def _architecture(found: Found, config: ModelConfig, header: GgufHeader | None) -> str | None:
    if found.adapter is not None and config.architecture is None:
        kind = found.adapter.get("peft_type")
        return f"{kind[:40] if isinstance(kind, str) else 'peft'} adapter"
    if header is not None and header.is_adapter:
        return f"{(header.text('adapter.type') or 'GGUF')[:40]} adapter"
    return found.pipeline or config.architecture or (header.text("general.architecture") if header else None)


def _parameters(found: Found, config: ModelConfig) -> int | None:
    if found.ggufs:
        return sum(header.parameters for header in found.ggufs) or None
    return parameters(found.tensors, config.bits) if found.tensors else None


def _quantisation(found: Found, config: ModelConfig, header: GgufHeader | None) -> str | None:
    said = header.quantisation if header else config.quantisation
    if said is None and found.tensors is not None:
        said = main_type(found.tensors)
    return said or (quantisation_in(found.weights.files[0].path) if found.weights else None) or None


def weight_format(found: Found) -> WeightFormat:
    """Return how a model's weights are written; of what MLX quantised, its name is the format."""
    config, header = found.config or ModelConfig(), found.ggufs[0] if found.ggufs else None
    quantisation = _quantisation(found, config, header) or ""
    if config.is_mlx:
        return WeightFormat("MLX", quantisation.removeprefix("mlx "))
    if found.says_adapter:
        return WeightFormat(GGUF_ADAPTER, quantisation)
    return WeightFormat(found.weights.format if found.weights else "", quantisation)


def _runs_with(found: Found, config: ModelConfig) -> list[str]:
    if found.pipeline:
        return ["diffusers"]
    if config.is_mlx:
        return ["mlx"]
    able = [name for kind in formats_of(found.files) for name in _RUN.get(kind, ())]
    return list(dict.fromkeys(able))


def _of(header: GgufHeader | None, key: str) -> int | None:
    """Return a number that a GGUF file has under its architecture's name."""
    return header.number(f"{header.text('general.architecture')}.{key}") if header else None


def _kv_shape(header: GgufHeader) -> KvShape | None:
    """Return how the cache of a GGUF model grows; an upper bound if some layers have a window.

    Source: llama.cpp `src/llama-hparams.cpp`, and the keys of the GGUF specification.
    """
    arch = header.text("general.architecture")
    if header.metadata.get(f"{arch}.attention.causal") is False:
        return KvShape(0)
    layers, heads, width = (_of(header, key) for key in ("block_count", "attention.head_count", "embedding_length"))
    per_layer = header.numbers(f"{arch}.attention.head_count_kv")
    same = _of(header, "attention.head_count_kv") or heads
    kv_heads = sum(per_layer) if per_layer else (layers or 0) * (same or 0)
    head_dim = width // heads if width and heads else None
    key, value = (_of(header, f"attention.{part}_length") or head_dim for part in ("key", "value"))
    return KvShape(kv_heads * (key + value)) if kv_heads and key and value else None


def quantisations(files: Sequence[FileEntry]) -> list[FileGroup]:
    """Return the GGUF models among the files, of which a person chooses one."""
    return [group for group in groups_of(files) if group.format == GGUF]
