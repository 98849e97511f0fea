"""
What does it cost to parse a URL: on the short road, on the long one, and resolved against a base?

The control is `urllib.parse.urlsplit`, which checks and encodes nothing (and remembers its last results: it is emptied
of them by a new query every time, as are ours).
"""

from __future__ import annotations

import itertools
import timeit
from urllib.parse import urlsplit

from httpx._urlparse import resolve, urlparse

COUNT = itertools.count()
BASE = urlparse("https://www.example.org/a/b?c=d")

CASES = {
    "plain": lambda: urlparse(f"https://www.example.org/users/12/repos?page={next(COUNT)}"),
    "to be encoded": lambda: urlparse(f"https://www.example.org/straße und mehr?page={next(COUNT)}"),
    "IDNA": lambda: urlparse(f"https://www.bücher.example/?page={next(COUNT)}"),
    "resolved": lambda: resolve(BASE, urlparse(f"../x?page={next(COUNT)}")),
    "control": lambda: urlsplit(f"https://www.example.org/users/12/repos?page={next(COUNT)}"),
}

if __name__ == "__main__":
    for name, function in CASES.items():
        best = min(timeit.repeat(function, number=10_000, repeat=5))
        print(f"{name:14} {best / 10_000 * 1e6:8.2f} µs")
