"""The one exception for bad input: what a person can mend, said in one line."""


class InputError(ValueError):
    """Bad input from outside: a file, a config value, a dataset, a checkpoint.

    The message is one line that names the file, key or value and says what to do. Command lines
    print that line without a traceback; anything else that is raised is a bug and keeps its own.
    """
