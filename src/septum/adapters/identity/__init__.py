"""How silos prove who they are: keys, signed requests, invitation tokens."""
