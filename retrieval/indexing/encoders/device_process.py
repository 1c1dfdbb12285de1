"""A process with an encoder, from inside: it reads micro-batches and writes their vectors.

It has a lock of Python's to itself, so nothing delays the next launch on its device. It ends when
its pipe closes, or when the device is lost; then another one may find it in order.
"""

import os
import pickle
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, NamedTuple

import numpy as np

from clipmodel.errors import DeviceError
from retrieval.decoding import malloc
from retrieval.decoding.ring.memory import Pixels, SharedSlots
from retrieval.decoding.ring.messages import Placed, sendable, write
from retrieval.decoding.worker_process import claim_output, end_with
from retrieval.indexing.encoders.engine import EncodedRows, LoadEncoder, LoadQueryBank, Traits
from retrieval.indexing.encoding import Encoder
from retrieval.vectors.hubness import QueryBank


class EncoderReply(NamedTuple):
    """What the process says: of its start (number 0), of a micro-batch, or why it ends."""

    number: int
    result: Traits | EncodedRows | None
    error: Exception | None = None
    is_lost: bool = False  # it ends now


def serve(
    device: str, encoder: LoadEncoder, query_bank: LoadQueryBank | None, shared: SharedSlots | None
) -> None:
    """Encode micro-batches from standard input until it ends; write them to standard output.

    device: that the encoder is for. shared: the slots of the pictures.
    """
    malloc.keep_for_a_run()
    batches, answers = sys.stdin.buffer, claim_output()
    end_with(batches)
    process = EncoderProcess(device, answers, shared.mapped()[0] if shared else None)
    if process.load(encoder, query_bank):
        process.serve(batches)
    os._exit(0)  # a driver's own end may hang after an error


class EncoderProcess:
    """The encoder, the slots and the pipe for answers."""

    def __init__(self, device: str, answers: IO[bytes], slots: Pixels | None) -> None:
        self._device = device
        self._answers = answers
        self._answering = threading.Lock()
        self._slots = slots  # (N, S, S, 3)
        self._lanes = 1  # micro-batches that are encoded at once
        self._encoder: Encoder | None = None
        self._query_bank: QueryBank | None = None

    def load(self, encoder: LoadEncoder, query_bank: LoadQueryBank | None) -> bool:
        """Load both and answer with the encoder's traits; return whether that went well."""
        try:
            self._encoder = loaded = encoder()
            self._query_bank = query_bank() if query_bank else None
            self._device = getattr(loaded, "device", self._device)  # where it is in fact
            if self._slots is not None and self._device.startswith("cuda"):
                from clipmodel.torch_backend.page_locked import lock

                lock(self._slots)
        except Exception as error:
            self._fail(0, error)
            return False
        # Metal's backend is only safe if one thread does everything (pytorch issue 197805).
        self._lanes = 1 if self._device.startswith("mps") else loaded.slots
        self._answer(EncoderReply(0, Traits(loaded.batch_size, self._lanes)))
        return True

    def serve(self, batches: IO[bytes]) -> None:
        """Encode, in a thread for each lane; with one lane in this one, which loaded the model."""
        threads = ThreadPoolExecutor(self._lanes) if self._lanes > 1 else None
        while True:
            try:
                number, placed = pickle.load(batches)
            except (EOFError, pickle.UnpicklingError):  # the run ended, perhaps in mid-sentence
                return
            if threads:
                threads.submit(self._encode, number, placed)
            else:
                self._encode(number, placed)

    def _encode(self, number: int, placed: Sequence[Placed]) -> None:
        assert self._encoder is not None
        try:
            rows = EncodedRows.by(self._encoder, self._query_bank, self._batch(placed))
            self._answer(EncoderReply(number, rows))
        except Exception as error:
            self._fail(number, error)

    def _batch(self, placed: Sequence[Placed]) -> Pixels:
        """Return the pictures as (B, S, S, 3): as they lie in the slots, if they do in a row."""
        slots = self._slots
        if slots is not None and _is_run(placed):
            row: Pixels = slots[placed[0] : placed[-1] + 1]
            return row
        return np.stack([_found(each, slots) for each in placed])

    def _fail(self, number: int, error: Exception) -> None:
        """Answer with an error; end this process if it is of a device that a new one may use."""
        is_lost = isinstance(error, DeviceError) and error.fault.may_pass
        self._answer(EncoderReply(number, None, sendable(error), is_lost))
        if is_lost:
            os._exit(1)

    def _answer(self, answer: EncoderReply) -> None:
        with self._answering:
            write(self._answers, answer)


def _is_run(placed: Sequence[Placed]) -> bool:
    numbers = [each for each in placed if isinstance(each, int)]
    return len(numbers) == len(placed) and numbers == [*range(numbers[0], numbers[-1] + 1)]


def _found(placed: Placed, slots: Pixels | None) -> Pixels:
    if isinstance(placed, int):
        assert slots is not None
        found: Pixels = slots[placed]
        return found
    return placed
