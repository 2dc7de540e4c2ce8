"""What a later run needs: what a training depends on, how its parts are put back, and a model with what it is."""
