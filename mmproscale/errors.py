"""Exception for bad input, which a user can correct."""


class InputError(ValueError):
    """Bad input from outside: a file, a config value, a dataset, a checkpoint.

    The message is one line that names the file, key or value and says what to do. Command lines
    print only that line. Any other exception is a bug and keeps its traceback.
    """
