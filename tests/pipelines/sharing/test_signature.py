"""Signed packages: what another key made, or what was changed since, is refused. Keys and signatures are real."""

from __future__ import annotations

import getpass
import json
import socket

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pipelines.__main__ import main
from tests.pipelines.sharing.conftest import packaged, refusal

PRIVATE = serialization.PrivateFormat.TraditionalOpenSSL  # as openssl ecparam writes it
PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo
PEM = serialization.Encoding.PEM
PLAIN = serialization.NoEncryption()


def write_keys(folder, name, key=None, form=PRIVATE, encryption=PLAIN):
    """A pair of keys as files."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(PEM, form, encryption))
    public.write_bytes(key.public_key().public_bytes(PEM, PUBLIC))
    return private, public


@pytest.fixture
def keys(tmp_path):
    return write_keys(tmp_path, "mine")


@pytest.fixture
def signed(here, tmp_path, keys):
    """A signed package, and the public key."""
    return packaged(here, tmp_path / "small.zip", "--sign", keys[0]), keys[1]


@pytest.fixture
def no_network(monkeypatch):
    """Fails what asks for a network."""

    def refuse(*arguments, **settings):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_what_was_signed_is_accepted_without_a_network(no_network, signed, caplog):
    path, public = signed
    with caplog.at_level("INFO"):
        assert main(["verify", str(path), "--key", str(public)]) == 0
    assert f"signature: made with the key that belongs to {public}" in caplog.text
    renamed = path.rename(path.with_name("renamed.zip"))
    path.with_name("small.zip.sig").rename(path.with_name("renamed.zip.sig"))
    assert main(["verify", str(renamed), "--key", str(public)]) == 0


def test_signing_does_not_change_the_package(signed, here, tmp_path):
    path, _ = signed
    assert packaged(here, tmp_path / "other.zip").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_other_curves(here, tmp_path, curve):
    private, public = write_keys(tmp_path, "curve", ec.generate_private_key(curve))
    path = packaged(here, tmp_path / "small.zip", "--sign", private)
    assert main(["verify", str(path), "--key", str(public)]) == 0


@pytest.mark.parametrize("form", [PRIVATE, serialization.PrivateFormat.PKCS8])
def test_an_encrypted_key_asks_for_its_passphrase(here, tmp_path, monkeypatch, form, capsys):
    secret = serialization.BestAvailableEncryption(b"open sesame")
    private, public = write_keys(tmp_path, "locked", form=form, encryption=secret)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "open sesame")
    path = packaged(here, tmp_path / "small.zip", "--sign", private)
    assert main(["verify", str(path), "--key", str(public)]) == 0
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "open barley")
    error = refusal(["package", here, "--out", tmp_path / "x.zip", "--sign", private], capsys)
    assert "passphrase is another" in error and not (tmp_path / "x.zip").exists()


def test_another_key_is_refused(signed, tmp_path, capsys):
    path, _ = signed
    _, other = write_keys(tmp_path, "other")
    assert f"was not signed with the key that belongs to {other}" in refusal(["verify", path, "--key", other], capsys)


def test_any_changed_byte_of_package_or_signature_is_refused(signed, capsys):
    path, public = signed
    for file in (path, path.with_name("small.zip.sig")):
        content = file.read_bytes()
        for place in range(0, len(content), len(content) // 15):
            file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            assert "was not signed with the key" in refusal(["verify", path, "--key", public], capsys)
        for other in (content[:-1], content + b"x", b"", b"{}"):
            file.write_bytes(other)
            assert "was not signed with the key" in refusal(["verify", path, "--key", public], capsys)
        file.write_bytes(content)
    assert main(["verify", str(path), "--key", str(public)]) == 0


def test_a_signature_of_something_else_is_refused(signed, here, tmp_path, keys, capsys):
    path, public = signed
    (here / "docs" / "README.md").write_text("other")
    other = packaged(here, tmp_path / "other.zip", "--sign", keys[0])
    path.with_name("small.zip.sig").write_bytes(other.with_name("other.zip.sig").read_bytes())
    assert "was not signed with the key" in refusal(["verify", path, "--key", public], capsys)


def test_a_signature_whose_hint_names_the_right_key_but_was_made_with_another(signed, here, tmp_path, capsys):
    path, public = signed
    hint = json.loads(path.with_name("small.zip.sig").read_text())["verificationMaterial"]
    other, _ = write_keys(tmp_path, "other")
    packaged(here, path, "--sign", other)
    signature = path.with_name("small.zip.sig")
    signature.write_text(json.dumps(json.loads(signature.read_text()) | {"verificationMaterial": hint}))
    assert "was not signed with the key" in refusal(["verify", path, "--key", public], capsys)


def test_no_signature_is_refused_where_one_is_asked_for(here, path, keys, capsys, caplog):
    assert f"{path}.sig: no such file" in refusal(["verify", path, "--key", keys[1]], capsys)
    with caplog.at_level("INFO"):
        assert main(["verify", str(path)]) == 0
    assert "signature: not checked" in caplog.text


def test_keys_that_are_none(signed, here, tmp_path, keys, capsys):
    path, _ = signed
    edwards, rivest = ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)
    others = [
        *(write_keys(tmp_path, "ed", edwards, serialization.PrivateFormat.PKCS8), write_keys(tmp_path, "rsa", rivest)),
        (keys[1], keys[0]),  # the other way round
        (tmp_path / "missing", tmp_path / "missing"),
    ]
    for private, public in others:
        error = refusal(["package", here, "--out", tmp_path / "x.zip", "--sign", private], capsys)
        assert str(private) in error and "openssl ecparam" in error and not (tmp_path / "x.zip").exists()
        error = refusal(["verify", path, "--key", public], capsys)
        assert str(public) in error and "openssl ec -in KEY" in error
