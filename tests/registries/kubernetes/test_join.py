"""Join: in which slices an endpoint stands."""

from pilot_plus.model import Port, Service, instance
from registries.kubernetes.decode import KnownService, Members
from registries.kubernetes.join import Join

ORDERS = ("shop", "orders")


def members(*addresses: str) -> Members:
    ports = [Port("http", 8080, "http")]
    made = [instance(key=f"shop/orders/{ip}", name="orders", id=ip, address=ip, ports=ports) for ip in addresses]
    return Members(ORDERS, "IPv4", {one.key: one for one in made})


def test_the_slices_of_an_endpoint_are_known_as_long_as_it_stands_in_them():
    join = Join()
    join.put_service(ORDERS, KnownService(Service(key="shop/orders", namespace="shop", name="orders")))
    join.put_slice(("shop", "orders-1"), members("10.0.0.1", "10.0.0.2"))
    join.put_slice(("shop", "orders-2"), members("10.0.0.2"))
    assert join.places(["shop/orders/10.0.0.1", "shop/orders/10.0.0.2", "shop/orders/10.0.0.3"]) == {
        "shop/orders/10.0.0.1": ["endpointslices/shop/orders-1"],
        "shop/orders/10.0.0.2": ["endpointslices/shop/orders-1", "endpointslices/shop/orders-2"],
    }
    join.put_slice(("shop", "orders-1"), None)
    assert join.places(["shop/orders/10.0.0.1", "shop/orders/10.0.0.2"]) == {
        "shop/orders/10.0.0.2": ["endpointslices/shop/orders-2"]
    }
