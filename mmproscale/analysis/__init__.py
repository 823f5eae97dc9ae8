"""What a model costs and how long it takes: counted, and measured beside others."""
