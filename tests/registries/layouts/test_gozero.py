import msgspec
import pytest
from hypothesis import given

from pilot_plus.model import NO_ORIGIN, Instance, Port
from registries.layouts.gozero import GoZero
from registries.layouts.layout import Raw
from tests.registries.layouts.etcd_layouts import instances, is_canonical, one, records_of

LAYOUT = GoZero(prefix="zero")


def test_the_value_is_the_address():
    said = one(GoZero(), "user.rpc/7587862094", "10.2.0.1:9000")
    assert (said.key, said.name, said.id) == ("user.rpc/7587862094", "user.rpc", "7587862094")
    assert (said.address, said.ports) == ("10.2.0.1", (Port("grpc", 9000, "grpc"),))


def test_in_a_shared_key_space_a_key_without_a_number_is_somebody_elses():
    shared = GoZero()
    assert shared.decode(Raw("config/database", b"10.2.0.1:5432")) == ()
    assert shared.decode(Raw("orders/10.2.0.1:9000", b'{"Addr":"10.2.0.1:9000"}')) == ()
    with pytest.raises(ValueError, match="HOST:PORT"):
        shared.decode(Raw("user.rpc/7587862094", b"nowhere"))


def test_a_value_that_is_no_address_has_a_reason():
    with pytest.raises(ValueError, match="HOST:PORT"):
        LAYOUT.decode(Raw("zero/user.rpc/1", b"fd00::1:9000"))


@given(instances(protocols=("grpc",)))
def test_what_was_written_is_read_back_as_the_table_says(written: Instance):
    raw = LAYOUT.encode(written)
    last = raw.path.rpartition("/")[2]
    assert last.isdecimal()
    assert int(last) < 1 << 63
    kept = msgspec.structs.replace(
        written, key=raw.path, id=last, weight=100, metadata=(), origin=NO_ORIGIN, zone="", layout="go-zero"
    )
    assert one(LAYOUT, raw.path, raw.data) == kept


@given(records_of({}, "zero/"))
def test_no_record_can_do_more_than_be_refused(raw: Raw):
    assert is_canonical(LAYOUT, raw)
    assert is_canonical(GoZero(), raw)
