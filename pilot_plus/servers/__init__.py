"""Servers: thin shells over the network, around what `pilot_plus.views` answers."""
