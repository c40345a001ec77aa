"""Instances for the property tests of layouts: any that the model allows, and any that a hostile registry may hold."""

from hypothesis import strategies as st

from pilot_plus.model import Health, Instance, Origin, Port, instance

words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)
names = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]).filter(str.isprintable), min_size=1, max_size=30
)
addresses = st.one_of(st.ip_addresses().map(str), words.map(lambda word: f"{word.lower()}.example"))
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30)
metadata = st.dictionaries(texts, texts, max_size=5)
origins = st.one_of(
    st.just(Origin()),
    st.builds(Origin, words, words, texts.filter(bool), st.lists(words, max_size=3).map(tuple)),
)


@st.composite
def instances(draw: st.DrawFn, service: st.SearchStrategy[str] = names, protocol: str = "http") -> Instance:
    """An instance with one port of this protocol."""
    origin = draw(origins)
    return instance(
        key="any",
        name=draw(service),
        id=draw(names),
        address=draw(addresses),
        ports=(Port(protocol, draw(st.integers(1, 65535)), protocol),),
        health=draw(st.sampled_from(Health)),
        weight=draw(st.integers(0, 1_000_000)),
        zone=draw(words) + "/" + draw(words) if origin.cluster else "",
        metadata=draw(metadata),
        origin=origin,
        lease=draw(st.sampled_from([0.0, 15.0])),
    )
