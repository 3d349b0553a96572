"""A `llama-server` in Python: llama.cpp's own server out of the wheel xllamacpp, started with the same words.

The model is loaded before the server listens, and llama.cpp says where. It runs in a process of its own: nothing else
imports it.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping
from typing import NoReturn

import xllamacpp

_CARDS = {
    xllamacpp.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_GPU,
    xllamacpp.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_IGPU,
}
_RANK = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK


def parse(words: list[str]) -> argparse.Namespace:
    """Return what the command says, as `llama-server` spells it."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--model", required=True)
    for name in ("--alias", "--mmproj", "--lora"):
        parser.add_argument(name, default="")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    for name in ("--ctx-size", "--parallel", "--n-gpu-layers", "--threads", "--batch-size", "--ubatch-size"):
        parser.add_argument(name, type=int)
    parser.add_argument("--main-gpu", type=int)
    for name in ("--kv-unified", "--embedding", "--reranking"):
        parser.add_argument(name, action="store_true")
    return parser.parse_args(words)


def has_card() -> bool:
    """Return whether llama.cpp can use a graphics card here."""
    return any(device["type"] in _CARDS for device in xllamacpp.get_device_info())


def params_of(said: argparse.Namespace, key: str, has_card: bool) -> xllamacpp.CommonParams:
    """Return llama.cpp's parameters.

    Args:
        said: The command.
        key: What a request must bring; empty for none.
        has_card: Whether some of the layers may be put on a card; to find how many fit, it loads the model twice.
    """
    params = xllamacpp.CommonParams()
    params.model.path, params.hostnames, params.port = said.model, [said.host], said.port
    params.api_keys = [key] if key else []
    params.model_alias = {said.alias} if said.alias else set()
    params.offline, params.ui, params.fit_params = True, False, has_card
    params.mmproj.path = said.mmproj
    params.kv_unified = said.kv_unified
    params.embedding = said.embedding or said.reranking
    if said.reranking:
        params.pooling_type = _RANK
    if said.lora:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(said.lora, 1.0)]
    numbers = {
        "n_ctx": said.ctx_size,
        "n_parallel": said.parallel,
        "n_gpu_layers": said.n_gpu_layers,
        "n_batch": said.batch_size,
        "n_ubatch": said.ubatch_size,
        "main_gpu": said.main_gpu,
    }
    for name, number in numbers.items():
        if number is not None:
            setattr(params, name, number)
    if said.threads is not None:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = said.threads
    return params


def main(environ: Mapping[str, str]) -> NoReturn:
    """Serve until a signal ends the process: there is nothing to put away."""
    server = xllamacpp.Server(params_of(parse(sys.argv[1:]), environ.get("LLAMA_API_KEY", ""), has_card()))
    sys.stdout.write(f"listening on {server.listening_address}\n")
    sys.stdout.flush()
    while True:
        signal.pause()


if __name__ == "__main__":
    import os

    main(os.environ)  # noqa: TID251 - a program of its own, which is told its key so
