"""TLS contexts: made anew, and the one that clients with default settings share."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Union

import certifi
import pytest

from httpx import _tls_context, create_ssl_context
from httpx._tls_context import default_ssl_context


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(_tls_context, "_default_contexts", {})
    return monkeypatch


@pytest.fixture
def leaf() -> tuple[str, str]:
    """Certificate and key of a client, in files."""
    pytest.importorskip("trustme")
    from support import certs

    certificate, key = certs.leaf_files()
    return str(certificate), str(key)


@pytest.fixture
def authority() -> str:
    """A file with one authority in it."""
    pytest.importorskip("trustme")
    from support import certs

    return str(certs.authority_file())


def checks(context: ssl.SSLContext) -> bool:
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    # Python 3.9 sets it: a body that was cut would pass for the whole.
    assert not context.options & getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    assert context.check_hostname == (context.verify_mode == ssl.CERT_REQUIRED)
    return context.check_hostname


@pytest.mark.parametrize("verify", [True, None])
def test_by_default_the_authorities_of_certifi_are_trusted(verify: Any) -> None:
    context = create_ssl_context(verify)
    assert checks(context)
    reference = ssl.create_default_context(cafile=certifi.where())
    assert context.cert_store_stats() == reference.cert_store_stats()
    # Python 3.13 checks more strictly, and so do we there.
    assert context.verify_flags == reference.verify_flags


def test_nothing_is_checked_with_verify_false() -> None:
    context = create_ssl_context(False)
    assert not checks(context)
    assert context.cert_store_stats()["x509"] == 0


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_of_authorities_may_be_given_without_a_warning(authority: str, kind: Any) -> None:
    """0.28.1 gave a DeprecationWarning, which breaks programs that make errors of warnings."""
    context = create_ssl_context(kind(authority))
    assert checks(context)
    assert context.cert_store_stats()["x509_ca"] == 1


def test_a_directory_of_authorities_may_be_given(tmp_path: Path) -> None:
    assert checks(create_ssl_context(str(tmp_path)))


def test_a_context_of_the_users_is_returned_itself() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert create_ssl_context(context) is context


def test_an_object_that_acts_as_a_context_is_returned_itself() -> None:
    class Duck:
        wrap_bio = None

    duck: Any = Duck()
    assert create_ssl_context(duck) is duck


@pytest.mark.parametrize("kind", [str, bytes, bytearray])
def test_authorities_may_be_given_themselves(authority: str, kind: Any) -> None:
    pem = Path(authority).read_text()
    text = f"My authority, in Z\u00fcrich\n{pem}\nand the same again\r\n{pem}"
    context = create_ssl_context(text if kind is str else kind(text.encode()))
    assert checks(context)
    assert context.cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize(
    "pem",
    [
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nA=A\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA",
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
    ],
)
def test_pem_without_certificates_is_an_error_that_does_not_show_it(pem: str) -> None:
    with pytest.raises(ssl.SSLError, match="no usable certificates in the PEM given as verify") as info:
        create_ssl_context(pem)
    assert "c2VjcmV0" not in str(info.value)


def test_the_store_of_the_system_is_used_on_request(environment: pytest.MonkeyPatch, authority: str) -> None:
    truststore = pytest.importorskip("truststore")
    context = create_ssl_context("system")
    assert isinstance(context, truststore.SSLContext)
    assert isinstance(context, ssl.SSLContext)
    assert checks(context)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_without_truststore_it_is_said_what_is_missing(environment: pytest.MonkeyPatch) -> None:
    environment.setitem(sys.modules, "truststore", None)
    with pytest.raises(ImportError, match=r"verify='system' needs the package truststore .*httpx\[truststore\]"):
        create_ssl_context("system")


def test_a_file_that_is_called_system_is_given_as_a_path(
    environment: pytest.MonkeyPatch, authority: str, tmp_path: Path
) -> None:
    (tmp_path / "system").write_bytes(Path(authority).read_bytes())
    environment.chdir(tmp_path)
    for verify in ("./system", Path("system")):
        assert create_ssl_context(verify).cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize("verify", [5, 0, b"path", ["path"]])
def test_what_says_nothing_about_verification_is_refused(verify: Any) -> None:
    """0.28.1 passed it on, to fail far away."""
    with pytest.raises(TypeError, match=f"^verify must be .*, got {type(verify).__name__}$"):
        create_ssl_context(verify)


def test_a_missing_file_of_authorities_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(FileNotFoundError, match="no usable certificate file: ") as info:
        create_ssl_context(missing)
    assert info.value.filename == missing


def test_an_empty_path_does_not_mean_the_authorities_of_the_system() -> None:
    with pytest.raises(FileNotFoundError, match="no usable certificate file: ''"):
        create_ssl_context("")


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(ssl.SSLError, match=r"no usable certificate file: '.*empty.pem' \(NO_") as info:
        create_ssl_context(str(tmp_path / "empty.pem"))
    assert isinstance(info.value, OSError)


def test_the_environment_names_authorities_unless_it_is_not_trusted(
    environment: pytest.MonkeyPatch, authority: str, tmp_path: Path
) -> None:
    environment.setenv("SSL_CERT_DIR", str(tmp_path))
    assert create_ssl_context().cert_store_stats()["x509"] == 0
    environment.setenv("SSL_CERT_FILE", authority)  # wins
    assert create_ssl_context().cert_store_stats()["x509_ca"] == 1
    assert create_ssl_context(trust_env=False).cert_store_stats()["x509_ca"] > 1


def test_an_empty_variable_counts_as_none(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SSL_CERT_FILE", "")
    environment.setenv("SSL_CERT_DIR", "")
    assert create_ssl_context().cert_store_stats()["x509_ca"] > 1


def test_several_directories_may_be_named_and_some_may_be_missing(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("SSL_CERT_DIR", os.pathsep.join([str(tmp_path / "missing"), str(tmp_path)]))
    assert checks(create_ssl_context())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SSL_CERT_FILE", "no usable certificate file from SSL_CERT_FILE"),
        ("SSL_CERT_DIR", "no such certificate directory from SSL_CERT_DIR"),
    ],
)
def test_a_variable_that_names_nothing_is_named(
    environment: pytest.MonkeyPatch, tmp_path: Path, name: str, message: str
) -> None:
    """Without it every handshake fails, and nothing says why."""
    environment.setenv(name, str(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError, match=message) as info:
        create_ssl_context()
    assert info.value.filename == str(tmp_path / "missing")


@pytest.mark.parametrize("verify", [True, False])
def test_keys_are_logged_where_the_environment_says(
    environment: pytest.MonkeyPatch, tmp_path: Path, verify: bool
) -> None:
    environment.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert create_ssl_context(verify).keylog_filename == str(tmp_path / "keys")
    environment.delenv("SSLKEYLOGFILE")
    assert create_ssl_context(verify).keylog_filename is None


@pytest.mark.parametrize("verify", [True, False])
def test_a_key_log_that_cannot_be_written_is_named(
    environment: pytest.MonkeyPatch, tmp_path: Path, verify: bool
) -> None:
    environment.setenv("SSLKEYLOGFILE", str(tmp_path / "missing" / "keys"))
    with pytest.raises(FileNotFoundError) as info:
        create_ssl_context(verify)
    assert info.value.filename == str(tmp_path / "missing" / "keys")


def test_a_higher_minimum_of_the_system_is_kept(environment: pytest.MonkeyPatch) -> None:
    def stricter(**kwargs: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    environment.setattr(ssl, "create_default_context", stricter)
    assert create_ssl_context().minimum_version == ssl.TLSVersion.TLSv1_3


# -- client certificates


@pytest.mark.parametrize("verify", [True, False, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)])
def test_a_client_certificate_is_loaded_into_every_kind_of_context(
    leaf: tuple[str, str], tmp_path: Path, verify: Any
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(Path(leaf[0]).read_bytes() + Path(leaf[1]).read_bytes())
    for cert in (str(both), both, (str(both),), leaf, (*leaf, None), (*leaf, "unused")):
        assert isinstance(create_ssl_context(verify, cert), ssl.SSLContext)  # type: ignore[arg-type]  # wider than told


@pytest.mark.parametrize("where", ["in memory", "on disk"])
def test_a_client_certificate_may_be_given_itself(
    environment: pytest.MonkeyPatch, leaf: tuple[str, str], tmp_path: Path, where: str
) -> None:
    """OpenSSL takes files only; a key in one must be seen by nobody else, and must not stay behind."""
    if where == "on disk":
        environment.delattr(os, "memfd_create", raising=False)
    elif not hasattr(os, "memfd_create"):
        pytest.skip("files in memory are Linux's")
    environment.setenv("TMPDIR", str(tmp_path))
    environment.setattr(tempfile, "tempdir", None)
    made: list[int] = []
    load = ssl.SSLContext.load_cert_chain

    def watching(self: ssl.SSLContext, certfile: Any, keyfile: Any = None, password: Any = None) -> None:
        found = list(tmp_path.iterdir())
        made.append(len(found))
        if os.name == "posix":
            assert all(path.stat().st_mode & 0o777 == 0o600 for path in found)
        load(self, certfile, keyfile, password)

    environment.setattr(ssl.SSLContext, "load_cert_chain", watching)
    chain, key = (Path(path).read_text() for path in leaf)
    password = encrypted(leaf[1], b"right", tmp_path / "key.pem")
    secret = Path(password).read_bytes()
    os.unlink(password)
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for cert in (chain + key, (chain + key).encode(), (chain, key), (leaf[0], key), (chain, leaf[1])):
        create_ssl_context(False, cert)
    create_ssl_context(False, (chain, secret, "right"))
    assert made == ([0] * 6 if where == "in memory" else [1, 1, 2, 1, 1, 2])
    for wrong in ((chain, secret, "hunter2"), (chain, chain), chain, key):
        with pytest.raises(ssl.SSLError, match="no usable client certificate: PEM in memory") as info:
            create_ssl_context(False, wrong)
        assert "BEGIN" not in str(info.value)
        assert "hunter2" not in str(info.value)
    assert list(tmp_path.iterdir()) == []
    assert not descriptors or len(os.listdir("/proc/self/fd")) == descriptors


def test_a_path_beside_pem_is_named_where_it_is_missing(leaf: tuple[str, str], tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(FileNotFoundError) as info:
        create_ssl_context(False, (Path(leaf[0]).read_text(), missing))
    assert info.value.filename == missing


@pytest.mark.parametrize("verify", [True, False])
def test_a_certificate_may_be_asked_for_later(leaf: tuple[str, str], verify: bool) -> None:
    """Servers do that where only some paths need one. A context of the user's is not changed."""
    assert create_ssl_context(verify, leaf).post_handshake_auth is True
    assert create_ssl_context(verify).post_handshake_auth is False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert create_ssl_context(context, leaf).post_handshake_auth is False


