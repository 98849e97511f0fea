"""
The command line client and the echo server.

`echo_server` responds to every request with a description of it: a server for `scripts/demo`, for the tests, and for
experiments without a network. `import httpx` imports none of this.
"""
