"""Stand-ins for Lasair's APIs for ZTF and for LSST."""

from yse_ingest.sandbox.lasair.lsst import LasairLsstStandIn
from yse_ingest.sandbox.lasair.service import TOKEN
from yse_ingest.sandbox.lasair.stand_in import LasairStandIn

__all__ = ["TOKEN", "LasairLsstStandIn", "LasairStandIn"]
