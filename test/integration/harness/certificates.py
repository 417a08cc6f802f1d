"""Certificates and keys as the tests want them: by whom, for whom, from when until when."""

import datetime
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


def new_key(kind="ecdsa"):
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def name_of(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def make(*names, key=None, kind="ecdsa", issuer=None, days=(-1, 90), ca=False):
    """(certificate, key). issuer: such a pair, None: self-signed; days: from when until when, from now."""
    key = key or new_key(kind)
    now = datetime.datetime.utcnow()
    by, by_key = (issuer[0].subject, issuer[1]) if issuer else (name_of(names[0]), key)
    builder = (x509.CertificateBuilder().subject_name(name_of(names[0])).issuer_name(by)
               .public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(now + days[0] * DAY).not_valid_after(now + days[1] * DAY)
               .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False)
               .add_extension(x509.BasicConstraints(ca, None), True))
    return builder.sign(by_key, hashes.SHA256()), key


def cert_pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def write(path, *parts):
    """Certificates and keys, in this order, in a file that only its owner may read."""
    pem = b"".join(cert_pem(part) if isinstance(part, x509.Certificate) else key_pem(part) for part in parts)
    new = path.with_name(path.name + ".new")
    new.write_bytes(pem)
    os.chmod(new, 0o600)
    new.rename(path)
    return path
