"""Memory of a CPU that training frees is kept for the next step, which would else fault it in again page by page.

glibc gives large blocks back to the system at once: 2,500 to 57,000 page faults a step, a twelfth of its time
(mobilenetv3_small_050 at 64 px, efficientnet_b0 at 96 px, batches of 32).
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

ENVIRONMENT: Mapping[str, str] = {"THP_MEM_ALLOC_ENABLE": "1", "MALLOC_ARENA_MAX": "1"}
"""Read when a process begins: torch asks for pages of 2 MB where it allocates as much, and glibc has one heap for all
threads. Ray runs a trial in a thread, whose own heap could not keep blocks of more than 64 MB."""
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
"""Parameters of mallopt(3)."""
_NEVER, _TOP_PAD_BYTES = -1, 64 * 2**20


def keep_freed_memory() -> None:
    """Lets this process keep what it frees; does nothing where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)
        mallopt(_M_TOP_PAD, _TOP_PAD_BYTES)


def give_back_memory() -> None:
    """Gives the system all that is free in this process, as between two trials of different networks."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
