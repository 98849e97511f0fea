"""Transports send the requests of a client: over the network (`default`), or to an application or a function."""
