"""
Public suffixes: names below which different parties register their own.
"""

from __future__ import annotations

import importlib
from typing import Callable, Optional

# Used when no package with the real list is installed. Only a small part of publicsuffix.org's list: the countries
# with registrations below a second level, and the hosting names below which different parties share a domain.
_SECOND_LEVELS = {
    "ar": "com edu gob gov int mil net org tur",
    "at": "ac co gv or",
    "au": "asn com edu gov id net org",
    "bd": "ac com edu gov info mil net org",
    "br": "adv art blog com eco edu eng gov ind inf jus leg med mil net nom org tv",
    "cn": "ac com edu gov mil net org",
    "co": "com edu gov mil net nom org",
    "cy": "ac com gov net org",
    "ec": "com edu fin gob gov info med mil net org",
    "eg": "com edu eun gov mil net org sci",
    "es": "com edu gob nom org",
    "fr": "asso com gouv nom prd tm",
    "gh": "com edu gov mil org",
    "gr": "com edu gov net org",
    "hk": "com edu gov idv net org",
    "hu": "co info org",
    "id": "ac biz co desa go mil my net or sch web",
    "il": "ac co gov idf k12 muni net org",
    "in": "ac co edu firm gen gov ind mil net nic org res",
    "it": "edu gov",
    "jp": "ac ad co ed go gr lg ne or",
    "ke": "ac co go info me mobi ne or sc",
    "kr": "ac co es go hs kg mil ms ne or pe re sc",
    "lk": "ac com edu gov net org sch",
    "mx": "com edu gob net org",
    "my": "com edu gov mil name net org",
    "ng": "com edu gov mil mobi name net org sch",
    "np": "com edu gov mil net org",
    "nz": "ac co cri geek gen govt health iwi kiwi maori mil net org parliament school",
    "pe": "com edu gob mil net nom org",
    "ph": "com edu gov mil net ngo org",
    "pk": "com edu fam gob gok gop gos gov net org web",
    "pl": "biz com edu gov info net org waw",
    "pt": "com edu gov int net nome org publ",
    "py": "com coop edu gov mil net org",
    "sa": "com edu gov med net org pub sch",
    "sg": "com edu gov net org per",
    "th": "ac co go in mi net or",
    "tr": "av bbs bel biz com dr edu gen gov info k12 mil name net org pol tel tv web",
    "tw": "com edu gov idv mil net org",
    "tz": "ac co go hotel info me mil mobi ne or sc tv",
    "ua": "com edu gov in kiev kyiv lviv net org",
    "ug": "ac co com go ne or org sc",
    "uk": "ac co gov ltd me net nhs org plc police sch",
    "us": "dni fed isa kids nsn",
    "uy": "com edu gub mil net org",
    "ve": "co com edu gob gov info mil net org web",
    "vn": "ac biz com edu gov health info int name net org pro",
    "za": "ac co edu gov law mil net nom org school web",
}
_SHARED_HOSTS = (
    "amplifyapp.com azurestaticapps.net azurewebsites.net blogspot.com cloudapp.net cloudfront.net deno.dev "
    "elasticbeanstalk.com firebaseapp.com fly.dev github.io gitlab.io glitch.me herokuapp.com hf.space "
    "myshopify.com netlify.app ngrok-free.app ngrok.app ngrok.io now.sh onrender.com pages.dev r2.dev "
    "readthedocs.io repl.co run.app a.run.app s3.amazonaws.com streamlit.app surge.sh up.railway.app vercel.app "
    "web.app workers.dev appspot.com trafficmanager.net translate.goog"
)
_suffix_of: Optional[Callable[[str], Optional[str]]] = None


def is_public_suffix(domain: str) -> bool:
    """
    Return whether `domain` is one below which different parties register their own: "com", "co.uk", "github.io".

    By the list of the package `publicsuffixlist` or `publicsuffix2` if one is installed, loaded on first use; else a
    name without a dot is one, and the common ones of two labels that are named above.
    """
    global _suffix_of
    if _suffix_of is None:
        _suffix_of = _load_suffixes()
    name = domain.strip(".")
    if "." not in name:
        return True
    try:
        return _suffix_of(name) == name
    except ValueError:  # a name that the package cannot read is a public suffix
        return True


def _load_suffixes() -> Callable[[str], Optional[str]]:
    for package, method in (("publicsuffixlist", "publicsuffix"), ("publicsuffix2", "get_tld")):
        try:
            module = importlib.import_module(package)
        except ImportError:
            continue
        find: Callable[[str], Optional[str]] = getattr(module.PublicSuffixList(), method)
        return find
    built_in = {f"{second}.{country}" for country, seconds in _SECOND_LEVELS.items() for second in seconds.split()}
    built_in.update(_SHARED_HOSTS.split())
    return lambda name: name if name in built_in else None
