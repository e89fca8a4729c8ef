"""What people look at: one self-contained page per run."""

from personalign.report.html import build
from personalign.report.words import Language

__all__ = ["Language", "build"]
