"""The write path: from folders to rows.

options    how a run works; start, a run from its options
run        composes the stages
targets    what the user named, as parts of roots; whereabouts, where they went
scan       which files there are
changes    which of them are new, changed or gone
intake     what is in them; nothing known is decoded again
encoding   pictures at the encoder, in batches
recorder   what came out, committed
tally      what became of each file, counted
backfill   what an older version, or another model, left to do
finish     what vanished leaves; the model and the index file that searches use
"""
