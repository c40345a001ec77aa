"""What services and slices say together, and how each change of one changes it."""

from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Drop, Instance, Port, Put, Service, Skipped, Update, instance, shared_ports
from registries.kubernetes.decode import KnownService, Members
from registries.kubernetes.join import Join

SHOP = ("shop", "orders")
KNOWN = KnownService(Service(key="shop/orders", namespace="shop", name="orders"))


def one(number: int, port: str = "http", weight: int = 100) -> Instance:
    address = f"10.4.0.{number}"
    ports = shared_ports((Port(port, 8080),))
    return instance(
        key=f"shop/orders/{address}:8080",
        namespace="shop",
        name="orders",
        id=address,
        address=address,
        ports=ports,
        weight=weight,
    )


def members(*numbers: int, family: str = "IPv4", service: tuple[str, str] = SHOP) -> Members:
    return Members(service, family, {record.key: record for record in map(one, numbers)})


def said(updates: list[Update]) -> list[str]:
    """In short: +1 for an instance that is put, -1 for one that goes."""
    short = []
    for update in updates:
        if isinstance(update, Put):
            short.append("+" + (update.record.address[-1] if isinstance(update.record, Instance) else "service"))
        elif isinstance(update, Drop):
            short.append("-" + (update.key.removesuffix(":8080")[-1] if ":" in update.key else "service"))
    return short


def test_slices_say_nothing_until_their_service_is_there_and_nothing_once_it_is_gone():
    join = Join()
    assert join.put_slice(("shop", "a"), members(1, 2)) == []
    assert said(join.put_service(SHOP, KNOWN)) == ["+service", "+1", "+2"]
    assert said(join.put_service(SHOP, None)) == ["-1", "-2", "-service"]
    assert said(join.put_service(SHOP, KNOWN)) == ["+service", "+1", "+2"]


def test_an_endpoint_in_two_slices_is_one_and_stays_while_one_of_them_has_it():
    join = Join()
    join.put_service(SHOP, KNOWN)
    join.put_slice(("shop", "a"), members(1, 2))
    assert said(join.put_slice(("shop", "b"), members(2, 3))) == ["+3"]
    assert said(join.put_slice(("shop", "a"), members(1))) == []
    assert said(join.put_slice(("shop", "b"), None)) == ["-2", "-3"]


def test_what_is_new_is_said_before_what_is_gone():
    join = Join()
    join.put_service(SHOP, KNOWN)
    join.put_slice(("shop", "a"), members(1))
    assert said(join.put_slice(("shop", "a"), members(2))) == ["+2", "-1"]


def test_a_slice_that_changes_its_service_takes_its_endpoints_with_it():
    join = Join()
    other = ("shop", "carts")
    join.put_service(SHOP, KNOWN)
    join.put_slice(("shop", "a"), members(1))
    assert said(join.put_slice(("shop", "a"), members(1, service=other))) == ["-1"]


def test_of_a_dual_stack_service_the_slices_of_its_first_family_count():
    join = Join()
    join.put_service(SHOP, KnownService(KNOWN.record, "IPv6"))
    assert said(join.put_slice(("shop", "a"), members(1))) == []
    assert said(join.put_slice(("shop", "b"), members(2, family="IPv6"))) == ["+2"]
    assert said(join.put_service(SHOP, KNOWN)) == ["+1"]


def test_the_same_again_says_nothing():
    join = Join()
    join.put_service(SHOP, KNOWN)
    join.put_slice(("shop", "a"), members(1))
    assert join.put_service(SHOP, KNOWN) == join.put_slice(("shop", "a"), members(1)) == []


def test_a_skip_is_said_once_and_taken_back_when_it_is_healed():
    join = Join()
    first = join.skip("x", (("x[0]", "bad"), ("x[1]", "bad")))
    assert len(first) == 2
    assert join.skip("x", (("x[0]", "bad"),)) == [Skipped("x[1]", "")]
    assert join.skip("x", ()) == [Skipped("x[0]", "")]


_MEMBERS = st.none() | st.sets(st.integers(1, 5), max_size=4)
_CHANGES = st.lists(st.tuples(st.sampled_from(["service", "a", "b", "c"]), _MEMBERS), max_size=30)


@given(_CHANGES)
def test_the_changes_one_by_one_make_what_a_list_would_say(changes: list[tuple[str, set[int] | None]]):
    join, held, now = Join(), dict[str, Instance](), dict[str, set[int] | None]()
    for name, numbers in changes:
        now[name] = numbers
        if name == "service":
            updates = join.put_service(SHOP, None if numbers is None else KNOWN)
        else:
            updates = join.put_slice(("shop", name), None if numbers is None else members(*numbers))
        for update in updates:
            if isinstance(update, Put) and isinstance(update.record, Instance):
                held[update.record.key] = update.record
            elif isinstance(update, Drop):
                held.pop(update.key, None)
    there = set().union(*(numbers or () for name, numbers in now.items() if name != "service"))
    assert set(held) == ({one(number).key for number in there} if now.get("service") is not None else set())
    assert {record.key for several in join.instances() for record in several} == set(held)
