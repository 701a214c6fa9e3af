"""A stand-in for Fink's API for ZTF."""

from yse_ingest.sandbox.fink.stand_in import FinkStandIn

__all__ = ["FinkStandIn"]
