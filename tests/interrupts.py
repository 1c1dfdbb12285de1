"""Ctrl-C for what tests start, where a shell has it ignored."""

import signal


def hear() -> None:
    """Give Ctrl-C its default back in this process, and so in all that it starts.

    What a shell starts in the background (`make test &`) ignores it, and so do its children:
    a Python that is started that way hears none.
    """
    defaults = {"SIGINT": signal.default_int_handler, "SIGQUIT": signal.SIG_DFL}
    for name, default in defaults.items():
        number = getattr(signal, name, None)  # Windows has no SIGQUIT
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, default)
