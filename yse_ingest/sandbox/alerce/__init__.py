"""A stand-in for ALeRCE's ZTF API, version 1."""

from yse_ingest.sandbox.alerce.stand_in import AlerceStandIn

__all__ = ["AlerceStandIn"]
