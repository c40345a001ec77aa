"""Whatever happens in whatever order, a client that answers ends with exactly what there is for it, and no older."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.servers.xds.forms import Form
from pilot_plus.views.xds.resource import Type
from tests.pilot_plus.servers.xds.playbook import Book
from tests.pilot_plus.servers.xds.shelf import Shelf

C, E, R = Type.CLUSTER, Type.ENDPOINTS, Type.ROUTES
NAMES = "abcd"
BAD = "bad"

ACTS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from((C, E)), st.sampled_from(NAMES), st.sampled_from(("1", "2", BAD))),
    st.tuples(st.just("drop"), st.sampled_from((C, E)), st.sampled_from(NAMES), st.just("")),
    st.tuples(st.just("answer"), st.sampled_from((C, E)), st.just(""), st.just("")),
    st.tuples(st.just("more"), st.just(E), st.sampled_from(NAMES), st.just("")),
    st.tuples(st.just("less"), st.just(E), st.sampled_from(NAMES), st.just("")),
    st.tuples(st.just("forget"), st.just(E), st.just(""), st.just("")),
)


class Client:
    """A client that takes what is right, and rejects a response with anything bad in it."""

    def __init__(self, form: Form) -> None:
        self.shelf = Shelf()
        self.book = Book(form, self.shelf)
        self.wants: set[str] = set()
        self.has: dict[Type, dict[str, str]] = {C: {}, E: {}}
        self.out: dict[Type, list[str]] = {}
        self.answers = 0
        self._hear(self.book.ask(C, "*") if form is Form.DELTA else self.book.want(C))

    def act(self, what: str, type_: Type, name: str, content: str) -> None:
        match what:
            case "put":
                self.shelf.put(type_, **{name: f"{name}{content}"})
                self._hear(self.book.changed())
            case "drop" if self.shelf.get(type_, name):
                self.shelf.drop(type_, name)
                self._hear(self.book.changed())
            case "answer":
                self.answer(type_)
            case "more":
                self.wants.add(name)
                self._want({name}, set())
            case "less":
                self.wants.discard(name)
                self.has[E].pop(name, None)
                self._want(set(), {name})
            case "forget":
                self.shelf.forgets_before = self.shelf.mark

    def answer(self, type_: Type) -> bool:
        """Answer what is out, if anything is: whether it was."""
        words = self.out.pop(type_, None)
        if words is None:
            return False
        self.answers += 1
        if any(word.endswith(BAD) for word in words):
            self._hear(self.book.reject(type_, "that is bad"))
            return True
        if self.book.form is Form.STATE and type_ is C:
            self.has[C] = {}
        for word in words:
            if word.startswith("-"):
                self.has[type_].pop(word[1:], None)
            else:
                content = word.rpartition("=")[2]
                if type_ is C or content[0] in self.wants:
                    self.has[type_][content[0]] = content
        self._hear(self.book.accept(type_))
        return True

    def _want(self, more: set[str], less: set[str]) -> None:
        if self.book.form is Form.DELTA:
            self._hear(self.book.ask(E, *more, less=tuple(less)))
        elif E not in self.out:
            self._hear(self.book.want(E, *self.wants))
        else:
            self.book.names[E] = set(self.wants)  # it goes along with the next answer

    def _hear(self, heard: list[str]) -> None:
        for one in heard:
            kind, *words = one.split(" ")
            type_ = Type[kind.upper()]
            assert type_ not in self.out, "one response at a time"
            self.out[type_] = words

    def settle(self) -> None:
        for _ in range(100):
            self._hear(self.book.changed())
            answered = [self.answer(type_) for type_ in (C, E)]
            if not any(answered):
                return
        pytest.fail("it never comes to rest")


@pytest.mark.parametrize("form", Form)
@given(acts=st.lists(ACTS, max_size=40))
def test_a_client_that_answers_ends_with_what_there_is(form: Form, acts: list[tuple[str, Type, str, str]]):
    client = Client(form)
    for act in acts:
        client.act(*act)
    client.settle()
    client.settle()
    for type_ in (C, E):
        there = {
            name: one.body[2:].decode()
            for name in (NAMES if type_ is C else sorted(client.wants))
            if (one := client.shelf.get(type_, name))
        }
        good = {name: content for name, content in there.items() if not content.endswith(BAD)}
        has = client.has[type_]
        assert {name: has.get(name) for name in good} == good
        # What was taken back is gone, but for the form that has no word for it; what is bad stays as it was.
        if form is Form.DELTA or type_ is C:
            assert has.keys() <= there.keys()
        assert not any(content.endswith(BAD) for content in has.values())
