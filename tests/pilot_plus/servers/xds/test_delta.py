"""Playbooks of the delta form."""

import msgspec
import pytest

from pilot_plus.servers.xds.forms import Form
from pilot_plus.servers.xds.requests import DeltaRequest
from pilot_plus.servers.xds.responses import Responses
from pilot_plus.servers.xds.stream import PATIENCE
from pilot_plus.servers.xds.subscription import FEW, MOST
from pilot_plus.views.xds.resource import Type
from tests.pilot_plus.servers.xds.playbook import Book
from tests.pilot_plus.servers.xds.shelf import Shelf

C, E, L, R = Type.CLUSTER, Type.ENDPOINTS, Type.LISTENER, Type.ROUTES


@pytest.fixture
def shelf() -> Shelf:
    made = Shelf()
    made.put(C, a="1", b="1")
    made.put(E, a="1", b="1")
    made.put(R, r="a")
    return made


@pytest.fixture
def book(shelf: Shelf) -> Book:
    return Book(Form.DELTA, shelf)


@pytest.mark.parametrize("names", [(), ("*",)])
def test_who_names_nothing_or_a_star_gets_everything(book: Book, names: tuple[str, ...]):
    assert book.ask(C, *names) == ["cluster +a=1 +b=1"]
    assert book.accept(C) == []
    book.shelf.put(C, c="1")
    assert book.changed() == ["cluster +c=1"]


def test_who_asks_for_everything_is_answered_though_there_is_nothing(book: Book):
    assert book.ask(L) == ["listener"]


def test_endpoints_come_by_name_only_and_what_others_follow_is_not_sent(book: Book):
    assert book.ask(E) == []
    assert book.ask(E, "a") == ["endpoints +a=1"]
    book.accept(E)
    book.shelf.put(E, b="2")
    assert book.changed() == []
    book.shelf.put(E, a="2")
    assert book.changed() == ["endpoints +a=2"]


def test_an_unknown_name_is_answered_as_removed_and_sent_when_it_comes(book: Book):
    assert book.ask(C, "x") == ["cluster -x"]
    assert book.accept(C) == []
    book.shelf.put(C, x="1")
    assert book.changed() == ["cluster +x=1"]
    book.accept(C)
    book.shelf.drop(C, "x")
    assert book.changed() == ["cluster -x"]
    assert book.accept(C) == []


def test_who_comes_back_with_what_is_still_true_is_sent_nothing(book: Book):
    versions = dict(book.shelf.versions(E))
    assert book.ask(C, "*", has=dict(book.shelf.versions(C))) == []
    assert book.ask(E, "a", "b", has=versions) == []
    book.shelf.put(E, b="2")
    assert book.changed() == ["endpoints +b=2"]


def test_who_comes_back_is_sent_what_has_changed_and_then_what_is_gone(book: Book):
    versions = {**book.shelf.versions(C), "old": "v0"}
    book.shelf.put(C, b="2")
    assert book.ask(C, "*", has=versions) == ["cluster +b=2"]
    assert book.accept(C) == ["cluster -old"]


def test_who_asks_again_is_answered_again(book: Book):
    book.ask(E, "a")
    book.accept(E)
    assert book.ask(E, "a") == ["endpoints +a=1"]


def test_who_let_go_hears_nothing_and_gets_it_when_it_asks_again(book: Book):
    book.ask(E, "a", "b")
    book.accept(E)
    assert book.ask(E, less=("a",)) == []
    book.shelf.put(E, a="2")
    assert book.changed() == []
    assert book.ask(E, "a") == ["endpoints +a=2"]


def test_who_lets_go_of_one_of_all_is_told_that_it_is_still_among_them(book: Book):
    book.ask(C, "*", "a")
    book.accept(C)
    assert book.ask(C, less=("a",)) == ["cluster +a=1"]


def test_who_lets_go_of_all_keeps_what_it_named(book: Book):
    book.ask(C, "*", "a")
    book.accept(C)
    assert book.ask(C, less=("*",)) == []
    book.shelf.put(C, a="2", b="2")
    assert book.changed() == ["cluster +a=2"]


