"""The fault proxy's process: what passes between client and server, and what goes wrong.

A program of its own, started as `python -m proxy_process` from the folder
above, on the standard library only: so it is there in a tenth of a second,
where importing the whole package takes longer than most tests.  `FaultProxy`
is its other end; it sends one JSON line per command over a socket, and this
process ends when that socket closes.
"""
