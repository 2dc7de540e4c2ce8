"""The command line: a file a verb, or two that are one idea. What is heavy is imported by the verb that runs."""
