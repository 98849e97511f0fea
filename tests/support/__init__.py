"""
What the tests share: real peers, certificates, drivers, and cuts of byte strings.

`tests/` is on the import path while pytest runs, so a test says `from support.servers import ScriptedServer`.
Nothing here needs pytest; fixtures are in `tests/conftest.py`.
"""
