"""The fuzz campaign: whatever comes in, only named errors come out, and only valid rows pass.

``python -m tests.campaigns.fuzz`` runs it; ``tests/test_fuzz.py`` runs a shorter cut.
"""
