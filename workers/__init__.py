"""The Celery application of yse_ingest."""
