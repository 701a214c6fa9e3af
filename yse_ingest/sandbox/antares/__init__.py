"""A stand-in for ANTARES's API, version 2."""

from yse_ingest.sandbox.antares.stand_in import AntaresStandIn

__all__ = ["AntaresStandIn"]
