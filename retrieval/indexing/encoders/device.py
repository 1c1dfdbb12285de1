"""A process with an encoder, from outside. When it ends, what it held is given back.

The pixels lie in slots that both map; what has none is sent. A thread hears the answers.
"""

import pickle
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple

from clipmodel.errors import DeviceError, DeviceFault, DeviceFaultKind
from retrieval.decoding.ring import messages
from retrieval.decoding.ring.memory import Ring, slot_of
from retrieval.decoding.worker import PIPE_ERRORS, Processes, end, handshake
from retrieval.indexing.encoders.device_process import EncoderReply
from retrieval.indexing.encoders.engine import (
    EncodedRows,
    EngineLost,
    LoadEncoder,
    LoadQueryBank,
    Traits,
)
from retrieval.indexing.encoding import EncodedBatch, Picture

PROGRAM = "retrieval.indexing.encoders.device_process"
MAX_RESTARTS = 1  # of a device, in one run
REMEDY = "try again, or use --device cpu"


class Sent(NamedTuple):
    """A micro-batch that the process has. The pictures keep their slots in use."""

    pictures: list[Picture]
    result: "Future[EncodedBatch]"


class Start:
    """One process of an engine, from its start to its end."""

    def __init__(self, number: int, process: subprocess.Popen[bytes]) -> None:
        """number: 1 for the engine's first process."""
        self.number = number
        self.process = process
        self.traits: Future[Traits] = Future()
        self.fault: DeviceFault | None = None  # why it ended, in its own words
        self._lock = threading.Lock()
        self._sent: dict[int, Sent] = {}
        self._batches = 0
        self._is_loading = True  # `traits` have no result yet
        self._has_ended = False

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        with suppress(OSError, ValueError):  # it has ended, as `listen` notices, and may close it
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def encode(self, pictures: list[Picture], placed: list[messages.Placed]) -> Sent:
        sent = Sent(pictures, Future())
        sent.result.set_running_or_notify_cancel()  # it cannot be called back
        with self._lock:
            self._batches += 1
            if not (has_ended := self._has_ended):
                self._sent[self._batches] = sent
        if has_ended:
            sent.result.set_exception(EngineLost(self.number, "its process has ended"))
        else:  # without the lock: answers must be taken while the pipe is full
            self.send(pickle.dumps((self._batches, placed), pickle.HIGHEST_PROTOCOL))
        return sent

    def listen(self) -> None:
        """Take the answers until the process ends."""
        assert self.process.stdout is not None
        try:
            with suppress(*PIPE_ERRORS, ValueError):  # ValueError: the pipe was closed here
                while True:
                    self._take(EncoderReply(*messages.read(self.process.stdout)))
        finally:  # also after a mistake of ours: the run waits for all of them
            self._give_back(f"its process ended: {end(self.process)}")

    def give_up(self, reason: str) -> None:
        """End the process, without waiting for it: a driver that hangs may keep it for ever."""
        self.fault = DeviceFault(DeviceFaultKind.LOST, reason, REMEDY)
        self.process.kill()
        self._give_back(reason)

    def _give_back(self, reason: str) -> None:
        lost = EngineLost(self.number, reason)
        with self._lock:
            self._has_ended = True
            given_back, self._sent = self._sent, {}  # and their slots, once they are encoded
            is_loading, self._is_loading = self._is_loading, False
        if is_loading:
            self.traits.set_exception(lost)
        for sent in given_back.values():
            sent.result.set_exception(lost)

    def _take(self, answer: EncoderReply) -> None:
        if answer.is_lost:  # the end of the pipe follows
            assert isinstance(answer.error, DeviceError)
            self.fault = answer.error.fault
            return
        future: Future[Any] = self.traits
        value: Any = answer.result
        with self._lock:
            if self._has_ended:
                return  # given up: it answers too late
            if answer.number:
                pictures, future = self._sent.pop(answer.number)
            else:
                self._is_loading = False
        if isinstance(answer.result, EncodedRows):
            value = answer.result.of(pictures)
        if answer.error:
            future.set_exception(answer.error)
        else:
            future.set_result(value)


class DeviceEngine:
    """An encoder for one device, in a process of its own."""

    def __init__(
        self,
        device: str,
        encoder: LoadEncoder,
        query_bank: LoadQueryBank | None,
        ring: Callable[[], Ring | None],
    ) -> None:
        """encoder, query_bank: called in the process, so pickle must take them. ring: returns the
        slots of the pictures to come, called when the engine is started.
        """
        self._device = device
        self._make_ring = ring
        self._ring: Ring | None = None
        self._how = encoder, query_bank
        self._processes = Processes()
        self._starts: list[Start] = []

    @property
    def traits(self) -> "Future[Traits]":
        return self._starts[-1].traits

    def start(self) -> None:
        self._ring = ring = self._make_ring()
        shared = ring.shared if ring else None
        process = self._processes.start(PROGRAM, shared)
        start = Start(len(self._starts) + 1, process)
        self._starts.append(start)
        threading.Thread(target=start.listen, name="device", daemon=True).start()
        start.send(handshake(self._device, *self._how, shared))

    def encode(self, pictures: list[Picture]) -> "Future[EncodedBatch]":
        placed = [self._placed(each) for each in pictures]
        return self._starts[-1].encode(pictures, placed).result

    def restart(self, lost: EngineLost) -> None:
        """Start a new process in place of one that ended. Raises DeviceError at the second end."""
        last = self._starts[-1]
        if lost.number < last.number:
            return  # done, for another micro-batch that was lost with it
        if len(self._starts) > MAX_RESTARTS:
            fault = last.fault or DeviceFault(DeviceFaultKind.LOST, lost.reason, REMEDY)
            raise DeviceError(self._device, fault)
        self.start()

    def give_up(self, seconds: float) -> None:
        self._starts[-1].give_up(f"no answer for {seconds:,.0f} seconds")

    def close(self) -> None:
        self._processes.kill_all()
        for start in self._starts:
            end(start.process)

    def _placed(self, picture: Picture) -> messages.Placed:
        slot = slot_of(picture.pixels)
        return slot.number if slot and slot.ring is self._ring else picture.pixels
