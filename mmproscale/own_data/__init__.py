"""Configs for a folder of data: it is read and checked, and the values of a config are chosen."""
