"""Checks of datasets: `*_faults` modules yield faults, `dataset_check` reports them all."""
