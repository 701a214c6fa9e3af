"""A stand-in for TNS's API."""

from yse_ingest.sandbox.tns.stand_in import TnsStandIn

__all__ = ["TnsStandIn"]
