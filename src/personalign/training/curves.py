"""Curves of a training as one PNG, to be looked at beside the adapter."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from personalign.files import write_atomic

__all__ = ["draw"]

PANELS = {
    "loss": ("loss",),
    "share of pairs ranked right": ("rewards/accuracies",),
    "margin": ("rewards/margins",),
    "chosen log-prob against base, nats a token": ("logps/chosen_shift",),
    "distance from base, nats a token": ("speech/base_loss", "kl/neutral"),
    "repetition beyond base": ("speech/repetition", "speech/drawn_repetition"),
    "length of replies, of base's": ("speech/length",),
    "end of turn, log-odds against base": ("speech/end_inside", "speech/end_at_end"),
}


def draw(history: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Write the curves of a training history (one mapping a step) as PNG.

    Measures that were not taken get no panel. Problems that health found are vertical lines.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = {
        title: [n for n in names if any(n in h for h in history)] for title, names in PANELS.items()
    }
    shown = {title: names for title, names in shown.items() if names}
    columns = min(3, len(shown)) or 1
    rows = -(-len(shown) // columns) or 1
    figure = Figure(figsize=(4.2 * columns, 2.8 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (title, names) in enumerate(shown.items(), start=1):
        axes = figure.add_subplot(rows, columns, place)
        for name in names:
            points = [(h["step"], h[name]) for h in history if name in h]
            axes.plot(*zip(*points, strict=True), marker=".", label=name)
        for found in (h for h in history if "problem" in h):
            axes.axvline(found["step"], color="0.6", linestyle=":")
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("optimiser step", fontsize=8)
        if len(names) > 1:
            axes.legend(fontsize=7)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110, metadata={"Software": None})
    return write_atomic(path, image.getvalue())
