"""`python -m httpx`: the same as the command `httpx`."""

from __future__ import annotations

from ._main import main

if __name__ == "__main__":
    main()
