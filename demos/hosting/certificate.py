"""https: certificates that are given, and one that is made here for a network at home.

Knows: files of certificates and keys, this machine's names. Does not know: the page.

Browsers give the microphone to https pages alone. A self-made certificate is enough for that: the
browser warns once, and whoever goes on has the microphone. It is kept, so that it warns once.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import psutil

from demos.base.guard import own_names
from omni.errors import OmniError

APP = "baichuan-omni-webui"
LIFE = datetime.timedelta(days=825)  # Apple's systems take none that lasts longer
RENEWED = datetime.timedelta(days=30)  # before its end
ALWAYS = ("localhost", "127.0.0.1", "::1")


class CertificateError(OmniError):
    """Files of a certificate that cannot be used."""


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, PEM files."""

    file: Path
    key: Path
    made_here: bool = False  # nobody else vouches for it

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as browsers show it."""
        data = ssl.PEM_cert_to_DER_cert(_first(self.file.read_text(encoding="ascii")))
        digest = hashlib.sha256(data).hexdigest().upper()
        return ":".join(digest[n : n + 2] for n in range(0, len(digest), 2))


def given(file: str | None, key: str | None) -> Certificate | None:
    """The certificate that two flags name; None: there is none.

    Raises:
        CertificateError: ``certificate-pair``, ``certificate-unusable``.
    """
    if not (file or key):
        return None
    if not (file and key):
        raise CertificateError(
            "certificate-pair", "--ssl-certfile and --ssl-keyfile are needed together."
        )
    certificate = Certificate(Path(file).expanduser(), Path(key).expanduser())
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            certificate.file, certificate.key, password=_no_password
        )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise CertificateError(
            "certificate-unusable",
            "The certificate {file} with the key {key} cannot be used ({reason}).",
            file=certificate.file,
            key=certificate.key,
            reason=getattr(error, "reason", None) or getattr(error, "strerror", None) or error,
        ) from error
    return certificate


def made(host: str, folder: Path | None = None) -> Certificate:
    """A certificate of our own for all names of this machine; the kept one while it will do.

    Args:
        host: a further name or address.
        folder: where it is kept; None: in the data folder of the person.

    Raises:
        CertificateError: ``certificate-unwritable``.
    """
    folder = folder or Path(platformdirs.user_data_dir(APP, appauthor=False)) / "https"
    found = Certificate(folder / "certificate.pem", folder / "key.pem", made_here=True)
    names = names_of(host)
    if not _will_do(found, names):
        try:
            _write(found, names)
        except OSError as error:
            raise CertificateError(
                "certificate-unwritable",
                "No certificate can be kept in {folder} ({reason}): free it, or name one with "
                "--ssl-certfile and --ssl-keyfile.",
                folder=folder,
                reason=error.strerror,
            ) from error
    return found


def names_of(host: str) -> set[str]:
    """Names and addresses under which this machine is reached."""
    addresses = {
        one.address.partition("%")[0]
        for interface in psutil.net_if_addrs().values()
        for one in interface
        if _address(one.address.partition("%")[0]) is not None
    }
    named = {host.strip("[]")} - {"0.0.0.0", "::", ""}
    return {*ALWAYS, *own_names(), *addresses, *named}


def _will_do(found: Certificate, names: set[str]) -> bool:
    """Whether a kept certificate lasts and has all names."""
    from cryptography import x509

    if not (found.file.is_file() and found.key.is_file()):
        return False
    try:
        certificate = x509.load_pem_x509_certificate(found.file.read_bytes())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(found.file, found.key)
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    has = {str(name.value) for name in extension.value}
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return names <= has and left > RENEWED


def _write(target: Certificate, names: Iterable[str]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Omni, self-made")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives: list[x509.GeneralName] = []
    for one in sorted(names):
        address = _address(one)
        alternatives.append(x509.DNSName(one) if address is None else x509.IPAddress(address))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + LIFE - datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    target.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, data in (
        (target.key, secret),
        (target.file, certificate.public_bytes(serialization.Encoding.PEM)),
    ):
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        fresh.replace(path)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _first(chain: str) -> str:
    """The first certificate of a chain."""
    end = "-----END CERTIFICATE-----"
    return chain[: chain.index(end) + len(end)] + "\n"


def _no_password() -> str:
    """For a key that has one: nobody is there to type it."""
    return ""
