"""The command line: arguments in, results out, every error as one line.

    main             the group of commands, and the entry point
    base             shared by all commands: library options, errors, the progress bar
    options          filters and output formats, shared by several commands
    picture_options  --preview and --sheet
    index, search, collection, library, serve, demo, completion    the commands

Exit codes: 0 success, even if nothing is found; 1 a valid request failed; 2 the call itself is
wrong, whatever is on the disk (InvalidValue, and errors of click); 130 after Ctrl-C.

Each command imports what it needs when it runs, so that `--help` is instant.
"""
