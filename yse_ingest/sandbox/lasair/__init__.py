"""A stand-in for Lasair's API for ZTF."""

from yse_ingest.sandbox.lasair.stand_in import TOKEN, LasairStandIn

__all__ = ["TOKEN", "LasairStandIn"]
