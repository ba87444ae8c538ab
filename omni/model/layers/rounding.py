"""Weights rounded to 8 and 4 bits on a CPU, piece by piece, with bitsandbytes' own results.

Knows: what of a matrix is rounded together, the 4-bit codes. Does not know: which matrices are
rounded, what is done between two pieces.

bitsandbytes rounds a whole matrix at once, through eight arrays of its size that the caches do not
hold and for which the system clears memory every time; nobody can break that off for seconds. A
block of 4 bits (a row of 8) is rounded by itself, so pieces of a matrix give the same bits, in a
quarter of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import bitsandbytes as bnb
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

PIECE = 1 << 18  # values that are rounded at once: the caches hold them and what comes of them
LOOK_EVERY = 1 << 22  # values between two looks; a hundredth of a second on a quiet machine
LEAST = 1e-38  # that a block is divided by, as in bitsandbytes: of zeros
TRIED = (32, 1024)  # the matrix on which our codes are compared with bitsandbytes' own


class ByPieces(TorchDispatchMode):
    """Inside this context, bitsandbytes rounds what lies on the CPU piece by piece (this thread).

    ``look_up`` is called between pieces; what it raises ends the rounding.
    """

    def __init__(self, look_up: Callable[[], None]) -> None:
        super().__init__()
        self._look_up = look_up

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Every operation; all but two as they are."""
        if args and isinstance(args[0], Tensor) and args[0].device.type == "cpu" and not kwargs:
            operations = torch.ops.bitsandbytes
            if func is operations.quantize_4bit.default:
                weight, blocksize, kind, storage = args[:4]
                return four_bits(weight, blocksize, kind, storage, self._look_up)
            if func is operations.int8_vectorwise_quant.default and not any(args[1:]):
                return eight_bits(args[0], self._look_up)
        return func(*args, **kwargs or {})


def four_bits(
    weight: Tensor,
    blocksize: int,
    kind: str,
    storage: torch.dtype,
    look_up: Callable[[], None] = lambda: None,
) -> tuple[Tensor, Tensor]:
    """As ``torch.ops.bitsandbytes.quantize_4bit``.

    Args:
        weight: any shape, floating point.
        blocksize: values with one scale.
        kind: nf4 or fp4.
        storage: of the bytes.

    Returns:
        Two codes a byte (bytes, 1), and the scales of all blocks, float32.
    """
    if weight.numel() % blocksize or storage != torch.uint8 or weight.numel() % 2:
        return _theirs(weight, blocksize, kind, storage)
    piece = _nf4 if kind == "nf4" and is_known() else _theirs
    flat = weight.reshape(-1)
    packed = torch.empty(len(flat) // 2, 1, dtype=torch.uint8)
    scales = torch.empty(len(flat) // blocksize)
    step = PIECE // blocksize * blocksize
    for begin in range(0, len(flat), step):
        if begin % LOOK_EVERY < step:
            look_up()
        part = flat[begin : begin + step]
        codes, most = piece(part, blocksize, kind, storage)
        packed[begin // 2 : (begin + len(part)) // 2] = codes
        scales[begin // blocksize : begin // blocksize + len(most)] = most
    return packed, scales


def eight_bits(
    weight: Tensor, look_up: Callable[[], None] = lambda: None
) -> tuple[Tensor, Tensor, None]:
    """As ``torch.ops.bitsandbytes.int8_vectorwise_quant`` without a threshold.

    Args:
        weight: (out, in), float16.

    Returns:
        Values (out, in) int8 and the scales of the rows, float32; no columns are set aside.
    """
    rows = max(1, LOOK_EVERY // max(1, weight.shape[-1]))
    flat = weight.reshape(-1, weight.shape[-1])
    values, scales = torch.empty(flat.shape, dtype=torch.int8), torch.empty(len(flat))
    for begin in range(0, len(flat), rows):
        look_up()
        part = slice(begin, begin + rows)
        values[part], scales[part], _ = torch.ops.bitsandbytes.int8_vectorwise_quant(flat[part])
    return values.view(weight.shape), scales, None


@cache
def is_known() -> bool:
    """Whether this bitsandbytes has the 4-bit codes that are made here."""
    random = torch.randn(TRIED, generator=torch.Generator().manual_seed(0)).bfloat16()
    random[0, :64] = 0
    asked = (random.reshape(-1), 64, "nf4", torch.uint8)
    return all(map(torch.equal, _nf4(*asked), _theirs(*asked)))


def _theirs(
    weight: Tensor, blocksize: int, kind: str, storage: torch.dtype
) -> tuple[Tensor, Tensor]:
    packed, scales = torch.ops.bitsandbytes.quantize_4bit(weight, blocksize, kind, storage)
    return packed, scales


def _nf4(part: Tensor, blocksize: int, kind: str, storage: torch.dtype) -> tuple[Tensor, Tensor]:
    """The codes of some blocks: how many of the 15 bounds between two codes lie below a value.

    Counting needs no branches, which a search for the place of a value would.
    """
    wide = part.float().view(-1, blocksize)
    most = torch.amax(wide.abs(), dim=1)
    scaled = wide * (1.0 / most.clamp(min=LEAST)).view(-1, 1)
    count, above = torch.zeros_like(scaled), torch.empty_like(scaled)
    for bound in _bounds():
        count += torch.gt(scaled, bound, out=above)  # as floats: a quarter of the time of bools
    pairs = count.to(torch.uint8).view(torch.int16)  # the first code in its lower byte
    return (pairs << 4 | pairs >> 8).to(torch.uint8).view(-1, 1), most


@cache
def _bounds() -> tuple[float, ...]:
    codes = bnb.functional.get_4bit_type("nf4", device="cpu")
    return tuple(((codes[1:] + codes[:-1]) / 2).tolist())
