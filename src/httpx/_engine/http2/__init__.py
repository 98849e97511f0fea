"""Connections of HTTP/2 on the three engines; loaded when the first one is made."""
