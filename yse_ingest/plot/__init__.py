"""A light curve drawn: what a source has, and which of it stands in YSE-PZ already.

Magnitudes stand above, with upper limits as arrows. A flux that is not positive has no
magnitude: where there is one, or forced photometry, a second panel shows every flux with its
sign. Needs matplotlib (extra ``plot``).
"""

from yse_ingest.plot.figure import light_curve_figure, plot_light_curve

__all__ = ["light_curve_figure", "plot_light_curve"]
