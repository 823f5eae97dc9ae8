# ECO-M2F's early exits: a gate chooses after which layer an image leaves the encoder. Training has
# the steps A to C of docs/early_exit.md; step A starts from the same model without exits.
exit_gate = dict(type="ExitGate")
exit_loss = dict(type="mmproscale.MultiExitLoss")
