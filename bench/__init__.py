"""The bench: the whole service under load on this machine, as a user starts it. `make bench`, or scripts/bench.py."""
