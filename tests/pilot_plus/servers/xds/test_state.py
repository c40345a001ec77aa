"""Playbooks of the form of the state of the world."""

import pytest

from pilot_plus.servers.xds.forms import Form
from pilot_plus.views.xds.resource import Type
from tests.pilot_plus.servers.xds.playbook import Book
from tests.pilot_plus.servers.xds.shelf import Shelf

C, E, L, R = Type.CLUSTER, Type.ENDPOINTS, Type.LISTENER, Type.ROUTES


@pytest.fixture
def shelf() -> Shelf:
    made = Shelf()
    made.put(C, a="a1", b="b1")
    made.put(E, a="a1", b="b1")
    made.put(R, r="a")
    return made


@pytest.fixture
def book(shelf: Shelf) -> Book:
    return Book(Form.STATE, shelf)


def test_who_names_nothing_gets_everything_and_again_everything(book: Book):
    assert book.want(C) == ["cluster a1 b1"]
    assert book.accept(C) == []
    book.shelf.put(C, c="c1")
    assert book.changed() == ["cluster a1 b1 c1"]


def test_who_names_clusters_gets_all_of_those_each_time(book: Book):
    assert book.want(C, "a") == ["cluster a1"]
    book.accept(C)
    assert book.want(C, "a", "b") == ["cluster a1 b1"]
    book.accept(C)
    book.shelf.put(C, b="b2")
    assert book.changed() == ["cluster a1 b2"]


def test_a_listener_that_is_not_there_is_missing_from_the_answer(book: Book):
    assert book.want(L, "x") == ["listener"]
    book.accept(L)
    book.shelf.put(L, x="x1")
    assert book.changed() == ["listener x1"]


def test_endpoints_come_alone_when_they_change(book: Book):
    assert book.want(E, "a", "b") == ["endpoints a1 b1"]
    book.accept(E)
    book.shelf.put(E, b="b2")
    assert book.changed() == ["endpoints b2"]


def test_one_more_name_is_answered_and_one_less_is_not(book: Book):
    book.want(E, "a")
    book.accept(E)
    assert book.want(E, "a", "b") == ["endpoints b1"]
    book.accept(E)
    assert book.want(E, "b") == []
    book.shelf.put(E, a="a2")
    assert book.changed() == []


def test_who_asks_once_more_for_what_it_has_is_answered(book: Book):
    book.want(E, "a", "b")
    book.accept(E)
    assert book.want(E, "a", "b") == ["endpoints a1 b1"]


def test_who_comes_back_with_our_version_is_sent_nothing(shelf: Shelf):
    before = Book(Form.STATE, shelf)
    for type_, names in ((C, ()), (E, ("a", "b", "missing"))):
        before.want(type_, *names)
        before.accept(type_)
    again = Book(Form.STATE, shelf)
    assert again.want(C, version=before.version[C]) == []
    assert again.want(E, "a", "b", "missing", version=before.version[E]) == []
    shelf.put(E, a="a2")
    assert again.changed() == ["endpoints a2"]
    changed = Book(Form.STATE, shelf)
    assert changed.want(E, "a", "b", "missing", version=before.version[E]) == ["endpoints a2 b1"]


def test_a_version_is_the_same_however_the_client_got_there(shelf: Shelf):
    one, other = Book(Form.STATE, shelf), Book(Form.STATE, shelf)
    one.want(E, "a")
    one.accept(E)
    one.want(E, "a", "b")
    one.accept(E)
    other.want(E, "a", "b")
    other.accept(E)
    assert one.version[E] == other.version[E]


def test_what_is_gone_goes_last_and_in_a_state_of_its_own(book: Book):
    book.want(C)
    book.accept(C)
    book.want(R, "r")
    book.accept(R)
    book.shelf.drop(C, "a")
    book.shelf.put(C, b="b2")
    book.shelf.put(R, r="b")
    assert book.changed() == ["cluster a1 b2"]
    assert book.accept(C) == ["routes b"]
    assert book.accept(R) == ["cluster b2"]


def test_a_request_that_crossed_a_response_waits_for_its_answer(book: Book):
    book.want(E, "a")
    book.accept(E)
    old = book.nonces[E]
    book.shelf.put(E, a="a2")
    assert book.changed() == ["endpoints a2"]
    new, book.nonces[E] = book.nonces[E], old
    assert book.want(E, "a", "b") == []
    book.nonces[E] = new
    assert book.accept(E) == ["endpoints b1"]


def test_a_rejected_cluster_stays_as_it_was_and_others_go_on(book: Book):
    book.want(C)
    book.accept(C)
    book.shelf.put(C, a="a2")
    assert book.changed() == ["cluster a2 b1"]
    assert book.reject(C, "bad a") == []
    book.shelf.put(C, b="b2")
    assert book.changed() == ["cluster a1 b2"]
    assert book.accept(C) == []
    assert set(book.stream.subscriptions[C].rejected) == {"a"}


def test_of_several_changes_the_guilty_one_is_found(book: Book):
    book.want(C)
    book.accept(C)
    book.shelf.put(C, a="a2", b="b2")
    assert book.changed() == ["cluster a2 b2"]
    assert book.reject(C) == ["cluster a2 b1"]
    assert book.accept(C) == ["cluster a2 b2"]
    assert book.reject(C) == []
    assert set(book.stream.subscriptions[C].rejected) == {"b"}


def test_nothing_is_left_out_for_a_client_whose_state_is_unknown(book: Book):
    assert book.want(C, version="of another time") == ["cluster a1 b1"]
    assert book.reject(C, "bad b") == []
    book.shelf.put(C, a="a2")
    assert book.changed() == ["cluster a2 b1"]


def test_a_cluster_that_changed_is_followed_by_its_endpoints(book: Book):
    book.want(C)
    book.accept(C)
    book.want(E, "a", "b")
    book.accept(E)
    book.shelf.put(C, a="a2")
    assert book.changed() == ["cluster a2 b1", "endpoints a1"]
