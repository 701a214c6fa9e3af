"""Stand-ins for ALeRCE's APIs: version 1 and forced photometry of ZTF, and that of LSST."""

from yse_ingest.sandbox.alerce.lsst import AlerceLsstStandIn
from yse_ingest.sandbox.alerce.stand_in import AlerceStandIn

__all__ = ["AlerceLsstStandIn", "AlerceStandIn"]
