"""What a worker says of a file: tuples of plain values, which pickle reads ten times as quickly as
the records, and without the pixels that lie in a slot.
"""

import pickle
import struct
from collections.abc import Callable
from typing import IO, Any

from retrieval.decoding.ring.memory import Pixels
from retrieval.decoding.task import TaskResult
from retrieval.records import Decoded, Facts, Frame, Shot

LENGTH = struct.Struct("<I")  # of a message, before it
AT = TaskResult._fields.index("decoded")
PIXELS_AT, FACTS_AT, SHOT_AT, FRAMES_AT = map(
    Decoded._fields.index, ("pixels", "facts", "shot", "frames")
)

Placed = int | Pixels  # which of the task's slots has the pixels, or the pixels


def packed(result: TaskResult, store: Callable[[Pixels], Placed]) -> list[Any]:
    """Return a result as plain values. store: puts pixels into a slot if there is one for them."""
    values: list[Any] = list(result)
    if decoded := result.decoded:
        inner: list[Any] = list(decoded)
        values[AT] = inner
        inner[FACTS_AT], inner[SHOT_AT] = (*decoded.facts,), (*decoded.shot,)
        inner[FRAMES_AT] = [(frame.moment, store(frame.pixels)) for frame in decoded.frames]
        # With frames, the first one stands for the picture.
        inner[PIXELS_AT] = None if decoded.frames else store(decoded.pixels)
    return values


def unpacked(values: list[Any], find: Callable[[Placed], Pixels]) -> TaskResult:
    """Return the result that `packed` made these values of. find: returns the stored pixels."""
    if inner := values[AT]:
        frames = tuple(Frame(moment, find(placed)) for moment, placed in inner[FRAMES_AT])
        inner[PIXELS_AT] = frames[0].pixels if frames else find(inner[PIXELS_AT])
        inner[FRAMES_AT] = frames
        inner[FACTS_AT], inner[SHOT_AT] = Facts._make(inner[FACTS_AT]), Shot._make(inner[SHOT_AT])
        values[AT] = Decoded._make(inner)
    return TaskResult._make(values)


def sendable(error: Exception) -> Exception:
    """Return an error that pickle takes apart and puts together again, this one if it can be."""
    try:
        copy: Any = pickle.loads(pickle.dumps(error))
        return error if type(copy) is type(error) else RuntimeError(str(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


def write(pipe: IO[bytes], message: object) -> None:
    """Write a message with its length before it."""
    write_later(pipe, message)
    pipe.flush()


def write_later(pipe: IO[bytes], message: object) -> None:
    """Write a message that may wait in the pipe's buffer."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    pipe.write(LENGTH.pack(len(data)))
    pipe.write(data)


def read(pipe: IO[bytes]) -> Any:
    """Read what `write` wrote; wait for it. Raises EOFError if the writer ended before."""
    [length] = LENGTH.unpack(_exactly(pipe, LENGTH.size))
    return pickle.loads(_exactly(pipe, length))


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data


def split(received: bytearray) -> list[Any]:
    """Take the complete messages off the front of what a pipe brought so far."""
    messages, place = [], 0
    with memoryview(received) as view:
        while len(view) >= (begin := place + LENGTH.size):
            end = begin + LENGTH.unpack_from(view, place)[0]
            if len(view) < end:
                break
            messages.append(pickle.loads(view[begin:end]))
            place = end
    del received[:place]
    return messages
