"""Stand-ins for the services that yse_ingest talks to, over real HTTP, with fault switches.

Each stand-in is a server on 127.0.0.1 that answers as its original was measured to answer, its
silent traps included; `server` and `faults` hold what they share.
"""
