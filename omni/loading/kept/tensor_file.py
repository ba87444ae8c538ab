"""A safetensors file that is written piece by piece, so that it can be broken off.

Knows: the format (a header of JSON, then all values), how much is written before the disk has to
have it. Does not know: which tensors, where the file goes.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

PIECE_BYTES = 16_000_000  # written at once
SYNC_BYTES = 64_000_000  # after so many the disk has to have them: a slow one within a second
ALIGNED = 8  # bytes, to which the header is filled up
NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def header(tensors: Iterable[tuple[str, torch.dtype, Sequence[int]]]) -> bytes:
    """Of a file of these tensors in this order: name, dtype and shape of each.

    Its length (8 bytes), then JSON.
    """
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for name, dtype, shape in tensors:
        end = begin + torch.Size(shape).numel() * dtype.itemsize
        entries[name] = {
            "dtype": NAMES[dtype],
            "shape": list(shape),
            "data_offsets": [begin, end],
        }
        begin = end
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % ALIGNED)
    return struct.pack("<Q", len(text)) + text


def write_tensors(path: Path, tensors: Mapping[str, Tensor], look_up: Callable[[], None]) -> None:
    """Write ``tensors`` (on the CPU) into ``path``; ``look_up`` is called between pieces.

    Those with the widest values come first, so that all are aligned.
    """
    order = sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0]))
    with path.open("wb") as file:
        file.write(header((name, tensor.dtype, tensor.shape) for name, tensor in order))
        waiting = 0
        for _, tensor in order:
            values = tensor.contiguous().reshape(-1).view(torch.uint8)
            for piece in values.split(PIECE_BYTES):
                look_up()
                file.write(piece.numpy().data)
                waiting += len(piece)
                if waiting >= SYNC_BYTES:
                    file.flush()
                    os.fsync(file.fileno())
                    waiting = 0
