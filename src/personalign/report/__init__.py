"""What people look at: one self-contained page per run, or for several; files for a paper."""

from personalign.findings import Findings, read
from personalign.report.export import export
from personalign.report.html import build, build_comparison
from personalign.report.words import Language

__all__ = ["Findings", "Language", "build", "build_comparison", "export", "read"]
