"""What a resume needs to know and to do: what the training depends on, and how its parts are put back."""
