from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Instance, Port, instance
from pilot_plus.ports import Done, Refused
from registries.etcd import wire_pb2 as wire
from registries.etcd.copies import (
    MOST_SIBLINGS,
    Last,
    Write,
    copy_of,
    drop_write,
    guess,
    preview_of,
    put_write,
    read_cost,
    read_txn,
    sought_of,
    write_cost,
    write_txn,
)
from registries.layouts.apisix import Apisix
from registries.layouts.etcd_dubbo import EtcdDubbo
from registries.layouts.mark import ORIGIN
from registries.layouts.micro import Micro
from registries.layouts.naming import Naming

NAMING, DUBBO = Naming(prefix="services"), EtcdDubbo()
LEASE = 5


def made(weight: int = 100, protocol: str = "grpc") -> Instance:
    ports = [Port(protocol, 80, protocol)]
    return instance(key="", name="com.X", id="1", address="10.0.0.1", ports=ports, weight=weight, lease=15)


COPY = copy_of(NAMING, made())
PROVIDER = copy_of(DUBBO, made(protocol="dubbo"))
OLD = copy_of(DUBBO, made(50, protocol="dubbo"))


def there(path: bytes = COPY.path, data: bytes = COPY.data, lease: int = LEASE, revision: int = 9) -> wire.KeyValue:
    return wire.KeyValue(key=path, value=data, lease=lease, mod_revision=revision)


def ours(kv: object) -> bool:
    return True


def foreign(kv: object) -> bool:
    return False


def test_a_copy_says_how_it_will_be_reported():
    reported = preview_of(copy_of(NAMING, made()))
    assert reported.key == COPY.sought.key == "services/com.X/10.0.0.1:80"
    assert reported.layout == "naming"


def test_what_is_not_there_is_created_if_it_still_is_not():
    write = put_write(COPY, [], LEASE, foreign)
    put = wire.PutRequest(key=COPY.path, value=COPY.data, lease=LEASE)
    assert write == Write(COPY.sought.key, ((COPY.path, 0),), put, ())


def test_what_is_there_as_it_should_be_is_not_written():
    assert put_write(COPY, [there()], LEASE, ours) == Done(COPY.sought.key)


def test_the_guess_is_that_nobody_touched_it_since_we_did():
    first = guess(COPY, LEASE, None)
    assert first == put_write(COPY, [], LEASE, ours)
    other = guess(COPY, LEASE, Last(9, LEASE, 0))
    assert isinstance(other, Write)
    assert (other.seen, other.put) == (((COPY.path, 9),), first.put if first else None)
    assert guess(COPY, LEASE, Last(9, LEASE, crc32(COPY.data))) == Write(COPY.sought.key, ((COPY.path, 9),), None, ())
    assert guess(PROVIDER, LEASE, None) is None


def test_what_claims_to_be_a_copy_and_is_none_is_not_written():
    with pytest.raises(ValueError, match="only a hub may say"):
        copy_of(NAMING, msgspec.structs.replace(made(), metadata=((ORIGIN, "east|zk|x|"),)))


@pytest.mark.parametrize("other", [there(data=b"x"), there(lease=4)])
def test_what_is_ours_and_different_is_written_if_nobody_was_faster(other: wire.KeyValue):
    write = put_write(COPY, [other], LEASE, ours)
    assert isinstance(write, Write)
    assert write.seen == ((COPY.path, 9),)
    assert write.put is not None


def test_what_is_somebody_elses_is_left_alone():
    assert isinstance(put_write(COPY, [there()], LEASE, foreign), Refused)
    assert isinstance(drop_write(COPY.sought, [there()], foreign), Refused)


def test_a_drop_of_what_is_not_there_is_done():
    assert drop_write(COPY.sought, [], ours) == Done(COPY.sought.key)


def test_a_provider_with_a_new_weight_replaces_its_old_record_in_one_step():
    assert PROVIDER.sought == OLD.sought
    assert PROVIDER.path != OLD.path
    write = put_write(PROVIDER, [there(OLD.path, b"", revision=3)], LEASE, ours)
    assert isinstance(write, Write)
    assert (write.seen, write.deletes) == (((PROVIDER.path, 0), (OLD.path, 3)), (OLD.path,))


def test_records_beside_a_provider_that_say_another_are_nobodys_business():
    other = there(OLD.path.replace(b"com.X%3F", b"com.X%3Fversion%3D2%26"), b"")
    write = put_write(PROVIDER, [other, there(b"\xff"), there(b"/dubbo/com.X/providers/x")], LEASE, ours)
    assert isinstance(write, Write)
    assert write.deletes == ()
    assert drop_write(PROVIDER.sought, [other], foreign) == Done(PROVIDER.sought.key)


def test_more_records_in_its_place_than_a_transaction_holds_are_refused():
    many = [there(OLD.path + b"%26n%3D" + str(n).encode(), b"") for n in range(MOST_SIBLINGS + 1)]
    assert isinstance(put_write(PROVIDER, many, LEASE, ours), Refused)
    assert read_txn([PROVIDER.sought]).success[0].request_range.limit == len(many)


def test_what_could_not_be_read_back_is_not_written():
    huge = instance(
        key="", name="a", id="1", address="a", ports=[Port("grpc", 1, "grpc")], metadata={"x": "y" * (1 << 20)}
    )
    with pytest.raises(ValueError, match="bytes, more than"):
        copy_of(Micro(), huge)
    with pytest.raises(ValueError, match="only read"):
        copy_of(Apisix(), made())


@given(st.text())
def test_any_key_can_be_looked_for_or_is_refused(key: str):
    for layout in (DUBBO, NAMING):
        try:
            assert read_cost(sought_of(layout, layout.root + key))[0] == 1
        except ValueError as error:
            assert "surrogates" in str(error)  # noqa: PT017 - most keys raise nothing


def test_changes_are_one_transaction_with_conditions_and_a_look_at_the_locks():
    first = put_write(COPY, [], LEASE, ours)
    second = put_write(PROVIDER, [there(OLD.path, b"")], LEASE, ours)
    assert isinstance(first, Write)
    assert isinstance(second, Write)
    assert (write_cost(first)[0], write_cost(second)[0]) == (1, 2)
    txn = write_txn([first, second], [wire.Compare(key=b"lock")])
    assert [one.key for one in txn.compare] == [b"lock", COPY.path, PROVIDER.path, OLD.path]
    assert [one.request_put.key for one in txn.success[:2]] == [COPY.path, PROVIDER.path]
    assert txn.success[2].request_delete_range.key == OLD.path
    assert [one.request_range.key for one in txn.failure] == [b"lock"]
