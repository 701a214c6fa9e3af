"""How fast it is, each figure beside its reference: ``python -m bench.NAME``, ``make bench``.

Nothing here is shipped, and no test asserts a time. Figures of servers are virtual: the
stand-ins add up what each request was measured to cost the originals. Figures of our own are
processor time where that tells more than the clock of a shared machine.
"""
