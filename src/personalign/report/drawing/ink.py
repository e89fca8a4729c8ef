"""Ink: how figures are coloured, and how they become SVG for the page and PDF for print.

On the page colours are CSS variables, so that they follow its dark and light modes; the four
conditions use a colour-blind-safe palette and differ in shape as well.

Source of the palette: Okabe & Ito (2008), Color Universal Design, darkened for contrast.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

__all__ = ["INK", "LINE", "MARKS", "MUTED", "PAPER", "RC", "pdf", "svg"]

INKS = {
    "#010101": "var(--ink)",
    "#020202": "var(--muted)",
    "#030303": "var(--line)",
    "#040404": "var(--paper)",
    "#050505": "var(--base)",
    "#060606": "var(--prompted)",
    "#070707": "var(--adapter)",
    "#080808": "var(--both)",
}
INK, MUTED, LINE, PAPER, *_ = INKS
MARKS = {
    "base": ("o", "#050505"),
    "prompted": ("s", "#060606"),
    "adapter": ("^", "#070707"),
    "prompted+adapter": ("D", "#080808"),
}
RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "personalign",
    "text.parse_math": False,
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.unicode_minus": True,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
}

PRINTED = {
    "#010101": "#000000",
    "#020202": "#444444",
    "#030303": "#bbbbbb",
    "#040404": "#ffffff",
    "#050505": "#555555",
    "#060606": "#0067a3",
    "#070707": "#b84a00",
    "#080808": "#8a3d7c",
}
"""What the inks are on paper."""


def svg(figure: Figure, alt: str) -> Markup:
    """The figure as an inline SVG element that inherits the page's font and colours."""
    out = io.StringIO()
    with mpl.rc_context(RC), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # glyphs are the browser's business
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    drawn = out.getvalue()
    return Markup(_inline(drawn, alt, f"f{zlib.crc32((alt + drawn).encode()):08x}-"))


def pdf(figure: Figure) -> bytes:
    """The figure as a PDF file, in the colours of print."""
    _print_inks(figure)
    out = io.BytesIO()
    with mpl.rc_context(RC), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a glyph that no font here has
        figure.savefig(out, format="pdf", metadata={"CreationDate": None})
    return out.getvalue()


def _print_inks(figure: Figure) -> None:
    figure.draw_without_rendering()  # ticks and their labels come to be when drawn
    for artist in figure.findobj():
        for name in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
            if hasattr(artist, f"set_{name}") and hasattr(artist, f"get_{name}"):
                _print_ink(artist, name)


def _print_ink(artist: Any, name: str) -> None:
    try:
        ink = mpl.colors.to_hex(getattr(artist, f"get_{name}")())
    except (TypeError, ValueError):
        return  # several colours: those of a heat map, which are not inks
    if ink in PRINTED:
        getattr(artist, f"set_{name}")(PRINTED[ink])


def _inline(svg: str, alt: str, prefix: str) -> str:
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", body, flags=re.S)
    box = re.search(r'viewBox="[^"]*"', body)
    head = f'<svg {box[0] if box else ""} role="img" aria-label="{escape(alt)}">'
    body = head + body[body.index(">") + 1 :]
    for ink, variable in INKS.items():
        body = body.replace(ink, variable)
    body = re.sub(r"font: (?:(bold|700) )?([\d.]+)px [^;\"]*", _font, body)
    body = re.sub(r' id="', f' id="{prefix}', body)
    body = re.sub(r"url\(#", f"url(#{prefix}", body)
    return re.sub(r'href="#', f'href="#{prefix}', body)


def _font(found: re.Match[str]) -> str:
    return f"font-size: {found[2]}px" + ("; font-weight: 700" if found[1] else "")
