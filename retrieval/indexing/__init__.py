"""The write path: from folders to rows.

options      the options of a run
start        starts a run from its options
run          composes the stages
targets      turns the paths that the user named into parts of roots
whereabouts  finds folders that moved
scan         lists files
changes      compares them with the catalog: new, changed or gone
elsewhere    the same for shards and addresses, and fetching
intake       reads them; known content is not decoded again
machine      what a run uses of this machine: decoders, encoders, a writer
encoding     what encoding is; `encoders/` does it here, `cluster/` on the nodes of a Ray cluster
recorder     commits the results; `recording/` makes that quick
tally        counts the outcomes
backfill     adds what an older version or another model left out
finish       drops vanished files; renews the current model and the index file
"""
