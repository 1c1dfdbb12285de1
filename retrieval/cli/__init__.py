"""The command line: arguments in, results out, every error as one line.

    main             the group of commands, and the entry point
    base             shared by all commands: library options, errors, the progress bar
    options          filters and output formats, shared by several commands
    index, search, collection, library, serve, demo, completion    the commands

It ends with 0, also if nothing is found; with 1 for a failure: what was asked made sense, and could
not be done; with 2 for a call that makes no sense, whatever is on the disk (InvalidValue, and what
click refuses); with 130 after Ctrl-C.

Each command imports what it needs when it runs, so that `--help` is instant.
"""
