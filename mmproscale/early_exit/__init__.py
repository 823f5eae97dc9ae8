"""Steps B and C of ECO-M2F: the derived dataset, the fit of the gate, and its trade-off."""
