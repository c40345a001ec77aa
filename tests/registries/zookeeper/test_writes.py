from kazoo.exceptions import BadVersionError, ConnectionLoss, NoAuthError, NoNodeError, RolledBackError
from kazoo.protocol.states import ZnodeStat

from pilot_plus.model import NO_ORIGIN, Instance, Origin, Port, instance
from pilot_plus.ports import Done, Failed, Refused
from registries.layouts.curator import Curator
from registries.layouts.tree import Companion
from registries.zookeeper.requests import Change, Create, Delete, Multi, Node
from registries.zookeeper.writes import (
    Found,
    Intent,
    Proof,
    companion_plan,
    drop_write,
    intent_of,
    put_write,
    result_of,
)

US, THEM = 7, 8
ORIGIN = Origin("east", "consul", "orders-1")
PROOF = Proof(US, {})


def copy(lease: float = 15.0, origin: Origin = ORIGIN) -> Instance:
    ports = [Port("", 1)]
    return instance(key="k", name="orders", id="1", address="h", ports=ports, lease=lease, origin=origin)


def intent(lease: float = 15.0, origin: Origin = ORIGIN) -> Intent:
    return intent_of(copy(lease, origin), Curator())


def stat(owner: int = 0, version: int = 3, czxid: int = 100) -> ZnodeStat:
    return ZnodeStat(czxid, 0, 0, 0, version, 0, 0, owner, 0, 0, 0)


def there(owner: int, origin: Origin = ORIGIN, data: bytes | None = None, path: str = "") -> Found:
    raw = intent().raw
    return Found(path or raw.path, raw.data if data is None else data, stat(owner), origin)


def test_what_is_not_there_is_created_with_the_lifetime_that_was_asked_for():
    for lease in (15.0, 0.0):
        one = intent(lease)
        assert put_write(one, [], PROOF) == Create(one.raw.path, one.raw.data, bool(lease))


def test_the_same_with_the_right_lifetime_is_done():
    assert put_write(intent(), [there(US)], PROOF) == Done(intent().sought.key)


def test_another_text_is_changed_if_nobody_else_changes_it():
    assert put_write(intent(), [there(US, data=b"old")], PROOF) == Change(intent().raw.path, intent().raw.data, 3)


def test_a_copy_of_the_same_truth_on_another_session_is_taken_over_in_one_transaction():
    one = intent()
    expected = Multi((Delete(one.raw.path, 3), Create(one.raw.path, one.raw.data, True)))
    assert put_write(one, [there(THEM)], PROOF) == expected


def test_the_new_node_comes_before_the_old_one_goes():
    one = intent()
    expected = Multi((Create(one.raw.path, one.raw.data, True), Delete("/old", 3)))
    assert put_write(one, [there(US, path="/old")], PROOF) == expected


def test_a_copy_of_another_truth_is_a_conflict_even_on_our_session():
    assert isinstance(put_write(intent(), [there(US, Origin("west", "etcd", "x"))], PROOF), Refused)


def test_a_record_without_a_mark_is_ours_only_by_session_or_by_the_transaction_that_created_it():
    for owner, proof, expected in (
        (THEM, PROOF, Refused),
        (0, PROOF, Refused),
        (US, PROOF, Change),
        (0, Proof(US, {intent().raw.path: 100}), Multi),
        (0, Proof(US, {intent().raw.path: 99}), Refused),
    ):
        assert isinstance(put_write(intent(), [there(owner, NO_ORIGIN, b"x")], proof), expected)


def test_a_former_session_of_ours_may_still_hold_what_has_no_mark():
    one = intent(origin=NO_ORIGIN)
    same = Found(one.raw.path, one.raw.data, stat(THEM), NO_ORIGIN)
    assert isinstance(put_write(one, [same], PROOF), Failed)
    durable = intent(0.0, NO_ORIGIN)
    assert isinstance(put_write(durable, [Found(one.raw.path, durable.raw.data, stat(), NO_ORIGIN)], PROOF), Done)


def test_only_what_is_ours_is_removed():
    sought = intent().sought
    assert drop_write(sought, [], PROOF) == Done(sought.key)
    assert drop_write(sought, [there(US, NO_ORIGIN)], PROOF) == Delete(sought.key, 3)
    assert drop_write(sought, [there(0)], PROOF) == Delete(sought.key, 3)
    assert isinstance(drop_write(sought, [there(THEM, NO_ORIGIN)], PROOF), Refused)
    assert drop_write(sought, [there(US), there(THEM, NO_ORIGIN, path="/x")], PROOF) == Delete(sought.key, 3)


def test_an_answer_is_done_refused_or_may_be_tried_again():
    assert result_of("k", "/path") == Done("k")
    assert result_of("k", [True, "/path"]) == Done("k")
    assert isinstance(result_of("k", NoAuthError()), Refused)
    for answer in (BadVersionError(), ConnectionLoss(), [RolledBackError(), BadVersionError()]):
        assert isinstance(result_of("k", answer), Failed)
    assert isinstance(result_of("k", [RolledBackError(), NoAuthError()]), Refused)


def test_a_companion_joins_what_others_wrote():
    companion = Companion("/mapping/a.B", b"orders", joins=True)
    assert companion_plan(companion, NoNodeError()) == Create("/mapping/a.B", b"orders")
    assert companion_plan(companion, Node(b"carts, orders", stat())) == Done("/mapping/a.B")
    assert companion_plan(companion, Node(b"carts", stat())) == Change("/mapping/a.B", b"carts,orders", 3)
    assert isinstance(companion_plan(companion, NoAuthError()), Refused)
