"""What the C library's heap keeps of memory that was freed, and how it is told to keep less.

Knows: glibc's functions; elsewhere nothing happens. Does not know: who frees what.
"""

from __future__ import annotations

import ctypes
import sys

LARGE_BLOCK = 1 << 20  # bytes
ARENAS = 2
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # of mallopt, in glibc's malloc.h


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


def share_arenas() -> None:
    """Let all threads to come share two arenas.

    By itself glibc gives threads up to eight for each core, and each keeps holes of its own between
    what lives on: after the 780 odd inputs of ``tests/corpus`` 100 MB more.
    """
    _set(_M_ARENA_MAX, ARENAS)


def _set(parameter: int, value: int) -> None:
    if library := _glibc():
        library.mallopt(parameter, value)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") else None  # which musl has not
