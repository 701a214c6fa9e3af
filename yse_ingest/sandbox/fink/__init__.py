"""Stand-ins for Fink's APIs for ZTF and for LSST."""

from yse_ingest.sandbox.fink.lsst import FinkLsstStandIn
from yse_ingest.sandbox.fink.stand_in import FinkStandIn

__all__ = ["FinkLsstStandIn", "FinkStandIn"]
