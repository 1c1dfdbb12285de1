"""The command line: arguments in, answers out, and every error as one line.

    main             the group of commands, and the entry point
    base             what all commands share: the library's options, errors, the progress bar
    options          filters and forms of output, as several commands take them
    index, search, collection, library, serve, demo, completion    the commands

Each command imports what it needs when it runs, so that `--help` is instant.
"""
