"""`make bench`: how fast The Plugs is, as ratios against a floor and against the stack that it replaces.

All of a run is measured on the same machine, servers and data, each work in turns: ours, floor, seed stack, and again.
Nothing here decides a test, and nobody needs the peers' packages to use the product.
"""
