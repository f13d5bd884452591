"""How is a sum of updates made that shows no single one? The masking protocol of Bonawitz et al. 2017; pure, no I/O.

Decision 0011. One file per question: `silo` and `server` are the two sides of an attempt, `masks` is the hot loop.
"""
