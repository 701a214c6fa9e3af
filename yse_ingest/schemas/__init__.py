"""marshmallow schemas of everything that crosses a wire, one module per format."""

from yse_ingest.schemas._load import Fault, Refusal

__all__ = ["Fault", "Refusal"]
