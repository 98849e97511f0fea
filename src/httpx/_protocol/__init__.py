"""
Protocols as sans-I/O machines: bytes in, bytes out.

No module here knows sockets, clocks, threads or event loops, and none imports the values of level 1: machines speak
bytes, ints and tuples. `exchange` is the seam between them and the shells in `_engine`.
"""
