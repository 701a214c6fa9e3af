"""A stand-in YSE-PZ: the endpoints that move photometry, with everything they do silently.

Its facts were measured against the real server (git 58f3e6a1) running locally in November 2026.
"""

from yse_ingest.sandbox.ysepz.app import YsePzStandIn

__all__ = ["YsePzStandIn"]
