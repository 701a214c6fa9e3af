"""A stand-in for MARS, LCO's alert server for ZTF."""

from yse_ingest.sandbox.mars.stand_in import MarsStandIn

__all__ = ["MarsStandIn"]
