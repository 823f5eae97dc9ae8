"""ECO-M2F's steps B and C: what each exit is worth to each image, and the gate learnt from that."""
