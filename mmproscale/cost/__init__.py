"""Cost of a model, known before it is trained: operations, parameters, memory."""
