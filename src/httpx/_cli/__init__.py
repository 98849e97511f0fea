"""
What runs on a command line.

`echo_server` answers every request with a description of it: the other end for `scripts/demo`, for the tests, and for
trying things out without a network. Nothing here is imported by `import httpx`.
"""