def test_a_slow_client_gets_the_newest_and_nothing_in_between(book: Book):
    book.ask(E, "a")
    for content in "2345":
        book.shelf.put(E, a=content)
        assert book.changed() == []
    assert book.accept(E) == ["endpoints +a=5"]


def test_an_answer_to_something_older_counts_for_nothing(book: Book):
    book.ask(E, "a")
    stale = book.nonces[E]
    book.accept(E)
    book.shelf.put(E, a="2")
    book.changed()
    book.nonces[E], fresh = stale, book.nonces[E]
    book.shelf.put(E, a="3")
    book.changed()
    assert book.accept(E) == []
    book.nonces[E] = fresh
    assert book.accept(E) == ["endpoints +a=3"]


def test_clusters_come_before_endpoints_before_routes_and_go_after_them(book: Book):
    for type_, names in ((C, ("*",)), (E, ("a",)), (R, ("r",))):
        book.ask(type_, *names)
        book.accept(type_)
    book.shelf.put(C, n="1")
    book.shelf.put(E, n="1")
    book.shelf.put(R, r="n")
    book.shelf.drop(C, "a")
    book.shelf.drop(E, "a")
    assert book.changed() == ["cluster +n=1"]
    assert book.ask(E, "n") == ["endpoints +n=1"]
    assert book.accept(C) == []
    assert book.accept(E) == ["routes +r=n"]
    assert book.accept(R) == ["endpoints -a"]
    assert book.accept(E) == ["cluster -a"]


def test_a_client_that_does_not_answer_holds_its_changes_back_only_for_a_while(book: Book):
    book.ask(C, "*")
    book.ask(R, "r")
    book.accept(R)
    book.shelf.put(R, r="b")
    assert book.changed() == []
    assert book.stream.waits_until() == PATIENCE
    assert book.later(PATIENCE) == ["routes +r=b"]


def test_what_a_client_asks_for_is_answered_whatever_is_out(book: Book):
    assert book.ask(C, "*") == ["cluster +a=1 +b=1"]
    assert book.ask(E, "a") == ["endpoints +a=1"]
    assert book.ask(R, "r") == ["routes +r=a"]
    assert book.ask(L) == ["listener"]


def test_a_cluster_that_changed_is_followed_by_its_endpoints_for_it_is_warmed_anew(book: Book):
    book.ask(C, "*")
    book.accept(C)
    book.ask(E, "a", "b")
    book.accept(E)
    book.shelf.put(C, a="2")
    assert book.changed() == ["cluster +a=2", "endpoints +a=1"]


def test_one_that_is_rejected_is_not_sent_again_until_it_changes(book: Book):
    book.ask(E, "a")
    assert book.reject(E, "bad") == []
    assert book.stream.subscriptions[E].rejected["a"].reason == "bad"
    assert book.changed() == []
    book.shelf.put(E, a="2")
    assert book.changed() == ["endpoints +a=2"]
    book.accept(E)
    assert not book.stream.subscriptions[E].rejected


def test_the_guilty_one_is_found_by_halves_and_the_others_go_on(book: Book):
    book.shelf.put(C, c="1", d="1")
    assert book.ask(C) == ["cluster +a=1 +b=1 +c=1 +d=1"]
    assert book.reject(C) == ["cluster +a=1 +b=1"]
    assert book.accept(C) == ["cluster +c=1 +d=1"]
    assert book.reject(C) == ["cluster +c=1"]
    assert book.reject(C) == ["cluster +d=1"]
    assert book.accept(C) == []
    assert set(book.stream.subscriptions[C].rejected) == {"c"}
    assert set(book.stream.subscriptions[C].held) == {"a", "b", "d"}


def test_the_guilty_one_that_is_named_is_tried_alone(book: Book):
    book.shelf.put(C, guilty="1")
    book.ask(C)
    assert book.reject(C, "Error adding/updating cluster(s) guilty: bad") == ["cluster +a=1 +b=1"]
    assert book.accept(C) == ["cluster +guilty=1"]
    assert book.reject(C, "bad") == []


