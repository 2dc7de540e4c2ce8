"""Signatures of packages, by OpenSSF model-signing, with plain keys and without any network."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Any

from transforms import DataError
from transforms.files.atomic import atomic_path

SUFFIX = ".sig"  # of the signature's file, beside the package: a package's bytes do not depend on who signs it
MAX_SIGNATURE = 1024**2  # bytes
MAKE_KEYS = (
    "Make a pair: openssl ecparam -name prime256v1 -genkey -noout -out KEY, then openssl ec -in KEY -pubout -out PUBKEY"
)


def read_signer(key: os.PathLike | str) -> Any:
    """What signs with a private key.

    Args:
        key: a private key on an elliptic curve (NIST P-256, P-384 or P-521) in PEM. If it is encrypted, its passphrase
            is asked for.

    Returns:
        a ``model_signing.signing.Config``

    Raises:
        DataError: if the key cannot be used, or model-signing is not installed.
    """
    signing, _ = _library()
    path = Path(key)
    password = getpass.getpass(f"Passphrase of {path}: ").encode() if b"ENCRYPTED" in _read(path) else None
    try:
        return signing.Config().use_elliptic_key_signer(private_key=path, password=password)
    except Exception as error:  # cryptography's, of several kinds, or Python's for keys of other kinds
        raise DataError(
            f"{path}: is no private key in PEM on the curve P-256, P-384 or P-521, or its passphrase is another. "
            f"{MAKE_KEYS}"
        ) from error


def sign(file: os.PathLike | str, signer: Any) -> Path:
    """Sign a package with what :func:`read_signer` gives.

    Returns:
        the file of the signature beside it, a Sigstore bundle in JSON
    """
    signature = signature_of(file)
    with atomic_path(signature) as scratch:
        signer.sign(Path(file).resolve(), scratch)
    return signature


def check_signature(file: os.PathLike | str, key: os.PathLike | str) -> None:
    """Check that a package is, to the byte, what was signed with the private key that belongs to a public one.

    Raises:
        DataError: if it is not, if there is no signature beside it, or if model-signing is not installed.
    """
    _, verifying = _library()
    _read(Path(key))
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=Path(key))
    except Exception as error:
        raise DataError(f"{key}: is no public key in PEM on the curve P-256, P-384 or P-521. {MAKE_KEYS}") from error
    signature = signature_of(file)
    for path in (Path(file), signature):
        if not path.is_file():
            raise DataError(f"{path}: no such file. A signed package comes with its signature, FILE{SUFFIX}.")
    try:
        if signature.stat().st_size > MAX_SIGNATURE:
            raise ValueError("it is too large")
        config.verify(Path(file).resolve(), signature)
    except Exception as error:  # of json, pydantic, cryptography or model_signing; all mean one thing
        raise DataError(
            f"{file}: was not signed with the key that belongs to {key}, or it or {signature.name} was changed since. "
            "Do not unpack it."
        ) from error


def signature_of(file: os.PathLike | str) -> Path:
    """Where the signature of a package lies."""
    return Path(f"{file}{SUFFIX}")


def _read(key: Path) -> bytes:
    try:
        return key.read_bytes()
    except OSError as error:
        raise DataError(f"{key}: cannot be read ({error.strerror}). Give the file of a key. {MAKE_KEYS}") from error


def _library() -> tuple[Any, Any]:
    try:
        from model_signing import signing, verifying
    except ImportError as error:
        raise DataError("Signatures need the package model-signing: run pip install -e '.[sign]'.") from error
    return signing, verifying
