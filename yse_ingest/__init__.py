"""Keep the photometry of transients in YSE-PZ complete, correct and fresh."""

__version__ = "0.1.0"