@pytest.mark.parametrize("cert", [5, (), ("a", "b", "c", "d"), b"path", (b"path", "key"), (None,), (None, "key")])
def test_what_is_no_client_certificate_is_refused(cert: Any) -> None:
    with pytest.raises(TypeError, match=r"^cert must be a path, "):
        create_ssl_context(False, cert)


def test_the_missing_one_of_certificate_and_key_is_named(leaf: tuple[str, str], tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    cases: list[tuple[Union[str, tuple[str, str]], str]] = [
        (missing, missing),
        ((leaf[0], missing), missing),
        ((missing, leaf[1]), missing),
        ((str(tmp_path), leaf[1]), str(tmp_path)),
    ]
    for cert, named in cases:
        with pytest.raises(OSError, match="no usable client certificate") as info:
            create_ssl_context(False, cert)
        assert named in str(info.value)


def encrypted(key: str, password: bytes, path: Path) -> str:
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    encoding, pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(private.private_bytes(encoding, pem, serialization.BestAvailableEncryption(password)))
    return str(path)


def test_a_wrong_password_is_an_error_that_does_not_show_it(leaf: tuple[str, str], tmp_path: Path) -> None:
    key = encrypted(leaf[1], b"right", tmp_path / "key.pem")
    create_ssl_context(False, (leaf[0], key, "right"))
    with pytest.raises(ssl.SSLError, match=r"no usable client certificate: .* with key '.*key.pem'") as info:
        create_ssl_context(False, (leaf[0], key, "hunter2"))
    assert "hunter2" not in str(info.value)


def test_an_error_for_which_openssl_has_no_word_still_says_something() -> None:
    """Which files do that depends on its version, so the error is made here."""
    assert _tls_context._reason(ssl.SSLError(9, "PEM lib")) == "not a certificate, or the wrong password"


# -- the shared context


def test_clients_with_default_settings_share_one_context() -> None:
    context = default_ssl_context()
    assert checks(context)
    assert default_ssl_context() is context


def test_another_environment_has_a_context_of_its_own(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    contexts = [default_ssl_context(), default_ssl_context(trust_env=False)]
    environment.setenv("SSL_CERT_DIR", str(tmp_path))
    contexts += [default_ssl_context(), default_ssl_context(trust_env=False)]
    assert len({id(context) for context in contexts}) == 4
    assert contexts[2].cert_store_stats()["x509"] == 0
    assert contexts[3].cert_store_stats()["x509"] > 0


def test_the_shared_contexts_are_few(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program that changes its environment for ever must not fill its memory with certificates."""
    first = default_ssl_context()
    for number in range(1, 20):
        folder = tmp_path / str(number)
        folder.mkdir()
        environment.setenv("SSL_CERT_DIR", str(folder))
        default_ssl_context()
    assert len(_tls_context._default_contexts) == _tls_context._MAX_DEFAULT_CONTEXTS
    environment.delenv("SSL_CERT_DIR")
    assert default_ssl_context() is not first


def test_threads_that_start_together_make_one_context(environment: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []
    found: list[ssl.SSLContext] = []
    asked: set[int] = set()
    all_asked = threading.Barrier(3)

    class Cache(dict[Any, ssl.SSLContext]):
        """Lets nobody go on until all threads have asked once, in vain."""

        def get(self, key: Any, default: Any = None) -> Any:
            answer = super().get(key, default)
            if threading.get_ident() not in asked:
                asked.add(threading.get_ident())
                all_asked.wait(5)
            return answer

    def create(**kwargs: Any) -> ssl.SSLContext:
        made.append(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return made[-1]

    environment.setattr(_tls_context, "_default_contexts", Cache())
    environment.setattr(_tls_context, "create_ssl_context", create)
    threads = [threading.Thread(target=lambda: found.append(default_ssl_context())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert found == made * 3


def test_importing_loads_no_certificates() -> None:
    code = "import ssl, sys; ssl.create_default_context = None; import httpx; print('certifi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
