"""From a folder of data to a config that trains on it."""