def test_a_rejected_one_stays_as_it_was_accepted_last(book: Book):
    book.ask(E, "a")
    book.accept(E)
    book.shelf.put(E, a="2")
    book.changed()
    book.reject(E)
    held = book.stream.subscriptions[E].held["a"]
    assert held.body[2:] == b"1"
    book.shelf.put(E, a="1")
    assert book.changed() == []  # it has that


def test_much_is_sent_in_parts_each_after_the_one_before(book: Book):
    book.shelf.put(E, **{f"n{n:05}": "1" for n in range(MOST + 10)})
    first = book.ask(E, *(f"n{n:05}" for n in range(MOST + 10)))
    assert first[0].count("+") == MOST
    assert book.accept(E)[0].count("+") == 10
    assert book.accept(E) == []


def test_also_what_is_not_there_is_said_in_parts(book: Book):
    book.shelf.put(E, **{f"n{n:05}": "1" for n in range(10)})
    first = book.ask(E, *(f"n{n:05}" for n in range(MOST + 10)))
    assert (first[0].count("+"), first[0].count("-")) == (10, MOST - 10)
    assert book.accept(E)[0].count("-") == 10
    assert book.accept(E) == []


def test_what_is_looked_at_next_is_told_while_the_client_goes_on_asking(book: Book):
    names = [f"n{n}" for n in range(FEW + 1)]
    request = DeltaRequest(type=C, subscribe=frozenset(names))
    book.stream.request(request, 0)
    pending = book.stream.pending()
    assert next(pending) == (C, set(names))
    book.stream.request(msgspec.structs.replace(request, type=E), 0)
    assert list(pending) == []
    assert [type_ for type_, _ in book.stream.pending()] == [C, E]


def test_when_the_supply_forgot_what_changed_everything_is_compared(book: Book):
    book.ask(E, "a", "b")
    book.accept(E)
    book.shelf.put(E, b="2")
    book.shelf.forgets_before = book.shelf.mark
    assert book.changed() == ["endpoints +b=2"]


def test_a_type_that_is_not_served_is_noted_and_hurts_nothing(book: Book):
    assert not book.stream.request(DeltaRequest(type="type.googleapis.com/any.Other"), 0)
    assert book.ask(E, "a") == ["endpoints +a=1"]
    assert book.stream.unknown == {"type.googleapis.com/any.Other"}


def test_streams_that_get_the_same_get_the_same_bytes(shelf: Shelf):
    responses = Responses()
    resources = [one for name in "ab" if (one := shelf.get(E, name))]
    assert responses.delta(E, resources, ()) is responses.delta(E, resources, ())
    assert responses.delta(E, resources, ()) is not responses.delta(E, resources, ("c",))
    assert responses.state(E, "v", resources) is responses.state(E, "v", resources)


def test_what_is_kept_to_be_shared_is_bounded(shelf: Shelf):
    responses = Responses(kept_bytes=1000)
    first = responses.delta(E, (), ("first",))
    for n in range(20):
        responses.delta(E, (), (f"name-{n}",))
    assert responses.delta(E, (), ("first",)) is not first


def test_a_defect_with_one_resource_takes_no_other_and_the_client_keeps_what_it_has_of_it(book: Book):
    book.ask(E, "a", "b")
    book.accept(E)
    book.shelf.broken.add("a")
    book.shelf.put(E, a="2", b="2")
    assert book.changed() == ["endpoints +b=2"]
    book.accept(E)
    book.shelf.broken.clear()
    book.shelf.put(E, a="3")
    assert book.changed() == ["endpoints +a=3"]


def test_who_has_what_there_is_again_rejects_nothing_any_more(book: Book):
    book.ask(E, "a", "b")
    book.accept(E)
    for content in ("2", "1"):
        book.shelf.put(E, a=content)
        book.changed()
        if content == "2":
            book.reject(E)
    assert not book.stream.subscriptions[E].rejected
    book.shelf.put(E, b="2")
    book.changed()
    book.reject(E)
    book.shelf.drop(E, "b")
    book.changed()
    assert not book.stream.subscriptions[E].rejected
