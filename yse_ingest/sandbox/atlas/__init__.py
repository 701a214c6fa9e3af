"""A stand-in of the ATLAS forced-photometry server."""

from yse_ingest.sandbox.atlas.stand_in import AtlasStandIn

__all__ = ["AtlasStandIn"]
