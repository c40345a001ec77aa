"""The soak: every kind of registry behind one hub for a chosen time, with changes and faults from a seed.

    python -m bench soak --minutes 30 --seed 7 [--kinds etcd,consul]

Real servers change all the time and break in every way that `faults.py` knows, several at once; so does the hub. Every
now and then everything is healed and nothing changes: then what the hub shows must equal what the registries themselves
say that they hold, and history must answer for an earlier moment what the hub showed then. Whatever is not so is a
divergence, and there must be none.
"""
