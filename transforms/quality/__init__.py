"""How good a mask probably is, from what the network says of it."""
