"""Cost of a model before training: operations, parameters, memory."""
