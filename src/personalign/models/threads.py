"""Cores for the thread that computes.

OpenMP keeps workers for every thread that has computed. Once there are more of them than cores,
GNU's runtime lets them sleep between two products instead of waiting awake, and waking them costs a
quarter of a step of decoding (docs/performance.md, "Writing replies").
"""

from __future__ import annotations

import ctypes
from pathlib import Path

__all__ = ["leave_cores"]

SOFT = 1  # omp_pause_soft (OpenMP 5.0, section 3.2.44): workers go, settings stay


def leave_cores() -> None:
    """Let the calling thread's workers go; they come back when it computes again."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    for library in {line.split()[-1] for line in lines if "libgomp" in line}:
        ctypes.CDLL(library).omp_pause_resource_all(SOFT)
