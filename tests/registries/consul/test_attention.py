"""Which service is asked how."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from registries.consul.attention import Attention


def test_every_service_within_the_bound_gets_a_long_poll_and_nothing_is_read_besides():
    attention = Attention(3)
    assert attention.begin(["a", "b", "c"]) == ["a", "b", "c"]
    attention.sweep()
    assert attention.claim() is None


def test_what_is_beyond_the_bound_is_swept():
    attention = Attention(1)
    assert attention.begin(["a", "b", "c"]) == ["a"]
    assert attention.claim() is None
    attention.sweep()
    assert [attention.claim(), attention.claim(), attention.claim()] == ["b", "c", None]


def test_a_new_service_gets_a_long_poll_or_is_read_at_once():
    attention = Attention(2)
    attention.begin(["a"])
    assert attention.update(["a", "b"]) == (["b"], [])
    assert attention.update(["a", "b", "c"]) == ([], [])
    assert attention.claim() == "c"


def test_a_service_that_is_gone_from_the_list_is_read_once_more_and_leaves_its_place():
    attention = Attention(1)
    attention.begin(["a", "b"])
    assert attention.update(["b"]) == (["b"], ["a"])
    assert attention.claim() == "a"
    attention.was_read("a", changed=True)
    assert attention.claim() is None


def test_a_touched_service_is_read_before_the_rest_of_the_sweep():
    attention = Attention(1)
    attention.begin(["a", "b", "c", "d"])
    attention.sweep()
    attention.touched(["d", "a", "unknown"])
    assert [attention.claim(), attention.claim()] == ["d", "b"]


def test_a_service_touched_while_it_is_read_is_read_again():
    attention = Attention(1)
    attention.begin(["a", "b"])
    attention.touched(["b"])
    assert attention.claim() == "b"
    attention.touched(["b"])
    assert attention.claim() is None
    attention.was_read("b", changed=True)
    assert attention.claim() == "b"


def test_a_long_poll_without_news_goes_to_a_service_that_changed():
    attention = Attention(1)
    attention.begin(["a", "b", "c"])
    assert attention.trade("a") is None
    attention.touched(["c"])
    attention.claim()
    attention.was_read("c", changed=True)
    assert attention.trade("a") == "c"
    assert attention.polled == {"c"}
    assert set(attention.beyond) == {"a", "b"}


class Attending(RuleBasedStateMachine):
    """Whatever happens: nobody is forgotten, nobody is asked by two, and the bound holds."""

    names = st.sets(st.sampled_from("abcdefg"))

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention(2)
        self.polls: set[str] = set(self.attention.begin(["a", "b", "c"]))
        self.reading: set[str] = set()

    @rule(listed=names)
    def list_arrives(self, listed: set[str]) -> None:
        start, stop = self.attention.update(sorted(listed))
        assert self.polls.issuperset(stop)
        self.polls = (self.polls - set(stop)) | set(start)

    @rule(services=names)
    def checks_change(self, services: set[str]) -> None:
        self.attention.touched(services)

    @rule()
    def sweep_begins(self) -> None:
        self.attention.sweep()

    @rule()
    def reader_asks(self) -> None:
        service = self.attention.claim()
        if service:
            assert service not in self.reading
            self.reading.add(service)

    @precondition(lambda self: self.reading)
    @rule(changed=st.booleans())
    def reader_is_done(self, changed: bool) -> None:
        self.attention.was_read(self.reading.pop(), changed=changed)

    @precondition(lambda self: self.polls)
    @rule(data=st.data())
    def poll_ends_without_news(self, data: st.DataObject) -> None:
        service = data.draw(st.sampled_from(sorted(self.polls)))
        if other := self.attention.trade(service):
            self.polls = (self.polls - {service}) | {other}

    @invariant()
    def nobody_is_asked_by_two(self) -> None:
        assert self.polls == self.attention.polled
        assert not self.polls & self.reading

    @invariant()
    def the_bound_holds(self) -> None:
        assert len(self.polls) <= 2

    @invariant()
    def nobody_is_forgotten(self) -> None:
        assert self.attention.polled | set(self.attention.beyond) == self.attention.listed


TestAttending = Attending.TestCase
