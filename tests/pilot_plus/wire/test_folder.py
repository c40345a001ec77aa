import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.wire.certificates import der, key_pem, new_key, pem, read_certificate, read_key, read_pem, read_request
from pilot_plus.wire.folder import Folder
from tests.pilot_plus.identity.company import Company


@pytest.fixture
def company() -> Company:
    return asyncio.run(Company().open())


def test_what_is_kept_is_held_again(company: Company, tmp_path: Path) -> None:
    folder, held = Folder(tmp_path / "new" / "data"), company.held()
    assert folder.held() is None
    folder.keep(held)
    again = Folder(tmp_path / "new" / "data").held()
    assert again is not None
    assert (again.chain, again.identity, again.trust) == (held.chain, held.identity, held.trust)
    assert again.trust.version == held.trust.version
    assert key_pem(again.key) == key_pem(held.key)


def test_a_process_that_dies_while_it_keeps_leaves_the_identity_as_it_was(company: Company, tmp_path: Path) -> None:
    folder, held = Folder(tmp_path), company.held()
    folder.keep(held)
    half = tmp_path / "identity.2"
    half.mkdir()
    (half / "key.pem").write_bytes(key_pem(new_key()))
    (tmp_path / ".identity.2").symlink_to("identity.2")
    assert folder.held() is not None
    folder.keep(company.held(name="edge-2"))
    found = folder.held()
    assert found is not None
    assert found.identity.name == "edge-2"


def test_the_pending_key_is_the_same_until_an_identity_is_kept(company: Company, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert key_pem(folder.pending_key()) == key_pem(folder.pending_key())
    (tmp_path / "pending.pem").write_text("garbage")
    first = key_pem(folder.pending_key())
    folder.keep(company.held())
    assert key_pem(folder.pending_key()) != first


@pytest.mark.parametrize("name", ["key.pem", "chain.pem", "bundle.pem", "hub.pem", "about.json"])
def test_a_file_that_is_missing_or_garbage_or_anothers_holds_nobody(
    company: Company, tmp_path: Path, name: str
) -> None:
    folder = Folder(tmp_path)
    folder.keep(company.held())
    place = folder.current / name
    good = place.read_bytes()
    for wrong in (b"", b"garbage", b"\xff\x00", good[: len(good) // 2]):
        place.write_bytes(wrong)
        assert folder.held() is None
    place.unlink()
    assert folder.held() is None


def test_a_key_that_is_not_the_certificates_holds_nobody(company: Company, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.keep(company.held())
    (folder.current / "key.pem").write_bytes(key_pem(new_key()))
    assert folder.held() is None


@given(st.binary(max_size=400))
def test_what_strangers_send_is_read_or_a_value_error(data: bytes) -> None:
    for read in (read_certificate, read_request, read_pem, read_key):
        with pytest.raises(ValueError):  # noqa: PT011 - any message
            read(data)


LEAF = der(asyncio.run(Company().open()).held().chain[0])


@given(st.data())
def test_a_certificate_with_changed_bytes_is_read_or_a_value_error(data: st.DataObject) -> None:
    good = bytearray(LEAF)
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        assert pem([read_certificate(bytes(good))])
