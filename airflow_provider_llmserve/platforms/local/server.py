"""One model server process: ``python -m airflow_provider_llmserve.platforms.local.server NAME``.

Reads its :class:`Launch` as one JSON line from stdin, prints where it listens as one line, and serves for as long as stdin stays
open: the kernel closes it when the supervisor ends, however it ends, so no server outlives its supervisor (:mod:`.leash`).
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_llmserve.platforms.local import leash


@dataclass(frozen=True)
class Launch:
    """What a server process is told."""

    model: str
    adapters: list[str]
    socket: str
    alias: str
    embedding: bool
    slots: int
    slot_context: int
    threads: int

    def to_line(self) -> bytes:
        """As :func:`main` reads it: one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"


def main() -> None:
    """Serve what the first line of standard input says; the address goes to standard output once the model is loaded."""
    launch = Launch(**json.loads(sys.stdin.buffer.readline()))
    leash.tie()
    try:
        server = _start(launch)
        print(server.listening_address, flush=True)
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # a Server's destructor waits for running generations, and an interpreter that ends calls it
    threading.Event().wait()


def _start(launch: Launch) -> Any:
    # The wheel's libgomp spins in its barriers: with more threads than free cores generation falls from 45 to 3 tokens a second.
    os.environ["GOMP_SPINCOUNT"] = "1000"
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = launch.model
    params.hostnames = [launch.socket]
    params.model_alias = {launch.alias}
    params.n_parallel = launch.slots
    params.n_ctx = launch.slots * launch.slot_context  # it is the sum over the slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = launch.threads
    params.cache_ram_mib = 0  # the host prompt cache is keyed by tokens alone and mixes adapters
    params.check_tensors = True
    params.verbosity = 2
    # Scale 0: a request names its adapter; lora_init_without_apply has no effect in this build.
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 0.0) for path in launch.adapters]
    if launch.embedding:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        params.n_ubatch = launch.slot_context  # a text must fit into one physical batch
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
