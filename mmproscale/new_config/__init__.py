"""From a folder of one's own data to a config that trains on it: what is there, what follows."""
