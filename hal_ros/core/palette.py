"""The colours of actions, the same in a terminal and in a report, with the letters that are readable on them."""

from __future__ import annotations

HUES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")
"""Eight that stay apart under the common colour-vision deficiencies (Okabe and Ito 2008, grey for black)."""
SHADES = ("#00446b", "#8a5f00", "#005f45", "#7a4964", "#346c8c", "#803800", "#908928", "#5c5c5c")
"""The same hues with 60 % of their light, for further actions where stripes can't be drawn."""
DARK = frozenset({"#0072b2", "#009e73", "#d55e00", *SHADES} - {"#908928"})
"""These carry white letters, the others black ones."""
