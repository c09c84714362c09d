"""Contexts of TLS read certifi's authorities at their first connection."""

from __future__ import annotations

import ssl

import certifi
import pytest

from tasks.core.authorities import read_authorities_late


@pytest.fixture(autouse=True)
def late() -> None:
    read_authorities_late()
    read_authorities_late()


def protect(context: ssl.SSLContext) -> ssl.SSLObject:
    return context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="example.org")


def test_a_context_reads_no_authorities_before_its_first_connection():
    assert ssl.create_default_context(cafile=certifi.where()).cert_store_stats()["x509"] == 0


def test_a_connection_is_checked_against_all_of_certifis_authorities():
    context = ssl.create_default_context(cafile=certifi.where())
    protect(context)
    expected = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    expected.load_verify_locations(certifi.where())
    assert context.cert_store_stats() == expected.cert_store_stats()


def test_a_context_verifies_certificates_and_names_as_pythons_own_does():
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context(cafile=certifi.where())
    assert (context.verify_mode, context.check_hostname) == (own.verify_mode, own.check_hostname)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_file_of_the_users_is_read_at_once(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        ssl.create_default_context(cafile=str(tmp_path / "missing.pem"))


def test_a_context_for_servers_and_the_systems_authorities_are_as_before():
    assert ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).verify_mode is ssl.CERT_NONE
    assert protect(ssl.create_default_context()).context.verify_mode is ssl.CERT_REQUIRED
