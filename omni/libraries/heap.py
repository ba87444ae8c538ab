"""What the C library's heap and Python's collector keep of memory, and how to have them keep less.

Knows: glibc's functions (elsewhere these do nothing), the collector's. Does not know: who frees
what.
"""

from __future__ import annotations

import ctypes
import gc
import sys

LARGE_BLOCK = 1 << 20  # bytes
ARENAS = 2
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # of mallopt, in glibc's malloc.h
_own = False  # whether the process is there to serve, and for nothing else


def own_process() -> None:
    """Call it first in a program that serves for long: what holds for all of a process is set here,
    which a program that only uses this library may not want.

    All threads to come share two arenas. By itself glibc gives threads up to eight for each core,
    and each keeps holes of its own between what lives on: after the 780 odd inputs of
    ``tests/corpus`` 100 MB more. And :func:`settle` works.
    """
    global _own
    _own = True
    _set(_M_ARENA_MAX, ARENAS)


def settle() -> None:
    """Leave what lives as long as the model out of every later search for garbage.

    There are half a million such objects (torch, transformers, the page), and looking at them took
    a quarter of a second, now and then in the middle of somebody's answer. Nothing happens where
    the process is not ours (:func:`own_process`): what others have there may go earlier.
    """
    if _own:
        unsettle()
        gc.collect()
        gc.freeze()


def unsettle() -> None:
    """What was left out is looked at again: it may go now."""
    if _own:
        gc.unfreeze()


def tidy() -> None:
    """Collect garbage and hand free pages back.

    Decoders of clips are garbage that only the collector finds (PyAV's streams and containers hold
    each other), of tens of megabytes each.
    """
    gc.collect()
    trim()


def trim() -> None:
    """Hand free pages back to the system."""
    if library := _glibc():
        library.malloc_trim(0)


def return_large_blocks() -> None:
    """Hand freed blocks of a megabyte and more back to the system at once.

    By itself glibc comes to keep freed blocks of up to 32 MB in its heap. Where each is as large as
    a layer's weights, and what lives on lies between them, most of them are never used again.
    """
    _set(_M_MMAP_THRESHOLD, LARGE_BLOCK)


def _set(parameter: int, value: int) -> None:
    if library := _glibc():
        library.mallopt(parameter, value)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None  # which musl has not
