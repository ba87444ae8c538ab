"""https: given certificates, and the one that is made here."""

from __future__ import annotations

import datetime
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from demos.hosting import certificate
from demos.hosting.certificate import Certificate, CertificateError, given, made


def test_a_made_certificate_is_for_this_machine_and_stays(tmp_path: Path) -> None:
    first = made("0.0.0.0", tmp_path / "https")
    assert first.made_here
    assert first.key.stat().st_mode & 0o777 == 0o600
    found = x509.load_pem_x509_certificate(first.file.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "localhost" in names.get_values_for_type(x509.DNSName)
    assert "127.0.0.1" in map(str, names.get_values_for_type(x509.IPAddress))
    lasts = found.not_valid_after_utc - found.not_valid_before_utc
    assert lasts <= certificate.LIFE
    before = first.fingerprint
    assert made("0.0.0.0", tmp_path / "https").fingerprint == before
    other = made("omni.example", tmp_path / "https")  # a name that it lacks
    assert other.fingerprint != before


def test_one_that_ends_soon_or_is_broken_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made("0.0.0.0", tmp_path).fingerprint
    with monkeypatch.context() as patch:
        patch.setattr(certificate, "RENEWED", certificate.LIFE + datetime.timedelta(days=1))
        second = made("0.0.0.0", tmp_path).fingerprint
    (tmp_path / "key.pem").write_text("not a key")
    third = made("0.0.0.0", tmp_path)
    assert len({first, second, third.fingerprint}) == 3
    assert given(str(third.file), str(third.key)) is not None


def test_browsers_get_what_was_printed(tmp_path: Path) -> None:
    own = made("localhost", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.file, own.key)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        trusting = ssl.create_default_context(cafile=str(own.file))
        for name in ("127.0.0.1", "localhost"):
            answer = httpx.get(f"https://{name}:{server.server_port}/", verify=trusting)
            assert answer.status_code == 501  # it got through
        seen = ssl.get_server_certificate(("127.0.0.1", server.server_port))
    finally:
        server.shutdown()
        server.server_close()
    (tmp_path / "seen.pem").write_text(seen)
    assert Certificate(tmp_path / "seen.pem", own.key).fingerprint == own.fingerprint


def test_given_files_are_looked_at_before_anything_starts(tmp_path: Path) -> None:
    assert given(None, None) is None
    own, other = made("localhost", tmp_path / "a"), made("localhost", tmp_path / "b")
    assert given(str(own.file), str(own.key)) == Certificate(own.file, own.key)
    with pytest.raises(CertificateError, match="needed together"):
        given(str(own.file), None)
    with pytest.raises(CertificateError, match="No such file"):
        given(str(tmp_path / "none.pem"), str(own.key))
    for key in (other.key, own.file):
        with pytest.raises(CertificateError, match="cannot be used"):
            given(str(own.file), str(key))


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CertificateError, match="No certificate can be kept in"):
        made("localhost", tmp_path / "file")
