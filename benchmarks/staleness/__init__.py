"""How old a cached value can be, measured on each topology while it breaks.

`truth` has what was true when, `writing` finds that out, `reading` holds cached reads against it,
`grounds` are the deployments, and `faults` is what happens to them.
"""
